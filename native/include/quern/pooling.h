/* Family 4: pooling. Formulae, shapes and rules: io.quern.op.SegmentMax, WindowPool, PonetSegments and
 * PonetPooling. Segments of consecutive rows are quern_embedding_bag without ids; broadcasting them back is
 * quern_embedding_gather.
 */
#ifndef QUERN_POOLING_H_
#define QUERN_POOLING_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * segment_max: out[s, :] = max of x[i, :] over all i < count with ids[i] = s, for s < segments.
 *
 *   x     F32, F16 or BF16, [count, dim] with a row stride
 *   ids   I32 or I64, [count], in any order; -1 belongs to no segment, another one outside [0, segments) is
 *         recorded and passed over
 *   out   x's dtype, [segments, dim] with a row stride; zeros where a segment has no row
 *   workspace  4 * segments * dim bytes, aligned to 16
 *
 * NaN if any value is NaN; a zero is +0. Operands are aligned to their element size; out overlaps no input.
 */
typedef struct quern_segment_max_desc {
  uint32_t size;
  int32_t dtype;
  int32_t id_dtype;
  int32_t reserved;
  int64_t dim;
  int64_t count;
  int64_t segments;
  int64_t x_stride;
  int64_t out_stride;
  int64_t launch;
} quern_segment_max_desc;

QUERN_API quern_status quern_segment_max_prepare(const quern_segment_max_desc* desc, int32_t device);

QUERN_API quern_status quern_segment_max(const quern_segment_max_desc* desc, int32_t device, const void* x,
                                         const void* ids, void* out, quern_error_record* errors,
                                         void* workspace, size_t workspace_bytes, void* stream);

/* How a window's rows become one. Ordinals of io.quern.op.WindowPool.Mode. */
enum { QUERN_WINDOW_MAX = 0, QUERN_WINDOW_MEAN = 1 };

/*
 * window_pool: out[b, i, :] = max or mean of x[b, j, :] for i * step - padding <= j < i * step - padding +
 * window and 0 <= j < length, for b < sequences and i < windows.
 *
 *   x     F32, F16 or BF16, [sequences, length, dim] with a row stride
 *   out   F32, F16 or BF16, [sequences, windows, dim] with a row stride;
 *         windows = (length + 2 * padding - window) / step + 1, 0 if length is 0 or the sum is negative
 *
 * 0 <= padding <= window / 2. MAX: NaN if any value is NaN; a zero is +0. MEAN: rows are added in ascending
 * order from +0 within chunks of 64 from the window's first row inside the sequence, then the chunks; one
 * division. F32, rounded once. Operands are aligned to their element size; out does not overlap x.
 */
typedef struct quern_window_pool_desc {
  uint32_t size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t mode;
  int32_t window;
  int32_t step;
  int32_t padding;
  int32_t reserved;
  int64_t dim;
  int64_t sequences;
  int64_t length;
  int64_t windows;
  int64_t x_stride;
  int64_t out_stride;
} quern_window_pool_desc;

QUERN_API quern_status quern_window_pool_prepare(const quern_window_pool_desc* desc, int32_t device);

QUERN_API quern_status quern_window_pool(const quern_window_pool_desc* desc, int32_t device, const void* x,
                                         void* out, void* workspace, size_t workspace_bytes, void* stream);

/*
 * ponet_segments: the segment of each token of a ragged batch.
 *
 *   tokens       I32, [count]; null if fixed is not 0
 *   offsets      I32 or I64, [sequences + 1]
 *   segment_ids  I32, [count]
 *   special      one byte, 1 or 0, [count], or null
 *
 * With fixed > 0 a segment has length / fixed + 1 tokens, length being the sequence's. Else
 * id_t = sum over u <= t of (special_u + special_{u - 1}) - 1 inside the sequence, where a token is special
 * if it is cls or sep. Offsets that descend or leave [0, count] are recorded (kind OFFSETS) and nothing is
 * written.
 */
typedef struct quern_ponet_segments_desc {
  uint32_t size;
  int32_t offset_dtype;
  int32_t fixed;
  int32_t cls;
  int32_t sep;
  int32_t reserved;
  int64_t count;
  int64_t sequences;
  int64_t launch;
} quern_ponet_segments_desc;

QUERN_API quern_status quern_ponet_segments_prepare(const quern_ponet_segments_desc* desc, int32_t device);

QUERN_API quern_status quern_ponet_segments(const quern_ponet_segments_desc* desc, int32_t device,
                                            const int32_t* tokens, const void* offsets, int32_t* segment_ids,
                                            uint8_t* special, quern_error_record* errors, void* workspace,
                                            size_t workspace_bytes, void* stream);

/* What the probabilities of a sequence without a valid token are. Ordinals of
 * io.quern.op.PonetPooling.Flavour. */
enum {
  QUERN_PONET_BERT = 0, /* NaN */
  QUERN_PONET_LRA = 1   /* 1 / length */
};

#define QUERN_PONET_MAX_HEAD_DIM 1024

/*
 * ponet_pooling: global, segment and local pooling of projected inputs, fused:
 * out_t = fma(v + s_t, o_t, l_t), per head of head_dim columns.
 *
 *   q, k, o, local, segment   x_dtype, [count, heads * head_dim], with a row stride each
 *   offsets        I32 or I64, [sequences + 1]
 *   segment_ids    I32, [count]
 *   valid, special one byte each, [count], or null: none is padding, none is special
 *   out            F32, F16 or BF16, [count, heads * head_dim] with a row stride
 *   probabilities  F32, [count, heads], or null
 *   workspace      quern_ponet_pooling_workspace bytes, aligned to 16; what is in it does not matter
 *
 * One launch, whatever the length, behind a memset of a few bytes. Operands are aligned to their element
 * size; out and probabilities overlap nothing else. The order of arithmetic is documented at
 * io.quern.op.PonetPooling. Offsets that descend or leave [0, count] are recorded (kind OFFSETS) and nothing
 * is written; a valid token whose segment id is outside [0, length) is recorded (kind INDEX, position of the
 * token, limit length) and becomes zeros.
 */
typedef struct quern_ponet_pooling_desc {
  uint32_t size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t offset_dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t window; /* 1, 3, 5 or 7 */
  int32_t flavour;
  float scale; /* of scores */
  int32_t reserved;
  int64_t count;
  int64_t sequences;
  int64_t q_stride;
  int64_t k_stride;
  int64_t o_stride;
  int64_t local_stride;
  int64_t segment_stride;
  int64_t out_stride;
  int64_t launch;
} quern_ponet_pooling_desc;

/* Bytes of scratch of a call; 0 if an extent is negative. */
QUERN_API int64_t quern_ponet_pooling_workspace(int64_t sequences, int64_t count, int32_t heads,
                                                int32_t head_dim);

QUERN_API quern_status quern_ponet_pooling_prepare(const quern_ponet_pooling_desc* desc, int32_t device);

QUERN_API quern_status quern_ponet_pooling(const quern_ponet_pooling_desc* desc, int32_t device,
                                           const void* q, const void* k, const void* o, const void* local,
                                           const void* segment, const void* offsets,
                                           const int32_t* segment_ids, const uint8_t* valid,
                                           const uint8_t* special, void* out, float* probabilities,
                                           quern_error_record* errors, void* workspace,
                                           size_t workspace_bytes, void* stream);

/*
 * ponet_mixer: ponet_pooling of the projections x W^T + b of rows x. Of its five layers those of q and k are
 * applied to one row a sequence and head instead of to all tokens; formulae at io.quern.op.PonetMixer.
 *
 *   x              x_dtype, [count, columns] with a row stride; columns = heads * head_dim
 *   weight, bias   F32, dense, [5 * columns, columns] and [5 * columns]: q, k, o, local, segment
 *   others         as of ponet_pooling
 *   workspace      quern_ponet_mixer_workspace bytes, aligned to 16; what is in it does not matter
 *
 * Nine launches. Bad data as in ponet_pooling.
 */
#define QUERN_PONET_MIXER_MAX_COLUMNS 1024

typedef struct quern_ponet_mixer_desc {
  uint32_t size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t offset_dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t window; /* 1, 3, 5 or 7 */
  int32_t flavour;
  float scale; /* of scores */
  int32_t reserved;
  int64_t count;
  int64_t sequences;
  int64_t x_stride;
  int64_t out_stride;
  int64_t launch;
} quern_ponet_mixer_desc;

/* Bytes of scratch of a call; 0 if an extent is negative. */
QUERN_API int64_t quern_ponet_mixer_workspace(int64_t sequences, int64_t count, int32_t heads,
                                              int32_t head_dim);

QUERN_API quern_status quern_ponet_mixer_prepare(const quern_ponet_mixer_desc* desc, int32_t device);

QUERN_API quern_status quern_ponet_mixer(const quern_ponet_mixer_desc* desc, int32_t device, const void* x,
                                         const float* weight, const float* bias, const void* offsets,
                                         const int32_t* segment_ids, const uint8_t* valid,
                                         const uint8_t* special, void* out, float* probabilities,
                                         quern_error_record* errors, void* workspace, size_t workspace_bytes,
                                         void* stream);

/*
 * ponet_chunks: ponet_pooling of one sequence that passes by in chunks, three times: start, queries of all
 * chunks in order, keys of all chunks in order, fuse of all chunks. A chunk begins at a multiple of 64
 * tokens.
 *
 *   q, k, segment, o  x_dtype, [count, columns], with a row stride each; columns = heads * head_dim
 *   local             the same, [before + count + after, columns]: windows reach into other chunks
 *   segment_ids       I32, [count]; outside [0, segments): recorded by fuse at position + token
 *   valid, special    one byte each, [count], of fuse [before + count + after], or null
 *   state             quern_ponet_chunks_state bytes, aligned to 16, from pass to pass
 *   segment_max       4 * segments * columns bytes, from pass to pass
 *   probabilities     F32, [count, heads], or null: keys leaves scores, of which fuse makes probabilities
 *   workspace         quern_ponet_chunks_workspace bytes, aligned to 16, of queries and of keys
 *
 * One launch a pass, behind a memset of a few bytes; start is two memsets.
 */
typedef struct quern_ponet_chunks_desc {
  uint32_t size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t heads;
  int32_t head_dim;
  int32_t window; /* 1, 3, 5 or 7 */
  int32_t flavour;
  int32_t before;
  int32_t after;
  float scale; /* of scores */
  int64_t count;
  int64_t position;
  int64_t segments;
  int64_t q_stride;
  int64_t k_stride;
  int64_t o_stride;
  int64_t local_stride;
  int64_t segment_stride;
  int64_t out_stride;
  int64_t launch;
} quern_ponet_chunks_desc;

/* Bytes of a document's state, and of scratch of a pass; 0 if an extent is negative. */
QUERN_API int64_t quern_ponet_chunks_state(int32_t heads, int32_t head_dim);

QUERN_API int64_t quern_ponet_chunks_workspace(int64_t count, int32_t heads, int32_t head_dim);

QUERN_API quern_status quern_ponet_chunks_prepare(const quern_ponet_chunks_desc* desc, int32_t device);

QUERN_API quern_status quern_ponet_chunks_start(const quern_ponet_chunks_desc* desc, int32_t device,
                                                void* state, float* segment_max, void* stream);

QUERN_API quern_status quern_ponet_chunks_queries(const quern_ponet_chunks_desc* desc, int32_t device,
                                                  const void* q, const uint8_t* valid, void* state,
                                                  void* workspace, size_t workspace_bytes, void* stream);

QUERN_API quern_status quern_ponet_chunks_keys(const quern_ponet_chunks_desc* desc, int32_t device,
                                               const void* k, const void* segment, const int32_t* segment_ids,
                                               const uint8_t* valid, float* probabilities, void* state,
                                               float* segment_max, void* workspace, size_t workspace_bytes,
                                               void* stream);

QUERN_API quern_status quern_ponet_chunks_fuse(const quern_ponet_chunks_desc* desc, int32_t device,
                                               const void* o, const void* local, const int32_t* segment_ids,
                                               const uint8_t* valid, const uint8_t* special, void* state,
                                               float* segment_max, void* out, float* probabilities,
                                               quern_error_record* errors, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_POOLING_H_ */

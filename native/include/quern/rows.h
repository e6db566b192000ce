/* Rows of scores: ranking, sampling, beams. Formulae: io.quern.op.TopK, io.quern.op.SampleRows and
 * io.quern.op.BeamExpand.
 *
 * Order of scores: value descending, index ascending; zeros of either sign are equal, NaN is below -inf.
 * Operands are aligned to their element size; outputs overlap no other operand. Results do not depend on the
 * launch shape. One launch each, no workspace.
 */
#ifndef QUERN_ROWS_H_
#define QUERN_ROWS_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * top_k: the first k elements of every row in the order of scores.
 *
 *   x        F32, F16 or BF16, [rows, dim] with x_stride >= dim; dim < 2^31
 *   values   F32, [rows, k] with values_stride >= k, or null
 *   indices  I32, [rows, k] with indices_stride >= k; k <= dim
 */
typedef struct quern_top_k_desc {
  uint32_t size;
  int32_t x_dtype;
  int64_t rows;
  int64_t dim;
  int64_t k;
  int64_t x_stride;
  int64_t values_stride;
  int64_t indices_stride;
} quern_top_k_desc;

/* Loads every kernel that desc's dtype may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_top_k_prepare(const quern_top_k_desc* desc, int32_t device);

QUERN_API quern_status quern_top_k(const quern_top_k_desc* desc, int32_t device, const void* x, float* values,
                                   int32_t* indices, void* workspace, size_t workspace_bytes, void* stream);

/*
 * sample_rows: k columns of every row without replacement, in the order in which they are drawn: the first k
 * in the order of scores fma(x, scale, -log(-log(u))).
 *
 *   x          as for top_k
 *   uniforms   F32, [rows, dim] with uniforms_stride >= dim, or null
 *   seeds      I64, [rows], and
 *   positions  I64, [rows]: where uniforms is null u is Philox's of (seed, position, purpose, column)
 *   scores     F32, [rows, k] with scores_stride >= k, or null: the scores
 *   values     F32, [rows, k] with values_stride >= k, or null: x
 *   indices    I32, [rows, k] with indices_stride >= k; k <= dim
 */
typedef struct quern_sample_rows_desc {
  uint32_t size;
  int32_t x_dtype;
  float scale;
  int32_t purpose;
  int64_t rows;
  int64_t dim;
  int64_t k;
  int64_t x_stride;
  int64_t uniforms_stride;
  int64_t scores_stride;
  int64_t values_stride;
  int64_t indices_stride;
} quern_sample_rows_desc;

QUERN_API quern_status quern_sample_rows_prepare(const quern_sample_rows_desc* desc, int32_t device);

QUERN_API quern_status quern_sample_rows(const quern_sample_rows_desc* desc, int32_t device, const void* x,
                                         const float* uniforms, const int64_t* seeds,
                                         const int64_t* positions, float* scores, float* values,
                                         int32_t* indices, void* workspace, size_t workspace_bytes,
                                         void* stream);

/* How beams are ranked. Ordinals of io.quern.op.BeamExpand.Mode. */
enum { QUERN_BEAM_SUM = 0, QUERN_BEAM_STOCHASTIC = 1 };

/* The most beams of a request. */
#define QUERN_MAX_BEAMS 1024

/*
 * beam_expand: the first `keep` of a request's beams * candidates extensions.
 *
 *   tokens      I32, [lists, candidates] with tokens_stride; below 0: there is no such candidate
 *   inputs      F32, [lists, candidates] with inputs_stride: log-probabilities, or with `probabilities` p,
 *               which become log(p / sum of p over the candidates that exist)
 *   noisy       F32, [requests * beams, candidates] with noisy_stride, with STOCHASTIC: log-probabilities
 *               with Gumbel noise
 *   bias        F32, [requests * beams, candidates] with bias_stride, or null; with SUM
 *   scores      F32, [requests, beams] with scores_stride: every beam's own sum of log-probabilities
 *   perturbed   F32, [requests, beams] with perturbed_stride, with STOCHASTIC: every beam's own G
 *   lists = requests * beams, or with `shared` = requests: a request's beams have the same candidates
 *
 *   out_parents, out_tokens  I32, [requests, keep]
 *   out_scores               F32, [requests, keep]: scores + fma(scale, input, bias), without bias scores +
 *                            scale * input
 *   out_perturbed            F32, [requests, keep], with STOCHASTIC
 *   out_weights              F32, [requests, keep], or null: softmax of out_scores, zeros where all are -inf
 *   each with its stride >= keep
 *
 * SUM ranks by out_scores, STOCHASTIC by out_perturbed. With g = scores + noisy, Z the greatest g of the beam
 * by larger-than comparisons from -inf, and G the beam's perturbed: v = (G - g) + log1p(-exp(g - Z)), and
 * out_perturbed = (G - (v > 0 ? v : 0)) - log1p(exp(-|v|)). Candidates whose out_scores is below `threshold`
 * are dropped. Slots that remain get -1, -1, -inf, -inf, 0.
 */
typedef struct quern_beam_expand_desc {
  uint32_t size;
  int32_t mode;
  int32_t probabilities;
  int32_t shared;
  float scale;
  float threshold;
  int64_t requests;
  int64_t beams;
  int64_t candidates;
  int64_t keep;
  int64_t tokens_stride;
  int64_t inputs_stride;
  int64_t noisy_stride;
  int64_t bias_stride;
  int64_t scores_stride;
  int64_t perturbed_stride;
  int64_t out_parents_stride;
  int64_t out_tokens_stride;
  int64_t out_scores_stride;
  int64_t out_perturbed_stride;
  int64_t out_weights_stride;
} quern_beam_expand_desc;

QUERN_API quern_status quern_beam_expand_prepare(const quern_beam_expand_desc* desc, int32_t device);

QUERN_API quern_status quern_beam_expand(const quern_beam_expand_desc* desc, int32_t device,
                                         const int32_t* tokens, const float* inputs, const float* noisy,
                                         const float* bias, const float* scores, const float* perturbed,
                                         int32_t* out_parents, int32_t* out_tokens, float* out_scores,
                                         float* out_perturbed, float* out_weights, void* workspace,
                                         size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_ROWS_H_ */

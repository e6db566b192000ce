// The pooling kernels: what they refuse, and small calls against plain loops. The Java tests go through every
// shape and dtype; here the same sources run without a JVM, in other orders of threads, and under sanitizers.
#include "quern/pooling.h"

#include <algorithm>
#include <string>
#include <vector>

#include "operand.h"

namespace {

using quern_test::failures;
using quern_test::must;
using quern_test::Operand;
using quern_test::Random;
using quern_test::stream;

std::vector<float> values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> made(count);
  for (float& value : made) {
    value = static_cast<float>(static_cast<double>(random.next() >> 11) / (1LL << 52) - 1.0);
  }
  return made;
}

std::vector<float> floats(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<float> read(bytes.size() / sizeof(float));
  std::memcpy(read.data(), bytes.data(), bytes.size());
  return read;
}

Operand& record() {
  static Operand zeroed(std::vector<int64_t>(8, 0));
  return zeroed;
}

quern_error_record* errors() {
  return static_cast<quern_error_record*>(record().data());
}

quern_segment_max_desc segment_max_desc(int64_t dim, int64_t count, int64_t segments) {
  quern_segment_max_desc desc = {};
  desc.size = sizeof(desc);
  desc.dtype = QUERN_F32;
  desc.id_dtype = QUERN_I32;
  desc.dim = dim;
  desc.count = count;
  desc.segments = segments;
  desc.x_stride = dim;
  desc.out_stride = dim;
  desc.launch = 1;
  return desc;
}

void test_segment_max(int64_t dim) {
  constexpr int64_t kRows = 75;
  constexpr int64_t kSegments = 9;
  const std::vector<float> x = values(kRows * dim, 1);
  std::vector<int32_t> ids(kRows);
  Random random(2);
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random.below(kSegments)) - 1;  // the last segment stays empty
  }
  const Operand rows(x);
  const Operand of(ids);
  const Operand out(kSegments * dim * sizeof(float));
  const Operand workspace(kSegments * dim * sizeof(float));
  const quern_segment_max_desc desc = segment_max_desc(dim, kRows, kSegments);
  const quern_status status = quern_segment_max(&desc, 0, rows.data(), of.data(), out.data(), errors(),
                                                workspace.data(), kSegments * dim * sizeof(float), stream());
  QUERN_EXPECT(status == QUERN_OK, "segment_max is %d", status);
  const std::vector<float> got = floats(out);
  for (int64_t s = 0; s < kSegments; ++s) {
    for (int64_t d = 0; d < dim; ++d) {
      float want = -INFINITY;
      for (int64_t i = 0; i < kRows; ++i) {
        want = ids[i] == s ? std::max(want, x[i * dim + d]) : want;
      }
      want = want == -INFINITY ? 0 : want;
      QUERN_EXPECT(got[s * dim + d] == want, "segment %d column %d", static_cast<int>(s),
                   static_cast<int>(d));
    }
  }
  QUERN_EXPECT(out.guards_hold() && workspace.guards_hold(), "segment_max wrote outside");
}

void test_window_pool() {
  constexpr int64_t kLength = 20;
  constexpr int64_t kDim = 8;
  const std::vector<float> x = values(2 * kLength * kDim, 3);
  const Operand rows(x);
  const Operand out(x.size() * sizeof(float));
  quern_window_pool_desc desc = {};
  desc.size = sizeof(desc);
  desc.x_dtype = QUERN_F32;
  desc.out_dtype = QUERN_F32;
  desc.mode = QUERN_WINDOW_MAX;
  desc.window = 3;
  desc.step = 1;
  desc.padding = 1;
  desc.dim = kDim;
  desc.sequences = 2;
  desc.length = kLength;
  desc.windows = kLength;
  desc.x_stride = kDim;
  desc.out_stride = kDim;
  QUERN_EXPECT(quern_window_pool(&desc, 0, rows.data(), out.data(), nullptr, 0, stream()) == QUERN_OK,
               "window_pool");
  const std::vector<float> got = floats(out);
  for (int64_t i = 0; i < 2 * kLength * kDim; ++i) {
    const int64_t t = i / kDim % kLength;
    float want = x[i];
    want = t > 0 ? std::max(want, x[i - kDim]) : want;
    want = t < kLength - 1 ? std::max(want, x[i + kDim]) : want;
    QUERN_EXPECT(got[i] == want, "window at %d", static_cast<int>(i));
  }
  desc.windows = kLength - 1;
  QUERN_EXPECT(
      quern_window_pool(&desc, 0, rows.data(), out.data(), nullptr, 0, stream()) == QUERN_INVALID_ARGUMENT,
      "a wrong number of windows");
}

void test_ponet_segments() {
  const std::vector<int32_t> tokens = {101, 5, 6, 102, 7, 8, 102, 0, 0, 5, 101};
  const std::vector<int32_t> offsets = {0, 9, 11};
  const std::vector<int32_t> want = {0, 1, 1, 2, 3, 3, 4, 5, 5, -1, 0};
  const Operand in(tokens);
  const Operand at(offsets);
  const Operand ids(tokens.size() * sizeof(int32_t));
  const Operand special(tokens.size());
  quern_ponet_segments_desc desc = {};
  desc.size = sizeof(desc);
  desc.offset_dtype = QUERN_I32;
  desc.cls = 101;
  desc.sep = 102;
  desc.count = static_cast<int64_t>(tokens.size());
  desc.sequences = 2;
  desc.launch = 1;
  const quern_status status = quern_ponet_segments(
      &desc, 0, static_cast<const int32_t*>(in.data()), at.data(), static_cast<int32_t*>(ids.data()),
      static_cast<uint8_t*>(special.data()), errors(), nullptr, 0, stream());
  QUERN_EXPECT(status == QUERN_OK, "ponet_segments is %d", status);
  const std::vector<unsigned char> bytes = ids.read();
  QUERN_EXPECT(std::memcmp(bytes.data(), want.data(), bytes.size()) == 0, "segment ids differ");
  const std::vector<unsigned char> flags = special.read();
  for (size_t i = 0; i < tokens.size(); ++i) {
    QUERN_EXPECT(flags[i] == (tokens[i] > 100 ? 1 : 0), "special %d", static_cast<int>(i));
  }
}

// Two ragged sequences, one head; with keys of zero v is 0, so that out = s * o + l is exact where o is 1.
void test_ponet_pooling(int64_t tokens) {
  constexpr int64_t kDim = 16;
  const std::vector<float> q = values(tokens * kDim, 4);
  const std::vector<float> k(tokens * kDim, 0.0f);
  const std::vector<float> o(tokens * kDim, 1.0f);
  const std::vector<float> local = values(tokens * kDim, 5);
  const std::vector<float> segment = values(tokens * kDim, 6);
  const std::vector<int32_t> offsets = {0, static_cast<int32_t>(tokens / 3), static_cast<int32_t>(tokens)};
  std::vector<int32_t> ids(tokens);
  for (int64_t t = 0; t < tokens; ++t) {
    ids[t] = static_cast<int32_t>((t < offsets[1] ? t : t - offsets[1]) / 5);
  }
  const Operand of_q(q);
  const Operand of_k(k);
  const Operand of_o(o);
  const Operand of_local(local);
  const Operand of_segment(segment);
  const Operand of_offsets(offsets);
  const Operand of_ids(ids);
  const Operand out(tokens * kDim * sizeof(float));
  const int64_t bytes = quern_ponet_pooling_workspace(2, tokens, 1, kDim);
  const Operand workspace(bytes);
  quern_ponet_pooling_desc desc = {};
  desc.size = sizeof(desc);
  desc.x_dtype = QUERN_F32;
  desc.out_dtype = QUERN_F32;
  desc.offset_dtype = QUERN_I32;
  desc.heads = 1;
  desc.head_dim = kDim;
  desc.window = 3;
  desc.flavour = QUERN_PONET_BERT;
  desc.scale = 0.25f;
  desc.count = tokens;
  desc.sequences = 2;
  desc.q_stride = desc.k_stride = desc.o_stride = desc.local_stride = desc.segment_stride = desc.out_stride =
      kDim;
  desc.launch = 1;
  const auto run = [&](int64_t workspace_bytes) {
    return quern_ponet_pooling(
        &desc, 0, of_q.data(), of_k.data(), of_o.data(), of_local.data(), of_segment.data(),
        of_offsets.data(), static_cast<const int32_t*>(of_ids.data()), nullptr, nullptr, out.data(), nullptr,
        errors(), workspace.data(), static_cast<size_t>(workspace_bytes), stream());
  };
  QUERN_EXPECT(run(bytes - 1) == QUERN_INVALID_ARGUMENT, "a short workspace");
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  QUERN_EXPECT(quern_ponet_pooling_prepare(&desc, 0) == QUERN_OK, "prepare");
  must(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  QUERN_EXPECT(run(bytes) == QUERN_OK, "ponet_pooling");
  must(cudaStreamEndCapture(stream(), &graph), "cudaStreamEndCapture");
  must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  must(cudaGraphLaunch(executable, stream()), "cudaGraphLaunch");
  must(cudaGraphLaunch(executable, stream()), "cudaGraphLaunch");  // the workspace is as the first left it
  must(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
  must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  must(cudaGraphDestroy(graph), "cudaGraphDestroy");
  const std::vector<float> got = floats(out);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t begin = t < offsets[1] ? 0 : offsets[1];
    const int64_t end = t < offsets[1] ? offsets[1] : tokens;
    for (int64_t d = 0; d < kDim; ++d) {
      float s = -INFINITY;
      for (int64_t j = begin; j < end; ++j) {
        s = ids[j] == ids[t] ? std::max(s, segment[j * kDim + d]) : s;
      }
      float l = -INFINITY;
      for (int64_t j = std::max(begin, t - 1); j <= std::min(end - 1, t + 1); ++j) {
        l = std::max(l, local[j * kDim + d]);
      }
      const float want = std::fma(s, 1.0f, l);
      QUERN_EXPECT(got[t * kDim + d] == want, "token %d column %d is %g, not %g", static_cast<int>(t),
                   static_cast<int>(d), got[t * kDim + d], want);
    }
  }
  QUERN_EXPECT(out.guards_hold() && workspace.guards_hold(), "ponet_pooling wrote outside");
}

// A document of three chunks and its whole: the same bits. Ids descend, so that runs of one segment are
// apart.
void test_ponet_chunks() {
  constexpr int64_t kDim = 16;
  constexpr int64_t kTokens = 150;
  constexpr int64_t kSegments = 20;
  constexpr int64_t kRow = kDim * sizeof(float);
  const std::vector<float> q = values(kTokens * kDim, 7);
  const std::vector<float> k = values(kTokens * kDim, 8);
  const std::vector<float> o = values(kTokens * kDim, 9);
  const std::vector<float> local = values(kTokens * kDim, 10);
  const std::vector<float> segment = values(kTokens * kDim, 11);
  std::vector<int32_t> ids(kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    ids[t] = static_cast<int32_t>((kTokens - t) % kSegments);
  }
  const Operand of_q(q);
  const Operand of_k(k);
  const Operand of_o(o);
  const Operand of_local(local);
  const Operand of_segment(segment);
  const Operand of_offsets(std::vector<int32_t>{0, kTokens});
  const Operand of_ids(ids);
  const Operand whole(kTokens * kRow);
  const Operand out(kTokens * kRow);
  const Operand state(quern_ponet_chunks_state(2, kDim / 2));
  const Operand table(kSegments * kRow);
  quern_ponet_pooling_desc pooling = {};
  pooling.size = sizeof(pooling);
  pooling.heads = 2;
  pooling.head_dim = kDim / 2;
  pooling.window = 5;
  pooling.scale = 0.25f;
  pooling.x_dtype = pooling.out_dtype = QUERN_F32;
  pooling.offset_dtype = QUERN_I32;
  pooling.count = kTokens;
  pooling.sequences = 1;
  pooling.q_stride = pooling.k_stride = pooling.o_stride = pooling.local_stride = pooling.segment_stride =
      pooling.out_stride = kDim;
  pooling.launch = 1;
  const int64_t bytes = quern_ponet_pooling_workspace(1, kTokens, 2, kDim / 2);
  const Operand workspace(bytes);
  QUERN_EXPECT(
      quern_ponet_pooling(&pooling, 0, of_q.data(), of_k.data(), of_o.data(), of_local.data(),
                          of_segment.data(), of_offsets.data(), static_cast<const int32_t*>(of_ids.data()),
                          nullptr, nullptr, whole.data(), nullptr, errors(), workspace.data(),
                          static_cast<size_t>(bytes), stream()) == QUERN_OK,
      "the whole");

  quern_ponet_chunks_desc desc = {};
  desc.size = sizeof(desc);
  desc.x_dtype = desc.out_dtype = QUERN_F32;
  desc.heads = 2;
  desc.head_dim = kDim / 2;
  desc.window = 5;
  desc.scale = 0.25f;
  desc.segments = kSegments;
  desc.q_stride = desc.k_stride = desc.o_stride = desc.local_stride = desc.segment_stride = desc.out_stride =
      kDim;
  desc.launch = 1;
  QUERN_EXPECT(quern_ponet_chunks_prepare(&desc, 0) == QUERN_OK, "prepare");
  float* maxima = static_cast<float*>(table.data());
  QUERN_EXPECT(quern_ponet_chunks_start(&desc, 0, state.data(), maxima, stream()) == QUERN_OK, "start");
  const auto at = [&](const Operand& operand, int64_t token) {
    return static_cast<char*>(operand.data()) + token * kRow;
  };
  const auto ids_at = [&](int64_t token) { return static_cast<const int32_t*>(of_ids.data()) + token; };
  const int64_t cuts[] = {0, 64, 128, kTokens};
  for (int pass = 0; pass < 3; ++pass) {
    for (int c = 0; c < 3; ++c) {
      const int64_t first = cuts[c];
      desc.position = first;
      desc.count = cuts[c + 1] - first;
      desc.before = pass == 2 && c > 0 ? 2 : 0;
      desc.after = pass == 2 && c < 2 ? 2 : 0;
      quern_status status;
      if (pass == 0) {
        status = quern_ponet_chunks_queries(&desc, 0, at(of_q, first), nullptr, state.data(),
                                            workspace.data(), static_cast<size_t>(bytes), stream());
      } else if (pass == 1) {
        status = quern_ponet_chunks_keys(&desc, 0, at(of_k, first), at(of_segment, first), ids_at(first),
                                         nullptr, nullptr, state.data(), maxima, workspace.data(),
                                         static_cast<size_t>(bytes), stream());
      } else {
        status = quern_ponet_chunks_fuse(&desc, 0, at(of_o, first), at(of_local, first - desc.before),
                                         ids_at(first), nullptr, nullptr, state.data(), maxima,
                                         at(out, first), nullptr, errors(), stream());
      }
      QUERN_EXPECT(status == QUERN_OK, "pass %d over chunk %d is %d", pass, c, status);
    }
  }
  must(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
  QUERN_EXPECT(out.read() == whole.read(), "chunks differ from the whole");
  QUERN_EXPECT(out.guards_hold() && state.guards_hold() && table.guards_hold() && workspace.guards_hold(),
               "ponet_chunks wrote outside");
  desc.position = 65;
  QUERN_EXPECT(quern_ponet_chunks_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "a chunk between chunks");
}

// With weights of zero the projections are the biases: out = (v + s) * o + l of constants, and v = b_k.
void test_ponet_mixer() {
  constexpr int64_t kDim = 16;
  constexpr int64_t kTokens = 70;
  std::vector<float> bias(5 * kDim);
  for (size_t i = 0; i < bias.size(); ++i) {
    bias[i] = static_cast<float>(i % 7) - 2.0f;
  }
  const Operand x(values(kTokens * kDim, 12));
  const Operand weight(std::vector<float>(5 * kDim * kDim, 0.0f));
  const Operand of_bias(bias);
  const Operand offsets(std::vector<int32_t>{0, kTokens});
  const Operand ids(std::vector<int32_t>(kTokens, 3));
  const Operand out(kTokens * kDim * sizeof(float));
  const int64_t bytes = quern_ponet_mixer_workspace(1, kTokens, 2, kDim / 2);
  const Operand workspace(bytes);
  quern_ponet_mixer_desc desc = {};
  desc.size = sizeof(desc);
  desc.x_dtype = desc.out_dtype = QUERN_F32;
  desc.offset_dtype = QUERN_I32;
  desc.heads = 2;
  desc.head_dim = kDim / 2;
  desc.window = 3;
  desc.scale = 0.25f;
  desc.count = kTokens;
  desc.sequences = 1;
  desc.x_stride = desc.out_stride = kDim;
  desc.launch = 1;
  QUERN_EXPECT(quern_ponet_mixer_prepare(&desc, 0) == QUERN_OK, "prepare");
  const auto run = [&](int64_t workspace_bytes) {
    return quern_ponet_mixer(&desc, 0, x.data(), static_cast<const float*>(weight.data()),
                             static_cast<const float*>(of_bias.data()), offsets.data(),
                             static_cast<const int32_t*>(ids.data()), nullptr, nullptr, out.data(), nullptr,
                             errors(), workspace.data(), static_cast<size_t>(workspace_bytes), stream());
  };
  QUERN_EXPECT(run(bytes - 1) == QUERN_INVALID_ARGUMENT, "a short workspace");
  QUERN_EXPECT(run(bytes) == QUERN_OK, "ponet_mixer");
  const std::vector<float> got = floats(out);
  for (int64_t i = 0; i < kTokens * kDim; ++i) {
    const int64_t d = i % kDim;
    const float lift = bias[kDim + d] + bias[4 * kDim + d];
    const float want = std::fma(lift, bias[2 * kDim + d], bias[3 * kDim + d]);
    QUERN_EXPECT(got[i] == want, "element %d is %g, not %g", static_cast<int>(i), got[i], want);
  }
  QUERN_EXPECT(out.guards_hold() && workspace.guards_hold(), "ponet_mixer wrote outside");
  desc.heads = 200;
  QUERN_EXPECT(quern_ponet_mixer_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "too many columns");
}

void test_refusals() {
  quern_segment_max_desc segments = segment_max_desc(4, 3, 2);
  segments.size -= 1;
  QUERN_EXPECT(quern_segment_max_prepare(&segments, 0) == QUERN_INVALID_DESCRIPTOR, "a wrong size");
  segments = segment_max_desc(4, 3, 2);
  segments.dtype = QUERN_I32;
  QUERN_EXPECT(quern_segment_max_prepare(&segments, 0) == QUERN_UNSUPPORTED, "integers");
  segments = segment_max_desc(4, -1, 2);
  QUERN_EXPECT(quern_segment_max_prepare(&segments, 0) == QUERN_INVALID_ARGUMENT, "a negative count");
  QUERN_EXPECT(quern_window_pool_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "no descriptor");
  quern_ponet_segments_desc cut = {};
  cut.size = sizeof(cut);
  cut.offset_dtype = QUERN_F32;
  QUERN_EXPECT(quern_ponet_segments_prepare(&cut, 0) == QUERN_UNSUPPORTED, "offsets of F32");
  quern_ponet_pooling_desc pooling = {};
  pooling.size = sizeof(pooling);
  pooling.x_dtype = QUERN_F32;
  pooling.out_dtype = QUERN_F32;
  pooling.offset_dtype = QUERN_I32;
  pooling.heads = 1;
  pooling.head_dim = 8;
  pooling.window = 4;
  QUERN_EXPECT(quern_ponet_pooling_prepare(&pooling, 0) == QUERN_INVALID_ARGUMENT, "an even window");
  pooling.window = 3;
  pooling.q_stride = 7;
  QUERN_EXPECT(quern_ponet_pooling_prepare(&pooling, 0) == QUERN_INVALID_ARGUMENT, "a short stride");
  QUERN_EXPECT(quern_ponet_pooling_workspace(-1, 0, 1, 1) == 0, "the workspace of nothing");
}

}  // namespace

int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("pooling kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  const bool tiny = count > 1 && std::strcmp(arguments[1], "tiny") == 0;
  test_segment_max(tiny ? 4 : 33);
  test_segment_max(16);
  test_window_pool();
  test_ponet_segments();
  test_ponet_pooling(tiny ? 9 : 200);
  if (!tiny) {
    test_ponet_chunks();
    test_ponet_mixer();
  }
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}

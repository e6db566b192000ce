// beam_expand: a block per request. Contract: quern/rows.h.
#ifndef QUERN_ROWS_BEAM_EXPAND_KERNEL_CUH_
#define QUERN_ROWS_BEAM_EXPAND_KERNEL_CUH_

#include "quern/rows.h"
#include "rows/rank.cuh"

namespace quern {

// Strides in elements.
struct BeamExpandArguments {
  const int32_t* tokens;
  const float* inputs;
  const float* noisy;
  const float* bias;
  const float* scores;
  const float* perturbed;
  int32_t* out_parents;
  int32_t* out_tokens;
  float* out_scores;
  float* out_perturbed;
  float* out_weights;
  quern_beam_expand_desc desc;
};

// The extensions of a request's beams, beam by beam.
template <bool STOCHASTIC>
struct Extensions {
  const BeamExpandArguments& arguments;
  int64_t request;
  const float* greatest;  // of every beam's g; with STOCHASTIC
  const float* totals;    // of every beam's probabilities

  __device__ int64_t beam_row(int64_t beam) const { return request * arguments.desc.beams + beam; }
  __device__ int64_t list(int64_t beam) const { return arguments.desc.shared ? request : beam_row(beam); }
  __device__ int32_t token(int64_t beam, int64_t c) const {
    return __ldg(arguments.tokens + list(beam) * arguments.desc.tokens_stride + c);
  }
  __device__ float input(int64_t beam, int64_t c) const {
    return __ldg(arguments.inputs + list(beam) * arguments.desc.inputs_stride + c);
  }
  __device__ float own_score(int64_t beam) const {
    return __ldg(arguments.scores + request * arguments.desc.scores_stride + beam);
  }
  // g = own score + log-probability with noise.
  __device__ float noisy(int64_t beam, int64_t c) const {
    return __fadd_rn(own_score(beam),
                     __ldg(arguments.noisy + beam_row(beam) * arguments.desc.noisy_stride + c));
  }
  __device__ float score(int64_t beam, int64_t c) const {
    float x = input(beam, c);
    if (arguments.desc.probabilities) {
      x = canonical_log(__fdiv_rn(x, totals[beam]));
    }
    const float step =
        arguments.bias == nullptr
            ? __fmul_rn(arguments.desc.scale, x)
            : __fmaf_rn(arguments.desc.scale, x,
                        __ldg(arguments.bias + beam_row(beam) * arguments.desc.bias_stride + c));
    return __fadd_rn(own_score(beam), step);
  }
  __device__ float perturbed(int64_t beam, int64_t c) const {
    const float g = noisy(beam, c);
    const float own = __ldg(arguments.perturbed + request * arguments.desc.perturbed_stride + beam);
    const float v =
        __fadd_rn(__fsub_rn(own, g), canonical_log1p(-canonical_exp(__fsub_rn(g, greatest[beam]))));
    return __fsub_rn(__fsub_rn(own, v > 0.0f ? v : 0.0f), canonical_log1p(canonical_exp(-fabsf(v))));
  }

  // Extensions are counted in 31 bits, which are divided faster than 64.
  __device__ int64_t beam_of(int64_t i) const {
    return static_cast<unsigned int>(i) / static_cast<unsigned int>(arguments.desc.candidates);
  }
  __device__ float operator()(int64_t i) const {
    const int64_t beam = beam_of(i);
    const int64_t c = i - beam * arguments.desc.candidates;
    return STOCHASTIC ? perturbed(beam, c) : score(beam, c);
  }
  __device__ float4 four(int64_t i) const {
    return make_float4((*this)(i), (*this)(i + 1), (*this)(i + 2), (*this)(i + 3));
  }
  __device__ bool exists(int64_t i) const {
    const int64_t beam = beam_of(i);
    const int64_t c = i - beam * arguments.desc.candidates;
    return token(beam, c) >= 0 && !(score(beam, c) < arguments.desc.threshold);
  }
};

// A list's probabilities, those of candidates that do not exist being +0.
template <bool STOCHASTIC>
struct Probabilities {
  const Extensions<STOCHASTIC>& extensions;
  int64_t beam;

  __device__ float operator()(int64_t c) const {
    return extensions.token(beam, c) >= 0 ? extensions.input(beam, c) : 0.0f;
  }
  __device__ float4 four(int64_t c) const {
    return make_float4((*this)(c), (*this)(c + 1), (*this)(c + 2), (*this)(c + 3));
  }
};

// What this launch wrote itself.
struct WrittenRow {
  const float* data;

  __device__ float operator()(int64_t i) const { return data[i]; }
  __device__ float4 four(int64_t i) const {
    return make_float4(data[i], data[i + 1], data[i + 2], data[i + 3]);
  }
};

template <bool STOCHASTIC, bool FEW>
__global__ void __launch_bounds__(kRankThreads, 1)
    beam_expand_kernel(const __grid_constant__ BeamExpandArguments arguments) {
  QUERN_SHARED(float[QUERN_MAX_BEAMS], greatest);
  QUERN_SHARED(float[QUERN_MAX_BEAMS], totals);
  const quern_beam_expand_desc& desc = arguments.desc;
  for (int64_t request = blockIdx.x; request < desc.requests; request += gridDim.x) {
    const Extensions<STOCHASTIC> extensions = {arguments, request, greatest, totals};
    __syncthreads();
    for (int64_t beam = threadIdx.x / kRowLanes; beam < desc.beams; beam += kRankThreads / kRowLanes) {
      const int lane = static_cast<int>(threadIdx.x) % kRowLanes;
      if constexpr (STOCHASTIC) {
        float most = -INFINITY;
        for (int64_t c = lane; c < desc.candidates; c += kRowLanes) {
          const float g = extensions.token(beam, c) >= 0 ? extensions.noisy(beam, c) : -INFINITY;
          most = g > most ? g : most;
        }
        const unsigned int mask = 0xffffu << (threadIdx.x & kRowLanes);
#pragma unroll
        for (int distance = kRowLanes / 2; distance > 0; distance /= 2) {
          const float other = __shfl_xor_sync(mask, most, distance, kRowLanes);
          most = other > most ? other : most;
        }
        if (lane == 0) {
          greatest[beam] = most;
        }
      }
      if (desc.probabilities) {
        const Probabilities<STOCHASTIC> row = {extensions, beam};
        const float total = half_warp_reduce(SumOf<Probabilities<STOCHASTIC>>{row}, desc.candidates);
        if (lane == 0) {
          totals[beam] = total;
        }
      }
    }
    __syncthreads();
    rank_row<FEW>(extensions, desc.beams * desc.candidates, desc.keep, [&](int64_t rank, int64_t index) {
      const int64_t beam = index < 0 ? -1 : extensions.beam_of(index);
      const int64_t c = index - beam * desc.candidates;
      arguments.out_parents[request * desc.out_parents_stride + rank] = static_cast<int32_t>(beam);
      arguments.out_tokens[request * desc.out_tokens_stride + rank] =
          index < 0 ? -1 : extensions.token(beam, c);
      arguments.out_scores[request * desc.out_scores_stride + rank] =
          index < 0 ? -INFINITY : extensions.score(beam, c);
      if constexpr (STOCHASTIC) {
        arguments.out_perturbed[request * desc.out_perturbed_stride + rank] =
            index < 0 ? -INFINITY : extensions.perturbed(beam, c);
      }
    });
    if (arguments.out_weights != nullptr) {
      __syncthreads();
      const WrittenRow row = {arguments.out_scores + request * desc.out_scores_stride};
      const float most = block_max<kRankThreads>(row, desc.keep);
      const ExpOf<WrittenRow> exponentials = {row, most};
      const float total = block_sum<kRankThreads>(exponentials, desc.keep);
      for (int64_t i = threadIdx.x; i < desc.keep; i += kRankThreads) {
        arguments.out_weights[request * desc.out_weights_stride + i] =
            most == -INFINITY ? 0.0f : __fdiv_rn(exponentials(i), total);
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_ROWS_BEAM_EXPAND_KERNEL_CUH_

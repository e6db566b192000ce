// ponet_chunks: one pass of a pooling over one chunk of a document. Contract: quern/pooling.h. A block does
// what an item of the whole's kernel does; where the last block of the whole combines shares from nothing, it
// combines them here from what the last chunk left.
#ifndef QUERN_POOLING_PONET_CHUNKS_KERNEL_CUH_
#define QUERN_POOLING_PONET_CHUNKS_KERNEL_CUH_

#include "pooling/ponet_pooling_kernel.cuh"

namespace quern {

inline __device__ PonetItem chunk_item(const PonetArguments& arguments) {
  const int64_t tokens = arguments.sequences.tokens;
  const int64_t place = blockIdx.x / static_cast<unsigned int>(arguments.slices);
  PonetItem item;
  item.sequence = 0;
  item.begin = 0;
  item.length = tokens;
  item.chunk = place;
  item.chunks = (tokens + kPonetChunk - 1) / kPonetChunk;
  item.first = place * kPonetChunk;
  item.tokens = static_cast<int>(min(kPonetChunk, tokens - item.first));
  item.slice = static_cast<int64_t>(blockIdx.x) - place * arguments.slices;
  item.first_head = item.slice * arguments.slice_heads;
  item.heads =
      static_cast<int>(min(static_cast<int64_t>(arguments.slice_heads), arguments.heads - item.first_head));
  return item;
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    ponet_chunk_queries_kernel(const __grid_constant__ PonetArguments arguments) {
  QUERN_SHARED(int[1], last);
  ponet_queries<true, Element, N>(arguments, chunk_item(arguments), last);
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    ponet_chunk_keys_kernel(const __grid_constant__ PonetArguments arguments) {
  float* query = dynamic_shared<float>();
  float* scores = query + static_cast<int64_t>(arguments.slice_heads) * arguments.head_dim;
  QUERN_SHARED(int[1], last);
  ponet_keys<true, Element, N>(arguments, chunk_item(arguments), query, scores, last);
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    ponet_chunk_fuse_kernel(const __grid_constant__ PonetArguments arguments) {
  ponet_fuse<true, Element, N>(arguments, chunk_item(arguments));
}

}  // namespace quern

#endif  // QUERN_POOLING_PONET_CHUNKS_KERNEL_CUH_

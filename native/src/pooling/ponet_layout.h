// How PoNet's launchers cut work into slices and places, and lay workspaces out. Host code.
#ifndef QUERN_POOLING_PONET_LAYOUT_H_
#define QUERN_POOLING_PONET_LAYOUT_H_

#include <algorithm>

#include "pooling/ponet_pooling_kernel.cuh"

namespace quern {

// Heads are spread evenly over the fewest slices; the scores of 64 of them fit into shared memory.
inline int32_t slices_of(int32_t heads, int32_t head_dim) {
  const int32_t most = std::clamp(kPonetSliceColumns / head_dim, 1, 64);
  return (heads - 1) / most + 1;
}

inline int64_t places_of(int64_t sequences, int64_t count) {
  return count / kPonetChunk + sequences;
}

// Hands out pieces of the workspace, each aligned to 16 bytes; with a null base it only counts.
class Layout {
 public:
  explicit Layout(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  T* take(int64_t elements) {
    T* const piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + bytes_);
    bytes_ += (elements * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
    return piece;
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* base_;
  int64_t bytes_ = 0;
};

// Slices of heads, and what else follows from the shape of a row.
inline void set_shape(PonetArguments* arguments, int32_t heads, int32_t head_dim, int32_t window) {
  arguments->columns = static_cast<int64_t>(heads) * head_dim;
  arguments->heads = heads;
  arguments->head_dim = head_dim;
  arguments->slices = slices_of(heads, head_dim);
  arguments->slice_heads = (heads - 1) / arguments->slices + 1;
  arguments->reach = window / 2;
}

inline quern_status clear(void* memory, int64_t bytes, void* stream) {
  const cudaError_t cleared =
      cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream));
  if (cleared != cudaSuccess) {
    (void)cudaGetLastError();
  }
  return static_cast<quern_status>(cleared);
}

}  // namespace quern

#endif  // QUERN_POOLING_PONET_LAYOUT_H_

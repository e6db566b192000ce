// tree_mask: which columns each node sees, in the formats that attention kernels read. Contract:
// quern/tree.h.
#ifndef QUERN_TREE_TREE_MASK_KERNEL_CUH_
#define QUERN_TREE_TREE_MASK_KERNEL_CUH_

#include "tree/flat_layout.cuh"
#include "tree/tree_block.cuh"

namespace quern {

constexpr int64_t kMostPrefix = INT32_MAX;

struct TreeMaskArguments {
  const int32_t* parent;
  const int32_t* offsets;
  const void* prefix;
  char* out;
  int64_t* indptr;
  int32_t* status;
  int64_t requests;
  int64_t nodes;
  int64_t columns;        // of a row, in elements; PACKED and FLAT: all
  int64_t stride;         // in elements
  int64_t block_threads;  // and warps, in 64 bits, as their products with block numbers have to be
  int64_t block_warps;
  uint64_t visible;  // the bits of an element
  uint64_t hidden;
  int32_t prefix_dtype;
};

// The shape of request b, its tree in place, and what is wrong with it.
struct MaskRequest {
  RequestNodes nodes;
  TreeBlock tree;
  int64_t prefix = 0;
  int32_t status = QUERN_TREE_OK;
};

inline __device__ MaskRequest open_mask_request(const TreeMaskArguments& arguments, int64_t b) {
  MaskRequest request;
  request.nodes = open_request(arguments.offsets, b, arguments.nodes);
  request.status = request.nodes.status;
  request.tree =
      TreeBlock::of(request.nodes.count, const_cast<int32_t*>(arguments.parent) + request.nodes.first);
  if (request.tree.own != nullptr) {
    for (int i = static_cast<int>(threadIdx.x); i < request.nodes.count; i += static_cast<int>(blockDim.x)) {
      request.tree.parent[i] = __ldg(arguments.parent + request.nodes.first + i);
    }
  }
  __syncthreads();
  if (request.status == QUERN_TREE_OK) {
    request.status = request.tree.build();
  }
  request.prefix = load_prefix(arguments.prefix, arguments.prefix_dtype, b);
  return request;
}

inline __device__ bool is_prefix(int64_t prefix) {
  return prefix >= 0 && prefix <= kMostPrefix;
}

// Of several findings the one of the lowest number.
inline __device__ int32_t worse(int32_t status, bool fails, int32_t otherwise) {
  return fails && (status == QUERN_TREE_OK || otherwise < status) ? otherwise : status;
}

// `count` equal elements, 16 bytes at a time, by the lanes of a warp.
template <typename T>
__device__ void fill_by_warp(T* out, int64_t count, T value) {
  constexpr int kPer16 = 16 / static_cast<int>(sizeof(T));
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  int64_t head = static_cast<int64_t>((16 - reinterpret_cast<uintptr_t>(out) % 16) % 16 / sizeof(T));
  head = head < count ? head : count;
  for (int64_t e = lane; e < head; e += kWarpSize) {
    out[e] = value;
  }
  unsigned int word[2];
  if constexpr (sizeof(T) == 8) {
    word[0] = static_cast<unsigned int>(value);
    word[1] = static_cast<unsigned int>(value >> 32);
  } else {
    unsigned int pattern = static_cast<unsigned int>(value);
    for (int bits = 8 * static_cast<int>(sizeof(T)); bits < 32; bits *= 2) {
      pattern |= pattern << bits;
    }
    word[0] = word[1] = pattern;
  }
  const int64_t packets = (count - head) / kPer16;
  uint4* aligned = reinterpret_cast<uint4*>(out + head);
  for (int64_t v = lane; v < packets; v += kWarpSize) {
    __stcs(aligned + v, make_uint4(word[0], word[1], word[0], word[1]));
  }
  for (int64_t e = head + packets * kPer16 + lane; e < count; e += kWarpSize) {
    out[e] = value;
  }
}

// One row, by the lanes of a warp: the prefix, the tree, and hidden columns behind it.
template <typename T>
__device__ void write_row(const TreeMaskArguments& arguments, const MaskRequest& request, int i, T* row,
                          int64_t columns) {
  const T visible = static_cast<T>(arguments.visible);
  const T hidden = static_cast<T>(arguments.hidden);
  if (request.status != QUERN_TREE_OK) {
    fill_by_warp(row, columns, hidden);
    return;
  }
  fill_by_warp(row, request.prefix, visible);
  T* tree = row + request.prefix;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int j = lane; j < request.nodes.count; j += kWarpSize) {
    const uint32_t word = j - lane <= i ? request.tree.word(i, j / kWordBits) : 0;
    tree[j] = word >> lane & 1 ? visible : hidden;
  }
  const int64_t end = request.prefix + request.nodes.count;
  fill_by_warp(row + end, columns - end, hidden);
}

// Rows [nodes, columns], a warp each; the blocks of a request share them.
template <typename T>
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    tree_mask_rows_kernel(const __grid_constant__ TreeMaskArguments arguments) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    MaskRequest request = open_mask_request(arguments, b);
    const bool prefix_is_bad = !is_prefix(request.prefix);
    request.status = worse(request.status, prefix_is_bad, QUERN_TREE_PREFIX);
    request.status =
        worse(request.status, !prefix_is_bad && request.prefix + request.nodes.count > arguments.columns,
              QUERN_TREE_CAPACITY);
    for (int64_t i = blockIdx.y * arguments.block_warps + warp; i < request.nodes.count;
         i += gridDim.y * arguments.block_warps) {
      T* row = reinterpret_cast<T*>(arguments.out) + (request.nodes.first + i) * arguments.stride;
      write_row(arguments, request, static_cast<int>(i), row, arguments.columns);
    }
    if (blockIdx.y == 0 && threadIdx.x == 0) {
      arguments.status[b] = request.status;
    }
    __syncthreads();
  }
}

// Words [nodes, columns]; columns and stride are in bytes.
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    tree_mask_bits_kernel(const __grid_constant__ TreeMaskArguments arguments) {
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    MaskRequest request = open_mask_request(arguments, b);
    request.status = worse(request.status, request.nodes.count > arguments.columns * 8, QUERN_TREE_CAPACITY);
    write_bits(request.tree, request.status == QUERN_TREE_OK,
               arguments.out + request.nodes.first * arguments.stride, arguments.columns, arguments.stride);
    if (threadIdx.x == 0) {
      arguments.status[b] = request.status;
    }
    __syncthreads();
  }
}

// Elements of request a: 0 where its offsets or its prefix length are bad.
inline __device__ int64_t flat_elements(const TreeMaskArguments& arguments, int64_t a, bool packed) {
  const int64_t begin = __ldg(arguments.offsets + a);
  const int64_t count = __ldg(arguments.offsets + a + 1) - begin;
  const int64_t prefix = load_prefix(arguments.prefix, arguments.prefix_dtype, a);
  if (begin < 0 || count < 0 || begin + count > arguments.nodes || !is_prefix(prefix)) {
    return 0;
  }
  const int64_t elements = count * (prefix + count);  // below 2^63: both are below 2^31
  return packed ? elements / 8 + (elements % 8 != 0) : elements;
}

// Where request b begins.
inline __device__ int64_t flat_begin(const TreeMaskArguments& arguments, int64_t b, bool packed) {
  return sum_before(b, [&](int64_t a) { return flat_elements(arguments, a, packed); });
}

// One byte of a packed mask: the bits from `bit` on of rows of `width`, those behind the last row 0.
inline __device__ uint32_t packed_byte(const MaskRequest& request, int64_t row, int64_t column,
                                       int64_t width) {
  if (column + 8 <= request.prefix) {
    return 0xff;
  }
  uint32_t byte = 0;
  for (int bit = 0; bit < 8 && row < request.nodes.count; ++bit) {
    const int64_t j = column - request.prefix;
    const bool sees =
        j < 0 ||
        (j <= row &&
         request.tree.word(static_cast<int>(row), static_cast<int>(j / kWordBits)) >> (j % kWordBits) & 1);
    byte |= static_cast<uint32_t>(sees) << bit;
    if (++column == width) {
      column = 0;
      ++row;
    }
  }
  return byte;
}

// Bytes [begin, begin + bytes) of out: 16 at a time where they are aligned so far.
inline __device__ void write_packed(const MaskRequest& request, char* out, int64_t bytes, int64_t threads) {
  const bool good = request.status == QUERN_TREE_OK;
  const int64_t width = good ? request.prefix + request.nodes.count : 1;
  int64_t head = static_cast<int64_t>((16 - reinterpret_cast<uintptr_t>(out) % 16) % 16);
  head = head < bytes ? head : bytes;
  const int64_t packets = (bytes - head) / 16;
  const int64_t tail = head + packets * 16;
  const int64_t units = head + packets + (bytes - tail);
  for (int64_t u = blockIdx.y * threads + threadIdx.x; u < units; u += gridDim.y * threads) {
    const bool wide = u >= head && u < head + packets;
    const int64_t at = u < head ? u : wide ? head + (u - head) * 16 : tail + (u - head - packets);
    int64_t row = at * 8 / width;
    int64_t column = at * 8 - row * width;
    if (!wide) {
      out[at] = static_cast<char>(good ? packed_byte(request, row, column, width) : 0);
      continue;
    }
    uint32_t words[4] = {};
    if (good && column + 128 <= request.prefix) {
      words[0] = words[1] = words[2] = words[3] = 0xffffffffu;
    } else if (good) {
#pragma unroll
      for (int w = 0; w < 4; ++w) {
#pragma unroll 1
        for (int byte = 0; byte < 4; ++byte) {
          words[w] |= packed_byte(request, row, column, width) << (8 * byte);
          for (column += 8; column >= width; column -= width) {
            ++row;
          }
        }
      }
    }
    __stcs(reinterpret_cast<uint4*>(out + at), make_uint4(words[0], words[1], words[2], words[3]));
  }
}

// Requests back to back: FLAT a byte for an element, PACKED a bit.
template <bool PACKED>
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    tree_mask_flat_kernel(const __grid_constant__ TreeMaskArguments arguments) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const bool speaks = blockIdx.y == 0 && threadIdx.x == 0;
  if (arguments.requests == 0) {
    if (speaks) {
      arguments.indptr[0] = 0;
    }
    return;
  }
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    MaskRequest request = open_mask_request(arguments, b);
    const int64_t begin = flat_begin(arguments, b, PACKED);
    const int64_t size = flat_elements(arguments, b, PACKED);
    const int64_t end = saturating_add(begin, size);
    const bool fits = end <= arguments.columns;
    request.status = worse(request.status, !is_prefix(request.prefix), QUERN_TREE_PREFIX);
    request.status = worse(request.status, size > 0 && !fits, QUERN_TREE_CAPACITY);
    if (fits && PACKED) {
      write_packed(request, arguments.out + begin, size, arguments.block_threads);
    } else if (fits && size > 0) {
      // The offsets may be bad only beside others': the request then has room, but no rows of its own.
      const int64_t rows =
          __ldg(arguments.offsets + b + 1) - static_cast<int64_t>(__ldg(arguments.offsets + b));
      const int64_t columns = size / rows;
      for (int64_t i = blockIdx.y * arguments.block_warps + warp; i < rows;
           i += gridDim.y * arguments.block_warps) {
        write_row(arguments, request, static_cast<int>(i),
                  reinterpret_cast<uint8_t*>(arguments.out) + begin + i * columns, columns);
      }
    }
    if (speaks) {
      arguments.status[b] = request.status;
      if (arguments.indptr != nullptr) {
        arguments.indptr[b] = begin;
        if (b == arguments.requests - 1) {
          arguments.indptr[b + 1] = end;
        }
      }
    }
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_MASK_KERNEL_CUH_

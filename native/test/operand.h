// Operands of kernels under test, in device memory between guards, and their elements on the host.
// Only the CUDA runtime API is used, so that one program tests libquern on a GPU and libquern_emulated
// without.
#ifndef QUERN_TEST_OPERAND_H_
#define QUERN_TEST_OPERAND_H_

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "quern/quern.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace quern_test {

inline int failures = 0;

// The first mismatches say most; the rest is counted.
#define QUERN_FAIL(...)                                    \
  do {                                                     \
    if (++::quern_test::failures <= 20) {                  \
      std::fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
      std::fprintf(stderr, __VA_ARGS__);                   \
      std::fprintf(stderr, "\n");                          \
    }                                                      \
  } while (false)

#define QUERN_EXPECT(condition, ...) \
  do {                               \
    if (!(condition)) {              \
      QUERN_FAIL(__VA_ARGS__);       \
    }                                \
  } while (false)

// A CUDA call that the test itself needs.
inline void must(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    std::fprintf(stderr, "%s: %s (%d)\n", what, cudaGetErrorName(status), static_cast<int>(status));
    std::exit(1);
  }
}

inline cudaStream_t stream() {
  static const cudaStream_t created = [] {
    cudaStream_t stream;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return stream;
  }();
  return created;
}

constexpr unsigned char kPoison = 0xa5;  // what outputs hold before a launch
constexpr unsigned char kGuard = 0xc3;
constexpr size_t kGuardBytes = 128;

// `bytes` of device memory that begin `misalignment` bytes after a multiple of 256, between guards. On the
// emulation AddressSanitizer also sees reads of the guards.
class Operand {
 public:
  explicit Operand(size_t bytes, size_t misalignment = 0)
      : bytes_(bytes), before_(2 * kGuardBytes + misalignment), total_(before_ + bytes + kGuardBytes) {
    must(cudaMalloc(&block_, total_), "cudaMalloc");
    std::vector<unsigned char> image(total_, kGuard);
    std::memset(image.data() + before_, kPoison, bytes_);
    copy(block_, image.data(), total_);
    forbid_guards();
  }
  Operand(const void* source, size_t bytes, size_t misalignment = 0) : Operand(bytes, misalignment) {
    copy(data(), source, bytes);
  }
  template <typename T>
  explicit Operand(const std::vector<T>& source, size_t misalignment = 0)
      : Operand(source.data(), source.size() * sizeof(T), misalignment) {}
  ~Operand() {
    allow_guards();
    must(cudaFree(block_), "cudaFree");
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  void* data() const { return static_cast<unsigned char*>(block_) + before_; }

  std::vector<unsigned char> read() const {
    std::vector<unsigned char> bytes(bytes_);
    copy(bytes.data(), data(), bytes_);
    return bytes;
  }

  bool guards_hold() const {
    allow_guards();
    std::vector<unsigned char> image(total_);
    copy(image.data(), block_, total_);
    forbid_guards();
    bool hold = true;
    for (size_t i = 0; i < total_; ++i) {
      hold = hold && ((i >= before_ && i < before_ + bytes_) || image[i] == kGuard);
    }
    return hold;
  }

 private:
  static void copy(void* target, const void* source, size_t bytes) {
    if (bytes > 0) {
      must(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, stream()), "cudaMemcpyAsync");
      must(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
    }
  }
  void forbid_guards() const {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(block_, before_);
    ASAN_POISON_MEMORY_REGION(static_cast<unsigned char*>(data()) + bytes_, kGuardBytes);
#endif
  }
  void allow_guards() const {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(block_, total_);
#endif
  }

  size_t bytes_;
  size_t before_;
  size_t total_;
  void* block_ = nullptr;
};

// Elements on the host, by means other than the kernels'.
inline size_t element_bytes(int32_t dtype) {
  return dtype == QUERN_F32 ? 4 : 2;
}

inline float load_element(int32_t dtype, const void* address) {
  float value;
  if (dtype == QUERN_F32) {
    std::memcpy(&value, address, 4);
  } else if (dtype == QUERN_F16) {
    _Float16 half;
    std::memcpy(&half, address, 2);
    value = static_cast<float>(half);
  } else {
    uint16_t bits;
    std::memcpy(&bits, address, 2);
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    std::memcpy(&value, &wide, 4);
  }
  return value;
}

inline void store_element(int32_t dtype, void* address, float value) {
  if (dtype == QUERN_F32) {
    std::memcpy(address, &value, 4);
  } else if (dtype == QUERN_F16) {
    const _Float16 half = static_cast<_Float16>(value);
    std::memcpy(address, &half, 2);
  } else {
    // To the nearer of the two neighbours that cutting off leaves, ties to the even one.
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    uint16_t bits = static_cast<uint16_t>(wide >> 16);
    const uint32_t rest = wide & 0xffff;
    if (std::isnan(value)) {
      bits = 0x7fc0;
    } else if (rest > 0x8000 || (rest == 0x8000 && bits % 2 == 1)) {
      ++bits;
    }
    std::memcpy(address, &bits, 2);
  }
}

// Equal bits; NaNs are equal whatever their payload.
inline bool same_element(int32_t dtype, const void* a, const void* b) {
  return std::memcmp(a, b, element_bytes(dtype)) == 0 ||
         (std::isnan(load_element(dtype, a)) && std::isnan(load_element(dtype, b)));
}

// A small generator, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435761u + 1) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  int64_t below(int64_t limit) { return static_cast<int64_t>(next() % static_cast<uint64_t>(limit)); }
  // Mostly ordinary values of either sign, now and then one of the awkward ones.
  float value() {
    static const float awkward[] = {0.0f,    -0.0f,   1e-40f,   -1e-40f,  6e-8f,     -3e-6f,
                                    65504.f, 65520.f, 3.39e38f, INFINITY, -INFINITY, NAN};
    const float ordinary = static_cast<float>(static_cast<double>(next() >> 11) / (1LL << 52) - 1.0) * 4.0f;
    return below(40) == 0 ? awkward[below(sizeof(awkward) / sizeof(awkward[0]))] : ordinary;
  }

 private:
  uint64_t state_;
};

}  // namespace quern_test

#endif  // QUERN_TEST_OPERAND_H_

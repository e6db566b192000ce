// Packets: consecutive elements of a row that one thread loads or stores at once, 16 bytes at a time where
// they are that long. The address must be a multiple of the access size (at most 16); launchers choose the
// packet accordingly.
#ifndef QUERN_CORE_VECTOR_CUH_
#define QUERN_CORE_VECTOR_CUH_

#include "core/dtype.cuh"

namespace quern {

template <typename Element, int N>
struct Packet {
  using Bits = typename Element::Bits;
  static constexpr int kBytes = N * static_cast<int>(sizeof(Bits));
  static constexpr int kWords = (kBytes + 3) / 4;
  static_assert(kBytes == 2 || kBytes == 4 || kBytes == 8 || kBytes % 16 == 0, "a packet is whole accesses");

  unsigned int words[kWords];

  static __device__ Packet zeros() {
    Packet packet;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      packet.words[w] = 0;
    }
    return packet;
  }

  // Operands are read-only for the whole launch.
  static __device__ Packet load(const void* address) {
    Packet packet;
    if constexpr (kBytes >= 16) {
#pragma unroll
      for (int v = 0; v < kBytes / 16; ++v) {
        const uint4 part = __ldg(static_cast<const uint4*>(address) + v);
        packet.words[4 * v] = part.x;
        packet.words[4 * v + 1] = part.y;
        packet.words[4 * v + 2] = part.z;
        packet.words[4 * v + 3] = part.w;
      }
    } else if constexpr (kBytes == 8) {
      const uint2 part = __ldg(static_cast<const uint2*>(address));
      packet.words[0] = part.x;
      packet.words[1] = part.y;
    } else if constexpr (kBytes == 4) {
      packet.words[0] = __ldg(static_cast<const unsigned int*>(address));
    } else {
      packet.words[0] = __ldg(static_cast<const unsigned short*>(address));
    }
    return packet;
  }

  // Results are written once and not read again here: evict first, so that they do not displace table rows.
  __device__ void store(void* address) const {
    if constexpr (kBytes >= 16) {
#pragma unroll
      for (int v = 0; v < kBytes / 16; ++v) {
        __stcs(static_cast<uint4*>(address) + v,
               make_uint4(words[4 * v], words[4 * v + 1], words[4 * v + 2], words[4 * v + 3]));
      }
    } else if constexpr (kBytes == 8) {
      __stcs(static_cast<uint2*>(address), make_uint2(words[0], words[1]));
    } else if constexpr (kBytes == 4) {
      __stcs(static_cast<unsigned int*>(address), words[0]);
    } else {
      __stcs(static_cast<unsigned short*>(address), static_cast<unsigned short>(words[0]));
    }
  }

  __device__ float widened(int i) const {
    if constexpr (sizeof(Bits) == 4) {
      return Element::widen(words[i]);
    } else {
      return Element::widen(static_cast<Bits>(words[i / 2] >> (16 * (i % 2))));
    }
  }

  static __device__ Packet rounded(const float (&values)[N]) {
    Packet packet = zeros();
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if constexpr (sizeof(Bits) == 4) {
        packet.words[i] = Element::round(values[i]);
      } else {
        packet.words[i / 2] |= static_cast<unsigned int>(Element::round(values[i])) << (16 * (i % 2));
      }
    }
    return packet;
  }
};

}  // namespace quern

#endif  // QUERN_CORE_VECTOR_CUH_

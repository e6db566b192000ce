package io.quern;

import io.quern.internal.device.HostMemory;
import java.lang.foreign.MemorySegment;

/** Pageable host memory, for {@link CpuDevice}s. */
public sealed interface HostBuffer extends Buffer permits HostMemory {
  /**
   * The memory, from this buffer's first element to its last. It becomes inaccessible when the
   * buffer is closed; a wrapped segment keeps its owner's lifetime.
   */
  MemorySegment segment();

  @Override
  HostBuffer view(long first, Shape shape, long rowStride);

  /**
   * Uses native memory that the caller owns (memory-mapped, allocated in an arena, from elsewhere).
   * Valid on every CPU device; nothing is copied. A read-only segment gives a buffer that can only
   * be read.
   *
   * @param segment native memory of exactly the shape's size, aligned to the element size
   * @throws IllegalArgumentException if it is a heap segment or of a confined arena (copy it in
   *     with {@link #copyFrom}), too short or long, or misaligned
   */
  static HostBuffer wrap(MemorySegment segment, DType dtype, Shape shape) {
    return HostMemory.wrap(segment, dtype, shape);
  }
}

package io.quern;

import io.quern.internal.cuda.PinnedMemory;
import java.lang.foreign.MemorySegment;

/**
 * Page-locked host memory that the GPU reads and writes as well; an operand on its CUDA device and
 * on CPU devices.
 */
public sealed interface PinnedBuffer extends Buffer permits PinnedMemory {
  /**
   * The memory, from this buffer's first element to its last; inaccessible once the buffer is
   * closed.
   */
  MemorySegment segment();

  @Override
  PinnedBuffer view(long first, Shape shape, long rowStride);
}

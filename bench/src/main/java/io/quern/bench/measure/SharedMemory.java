package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.List;

/**
 * The same memory for the operands of two builds: what is allocated again in the same order and
 * sizes is what there is already, zeroed.
 */
final class SharedMemory implements SegmentAllocator {
  private final SegmentAllocator memory;
  private final List<MemorySegment> segments = new ArrayList<>();
  private int next;

  SharedMemory(SegmentAllocator memory) {
    this.memory = memory;
  }

  /** Begins again with the first segment. */
  void again() {
    next = 0;
  }

  @Override
  public MemorySegment allocate(long bytes, long alignment) {
    if (next < segments.size()) {
      MemorySegment segment = segments.get(next);
      if (segment.byteSize() == bytes && segment.address() % alignment == 0) {
        next++;
        return segment.fill((byte) 0);
      }
    }
    MemorySegment segment = memory.allocate(bytes, alignment);
    segments.add(next++, segment);
    return segment;
  }
}

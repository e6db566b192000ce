package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;

/**
 * What a workload writes: dense native memory that the contenders on the CPU share.
 *
 * @param before what it holds before a run that changes it in place; null where a run writes it all
 */
public record Output(DType dtype, Shape shape, MemorySegment memory, MemorySegment before) {
  /** Fills it with what no operator would leave there: NaN, or 0x5A in every byte. */
  public void reset() {
    if (before == null) {
      memory.fill((byte) (dtype.isFloat() ? 0xFF : 0x5A));
    } else {
      memory.copyFrom(before);
    }
  }
}

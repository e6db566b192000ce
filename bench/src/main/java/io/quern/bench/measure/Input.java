package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * What a workload reads.
 *
 * @param sets native memory, one for all runs or one per input set
 */
public record Input(DType dtype, Shape shape, List<MemorySegment> sets) {
  /** Copies the list. */
  public Input {
    sets = List.copyOf(sets);
  }

  /** The memory of one input set. */
  public MemorySegment of(int set) {
    return sets.get(sets.size() == 1 ? 0 : set);
  }
}

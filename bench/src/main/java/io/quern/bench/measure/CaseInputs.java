package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.HostBuffer;
import io.quern.Stream;
import io.quern.op.IndexDistribution;
import io.quern.op.RandomRows;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** The inputs of a case as plain loops want them: native memory and Java arrays. */
final class CaseInputs {
  private CaseInputs() {}

  static MemorySegment table(SegmentAllocator memory, RandomRows rows) {
    MemorySegment table = memory.allocate(rows.shape().size() * rows.dtype().byteSize(), 64);
    try (CpuDevice device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream()) {
      rows.copyTo(HostBuffer.wrap(table, rows.dtype(), rows.shape()), stream);
    }
    return table;
  }

  /** Several sets of ids, so that no call finds the rows of the one before it. */
  static List<int[]> idSets(
      IndexDistribution distribution, int count, long rows, long seed, int sets) {
    List<int[]> drawn = new ArrayList<>();
    for (int set = 0; set < sets; set++) {
      drawn.add(ints(distribution.draw(count, rows, new SplittableRandom(seed + set))));
    }
    return drawn;
  }

  /** Int sets in native memory. */
  static List<MemorySegment> place(SegmentAllocator memory, List<int[]> sets) {
    return sets.stream().map(set -> memory.allocateFrom(ValueLayout.JAVA_INT, set)).toList();
  }

  static int[] ints(long[] values) {
    return Arrays.stream(values).mapToInt(Math::toIntExact).toArray();
  }
}

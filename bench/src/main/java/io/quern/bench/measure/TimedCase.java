package io.quern.bench.measure;

import io.quern.DType;
import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * A shape that is timed, by the command line and by JMH.
 *
 * @param id names it in reports
 * @param operator its file stem
 * @param workload makes it, with operands in the given memory
 */
public record TimedCase(String id, String operator, Function<SegmentAllocator, Workload> workload) {
  private static final long DRAM_BYTES = 1L << 30;
  private static final long CACHE_BYTES = 1L << 20;
  private static final int BAG_SIZE = 32;

  /** Every operator over tables in memory and in cache, rows of 64 bytes to 3 KiB. */
  static List<TimedCase> all(boolean quick) {
    List<TimedCase> cases = new ArrayList<>();
    for (boolean cached : new boolean[] {false, true}) {
      for (int dim : quick ? new int[] {128, 768} : new int[] {16, 32, 64, 128, 384, 768}) {
        cases.add(gather(DType.F32, dim, cached));
      }
      for (DType half : List.of(DType.F16, DType.BF16)) {
        for (int dim : quick ? new int[] {384} : new int[] {32, 128, 384, 768}) {
          cases.add(gather(half, dim, cached));
        }
      }
      cases.add(bag(DType.F32, true, cached));
      if (!quick) {
        cases.add(bag(DType.F32, false, cached));
        cases.add(bag(DType.F16, true, cached));
        cases.add(bag(DType.F16, false, cached));
      }
    }
    return cases;
  }

  /** Uniform random rows to f32; 32 MiB of output from memory, 1 MiB in cache. */
  public static TimedCase gather(DType table, int dim, boolean cached) {
    int count = (cached ? 1 << 20 : 32 << 20) / (dim * Float.BYTES);
    return new TimedCase(
        "embedding_gather/%s/%d/%s".formatted(table, dim, place(cached)),
        "embedding_gather",
        memory ->
            GatherWorkload.random(
                memory, table, rows(table, dim, cached), dim, count, cached ? 4 : 16));
  }

  /** Bags of {@value #BAG_SIZE} uniform random rows of 128 elements, to f32. */
  public static TimedCase bag(DType table, boolean weighted, boolean cached) {
    int dim = 128;
    return new TimedCase(
        "embedding_bag/%s/%d/%s/%s"
            .formatted(table, dim, weighted ? "weighted" : "mean", place(cached)),
        "embedding_bag",
        memory ->
            BagWorkload.random(
                memory,
                table,
                rows(table, dim, cached),
                dim,
                cached ? 128 : 4096,
                BAG_SIZE,
                weighted,
                cached ? 4 : 16));
  }

  private static long rows(DType table, int dim, boolean cached) {
    return (cached ? CACHE_BYTES : DRAM_BYTES) / ((long) dim * table.byteSize());
  }

  private static String place(boolean cached) {
    return cached ? "cache" : "dram";
  }
}

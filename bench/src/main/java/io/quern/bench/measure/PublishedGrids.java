package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.IndexDistribution;
import io.quern.op.RandomRows;
import io.quern.op.ValueSet;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The sizes at which embedding libraries publish their speed.
 *
 * <ul>
 *   <li>cuEmbed, {@code benchmarks/sweep_parameters.sh}: sums of 1, 16 and 64 rows of 32 and 128
 *       f32 elements for 1024, 32768 and 131072 bags, from tables of 10^6 and 10^7 rows, ids
 *       uniform and by power laws of 1.05 and 1.15. Here they are means, which read and write the
 *       same and divide once more.
 *   <li>NV Embedding Cache, {@code benchmarks/benchmark_util.py}: 1024 × 1024 rows of 128 elements
 *       from a table of 10^6, f32 and f16, by a power law of 1.05.
 * </ul>
 */
final class PublishedGrids {
  /** Input sets of a call that reads more than the caches hold anyway. */
  private static final int LARGE_SETS = 3;

  private static final int LARGE_COUNT = 1 << 20;

  private PublishedGrids() {}

  static Stream<TimedCase> cases() {
    return Stream.concat(cuEmbed(), embeddingCache());
  }

  private static Stream<TimedCase> cuEmbed() {
    return Stream.of(
            IndexDistribution.UNIFORM, IndexDistribution.ZIPF_105, IndexDistribution.ZIPF_115)
        .flatMap(
            ids ->
                IntStream.of(1_000_000, 10_000_000)
                    .boxed()
                    .flatMap(
                        rows ->
                            IntStream.of(32, 128)
                                .boxed()
                                .flatMap(
                                    dim ->
                                        IntStream.of(1024, 32768, 131072)
                                            .boxed()
                                            .flatMap(
                                                bags ->
                                                    IntStream.of(1, 16, 64)
                                                        .mapToObj(
                                                            hot ->
                                                                bag(ids, rows, dim, bags, hot))))));
  }

  private static TimedCase bag(IndexDistribution ids, int rows, int dim, int bags, int hotness) {
    int count = bags * hotness;
    String shape =
        "cuembed-f32-rows%d-d%d-bags%d-hot%d-%s".formatted(rows, dim, bags, hotness, name(ids));
    return TimedCase.of(
            "embedding_bag",
            shape,
            memory ->
                BagWorkload.of(
                    memory,
                    DType.F32,
                    table(memory, DType.F32, rows, dim),
                    rows,
                    dim,
                    CaseInputs.idSets(ids, count, rows, count, sets(count)),
                    IntStream.rangeClosed(0, bags).map(bag -> bag * hotness).toArray(),
                    null))
        .withIds(ids.name());
  }

  private static Stream<TimedCase> embeddingCache() {
    IndexDistribution ids = IndexDistribution.ZIPF_105;
    int rows = 1_000_000;
    int dim = 128;
    return Stream.of(DType.F32, DType.F16)
        .map(
            dtype ->
                TimedCase.of(
                        "embedding_gather",
                        "nvcache-%s-rows%d-d%d-n%d-%s"
                            .formatted(
                                dtype.name().toLowerCase(Locale.ROOT),
                                rows,
                                dim,
                                LARGE_COUNT,
                                name(ids)),
                        memory ->
                            GatherWorkload.of(
                                memory,
                                dtype,
                                table(memory, dtype, rows, dim),
                                rows,
                                dim,
                                CaseInputs.idSets(ids, LARGE_COUNT, rows, 1, LARGE_SETS)))
                    .withIds(ids.name()));
  }

  private static int sets(int count) {
    return count < LARGE_COUNT ? TimedCase.SETS : LARGE_SETS;
  }

  private static MemorySegment table(SegmentAllocator memory, DType dtype, int rows, int dim) {
    return CaseInputs.table(
        memory, new RandomRows(dtype, Shape.of(rows, dim), ValueSet.NORMAL, rows));
  }

  private static String name(IndexDistribution ids) {
    return ids.name().toLowerCase(Locale.ROOT);
  }
}

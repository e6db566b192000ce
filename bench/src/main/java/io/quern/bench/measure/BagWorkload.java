package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmbeddingBagCases;
import io.quern.op.IndexPolicy;
import io.quern.op.Trait;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Rows of one table, combined bag by bag to f32: the weighted sum, or the mean without weights. */
public final class BagWorkload {
  private static final String OPERATOR = "embedding_bag";

  /** The canonical order of a bag up to this size is that of a plain loop. */
  private static final int PLAIN_ORDER_ROWS = 64;

  private static final int FEW_BAGS = 16;

  private static final Set<String> QUICK =
      Set.of(
          "f32-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
          "f16-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
          "f32-table1MiB-d128-weighted-sum-bags4096-hot20-uniform",
          "f32-table1MiB-d128-mean-bags4096-hot20-uniform");

  private final DType dtype;
  private final MemorySegment table;
  private final int dim;
  private final List<int[]> ids;
  private final int[] offsets;
  private final float[] weights;
  private final int[] fewOffsets;
  private final Workload workload;
  private final MemorySegment out;

  private BagWorkload(
      SegmentAllocator memory,
      DType dtype,
      MemorySegment table,
      long rows,
      int dim,
      List<int[]> ids,
      int[] offsets,
      float[] weights) {
    if (longest(offsets) > PLAIN_ORDER_ROWS) {
      throw new IllegalArgumentException("a bag of %d ids".formatted(longest(offsets)));
    }
    this.dtype = dtype;
    this.table = table;
    this.dim = dim;
    this.ids = List.copyOf(ids);
    this.offsets = offsets;
    this.weights = weights;
    this.fewOffsets = Arrays.copyOf(offsets, Math.min(FEW_BAGS, bags()) + 1);
    this.workload =
        new Workload(memory, OPERATOR, shape(rows))
            .with("table", dtype.name())
            .with("out", DType.F32.name())
            .with("rows", rows)
            .with("dim", dim)
            .with("row_bytes", dim * dtype.byteSize())
            .with("count", count())
            .with("bags", bags())
            .with("combine", combine().name())
            .with("weighted", weights != null)
            .bytes(bytes())
            .input("table", dtype, Shape.of(rows, dim), table)
            .input("ids", DType.I32, Shape.of(count()), CaseInputs.place(memory, ids))
            .input(
                "offsets",
                DType.I32,
                Shape.of(offsets.length),
                CaseInputs.place(memory, List.of(offsets)));
    if (weights != null) {
      workload.input(
          "weights",
          DType.F32,
          Shape.of(count()),
          memory.allocateFrom(ValueLayout.JAVA_FLOAT, weights));
    }
    this.out = workload.output("out", DType.F32, Shape.of(bags(), dim));
    workload
        .knowingFew()
        .loop("java-segment", this::segmentLoop)
        .runs(place -> onDevice(place, rows));
    if (table.byteSize() <= PlainJava.MOST_ARRAY_BYTES) {
      workload.loop("java-array", this::arrayLoop);
    }
  }

  /**
   * A workload on a given table.
   *
   * @param memory where the operands go
   * @param dtype of the table: F32 or F16
   * @param table native memory, {@code rows × dim} elements
   * @param ids input sets of one length
   * @param offsets where each bag begins, and where the last one ends; no bag has over 64 ids
   * @param weights one per id for the weighted sum, or null for the mean
   */
  public static Workload of(
      SegmentAllocator memory,
      DType dtype,
      MemorySegment table,
      long rows,
      int dim,
      List<int[]> ids,
      int[] offsets,
      float[] weights) {
    return new BagWorkload(memory, dtype, table, rows, dim, ids, offsets, weights).workload;
  }

  /** A case of the operator's table, with several sets of ids. */
  static Workload of(SegmentAllocator memory, EmbeddingBagCases.Case one, int sets) {
    EmbeddingBag.Spec spec = one.spec();
    EmbeddingBagCases.Inputs inputs = one.inputs();
    long rows = spec.vocabSizes().getFirst();
    return of(
        memory,
        spec.table(),
        CaseInputs.table(memory, inputs.tables().getFirst()),
        rows,
        Math.toIntExact(spec.dim()),
        CaseInputs.idSets(one.distribution(), inputs.ids().length, rows, one.seed(), sets),
        CaseInputs.ints(inputs.offsets()),
        inputs.weights() == null
            ? null
            : MemorySegment.ofArray(inputs.weights()).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED));
  }

  /** The cases of the operator's table that a plain loop can be put beside. */
  static Stream<TimedCase> cases() {
    return EmbeddingBagCases.benchmark().stream()
        .filter(BagWorkload::hasPlainLoop)
        .map(
            one ->
                TimedCase.of(OPERATOR, one.id(), memory -> of(memory, one, TimedCase.SETS))
                    .withIds(one.distribution().name())
                    .quickly(QUICK.contains(one.id())));
  }

  /** Whether {@link PlainJava} has a loop for the case, and sums in the canonical order. */
  private static boolean hasPlainLoop(EmbeddingBagCases.Case one) {
    boolean weighted = one.traits().contains(Trait.WEIGHTED);
    return one.spec().combine() == (weighted ? Combine.SUM : Combine.MEAN)
        && one.spec().table() != DType.BF16
        && Collections.max(one.lengths()) <= PLAIN_ORDER_ROWS;
  }

  private static int longest(int[] offsets) {
    return IntStream.range(1, offsets.length).map(s -> offsets[s] - offsets[s - 1]).max().orElse(0);
  }

  private String shape(long rows) {
    return "%s[%d, %d], %d ids in %d bags, %s"
        .formatted(
            dtype.name().toLowerCase(Locale.ROOT),
            rows,
            dim,
            count(),
            bags(),
            weights == null ? "mean" : "weighted sum");
  }

  private long bytes() {
    long perId = Integer.BYTES + (weights == null ? 0L : Float.BYTES);
    return count() * (perId + (long) dim * dtype.byteSize())
        + (long) offsets.length * Integer.BYTES
        + (long) bags() * dim * Float.BYTES;
  }

  private int[] ids(int set) {
    return ids.get(Math.max(0, set));
  }

  private int[] offsets(int set) {
    return set == Contender.FEW ? fewOffsets : offsets;
  }

  private int bags() {
    return offsets.length - 1;
  }

  private int count() {
    return ids.getFirst().length;
  }

  private Combine combine() {
    return weights == null ? Combine.MEAN : Combine.SUM;
  }

  private void segmentLoop(int set) {
    int[] chosen = ids(set);
    int[] bags = offsets(set);
    if (weights == null) {
      if (dtype == DType.F32) {
        PlainJava.meanF32(table, dim, chosen, bags, out);
      } else {
        PlainJava.meanF16(table, dim, chosen, bags, out);
      }
    } else if (dtype == DType.F32) {
      PlainJava.weightedSumF32(table, dim, chosen, bags, weights, out);
    } else {
      PlainJava.weightedSumF16(table, dim, chosen, bags, weights, out);
    }
  }

  private Contender arrayLoop() {
    float[] target = new float[bags() * dim];
    return new PlainContender("java-array", "out", MemorySegment.ofArray(target), over(target));
  }

  private IntConsumer over(float[] target) {
    if (dtype == DType.F32) {
      float[] source = table.toArray(ValueLayout.JAVA_FLOAT);
      return weights == null
          ? set -> PlainJava.meanF32(source, dim, ids(set), offsets(set), target)
          : set -> PlainJava.weightedSumF32(source, dim, ids(set), offsets(set), weights, target);
    }
    short[] source = table.toArray(ValueLayout.JAVA_SHORT);
    return weights == null
        ? set -> PlainJava.meanF16(source, dim, ids(set), offsets(set), target)
        : set -> PlainJava.weightedSumF16(source, dim, ids(set), offsets(set), weights, target);
  }

  private IntConsumer onDevice(Placement place, long rows) {
    EmbeddingBag plan =
        EmbeddingBag.plan(
            place.device(),
            EmbeddingBag.Spec.of(dtype, rows, dim, combine(), IndexPolicy.FAIL).withOut(DType.F32));
    Buffer placedTable = place.input("table");
    Buffer placedOffsets = place.input("offsets");
    Buffer placedWeights = weights == null ? null : place.input("weights");
    Buffer placedOut = place.output("out");
    List<EmbeddingBag.Operands> operands =
        place.inputs("ids").stream()
            .map(
                set ->
                    EmbeddingBag.Operands.of(placedTable, set, placedOffsets, placedOut)
                        .withWeights(placedWeights))
            .toList();
    EmbeddingBag.Operands few =
        EmbeddingBag.Operands.of(
                placedTable,
                place.inputs("ids").getFirst(),
                placedOffsets.view(0, Shape.of(fewOffsets.length), fewOffsets.length),
                placedOut.view(0, plan.spec().outputShape(fewOffsets.length - 1), dim))
            .withWeights(placedWeights);
    return set -> plan.run(place.stream(), set == Contender.FEW ? few : operands.get(set));
  }
}

package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.EmbeddingGather;
import io.quern.op.EmbeddingGatherCases;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** Rows of one table by int32 ids, to f32. */
public final class GatherWorkload {
  private static final String OPERATOR = "embedding_gather";
  private static final int FEW_ROWS = 16;

  private static final Set<String> QUICK =
      Set.of(
          "f32-table1GiB-row512-n65536-uniform",
          "f32-table1GiB-row3072-n10922-uniform",
          "f16-table1GiB-row1536-n21845-uniform",
          "bf16-table1GiB-row1536-n21845-uniform",
          "f32-table1MiB-row512-n65536-uniform",
          "f32-table1MiB-row512-n32-uniform");

  private final DType dtype;
  private final MemorySegment table;
  private final int dim;
  private final List<int[]> ids;
  private final int[] few;
  private final Workload workload;
  private final MemorySegment out;

  private GatherWorkload(
      SegmentAllocator memory,
      DType dtype,
      MemorySegment table,
      long rows,
      int dim,
      List<int[]> ids) {
    this.dtype = dtype;
    this.table = table;
    this.dim = dim;
    this.ids = List.copyOf(ids);
    this.few = Arrays.copyOf(ids.getFirst(), Math.min(FEW_ROWS, count()));
    String type = dtype.name().toLowerCase(Locale.ROOT);
    this.workload =
        new Workload(memory, OPERATOR, "%s[%d, %d], %d ids".formatted(type, rows, dim, count()))
            .with("table", dtype.name())
            .with("out", DType.F32.name())
            .with("rows", rows)
            .with("dim", dim)
            .with("row_bytes", dim * dtype.byteSize())
            .with("count", count())
            .bytes(count() * (Integer.BYTES + (long) dim * (dtype.byteSize() + Float.BYTES)))
            .input("table", dtype, Shape.of(rows, dim), table)
            .input("ids", DType.I32, Shape.of(count()), CaseInputs.place(memory, ids));
    this.out = workload.output("out", DType.F32, Shape.of(count(), dim));
    workload
        .knowingFew()
        .loop("java-segment", this::segmentLoop)
        .runs(place -> onDevice(place, rows));
    if (table.byteSize() <= PlainJava.MOST_ARRAY_BYTES) {
      workload.loop("java-array", this::arrayLoop);
    }
    if (dtype == DType.F32) { // libtorch gives the table's type
      workload.peer(Peer.torch("index_select", "table", "ids", "out"));
      workload.peer(Peer.onnx("Gather", "table", "ids", "out"));
    }
  }

  /**
   * A workload on a given table.
   *
   * @param memory where the operands go
   * @param dtype of the table: F32, F16 or BF16
   * @param table native memory, {@code rows × dim} elements
   * @param ids input sets of one length
   */
  public static Workload of(
      SegmentAllocator memory,
      DType dtype,
      MemorySegment table,
      long rows,
      int dim,
      List<int[]> ids) {
    return new GatherWorkload(memory, dtype, table, rows, dim, ids).workload;
  }

  /** A case of the operator's table, with several sets of ids. */
  static Workload of(SegmentAllocator memory, EmbeddingGatherCases.Case one, int sets) {
    EmbeddingGather.Spec spec = one.spec();
    long rows = spec.vocabSizes().getFirst();
    return of(
        memory,
        spec.table(),
        CaseInputs.table(memory, one.inputs().tables().getFirst()),
        rows,
        Math.toIntExact(spec.dim()),
        CaseInputs.idSets(
            one.distribution(), Math.toIntExact(one.idShape().size()), rows, one.seed(), sets));
  }

  /** The cases of the operator's table. */
  static Stream<TimedCase> cases() {
    return EmbeddingGatherCases.benchmark().stream()
        .map(
            one ->
                TimedCase.of(OPERATOR, one.id(), memory -> of(memory, one, TimedCase.SETS))
                    .withIds(one.distribution().name())
                    .quickly(QUICK.contains(one.id())));
  }

  private int[] ids(int set) {
    return set == Contender.FEW ? few : ids.get(set);
  }

  private int count() {
    return ids.getFirst().length;
  }

  private void segmentLoop(int set) {
    switch (dtype) {
      case F32 -> PlainJava.gatherF32(table, dim, ids(set), out);
      case F16 -> PlainJava.gatherF16(table, dim, ids(set), out);
      default -> PlainJava.gatherBf16(table, dim, ids(set), out);
    }
  }

  private Contender arrayLoop() {
    float[] target = new float[count() * dim];
    return new PlainContender("java-array", "out", MemorySegment.ofArray(target), over(target));
  }

  private IntConsumer over(float[] target) {
    if (dtype == DType.F32) {
      float[] source = table.toArray(ValueLayout.JAVA_FLOAT);
      return set -> PlainJava.gatherF32(source, dim, ids(set), target);
    }
    short[] source = table.toArray(ValueLayout.JAVA_SHORT);
    return dtype == DType.F16
        ? set -> PlainJava.gatherF16(source, dim, ids(set), target)
        : set -> PlainJava.gatherBf16(source, dim, ids(set), target);
  }

  private IntConsumer onDevice(Placement place, long rows) {
    EmbeddingGather plan =
        EmbeddingGather.plan(
            place.device(),
            EmbeddingGather.Spec.of(dtype, rows, dim, IndexPolicy.FAIL).withOut(DType.F32));
    Buffer placedTable = place.input("table");
    List<Buffer> placedIds = place.inputs("ids");
    Buffer placedOut = place.output("out");
    Buffer fewIds = placedIds.getFirst().view(0, Shape.of(few.length), few.length);
    Buffer fewOut = placedOut.view(0, plan.spec().outputShape(few.length), dim);
    return set -> {
      if (set == Contender.FEW) {
        plan.run(place.stream(), placedTable, fewIds, fewOut);
      } else {
        plan.run(place.stream(), placedTable, placedIds.get(set), placedOut);
      }
    };
  }
}

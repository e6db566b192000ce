package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.op.EmbeddingGather;
import io.quern.op.EmbeddingGatherCases;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Rows of one table by int32 ids, to f32. */
public final class GatherWorkload implements Workload {
  private static final int FEW_ROWS = 16;

  private final SegmentAllocator memory;
  private final DType dtype;
  private final MemorySegment table;
  private final long rows;
  private final int dim;
  private final List<int[]> ids;
  private final int[] few;
  private final MemorySegment out;

  /**
   * A workload on a given table.
   *
   * @param memory where the operands go
   * @param dtype of the table: F32, F16 or BF16
   * @param table native memory, {@code rows × dim} elements
   * @param ids input sets of one length
   */
  public GatherWorkload(
      SegmentAllocator memory,
      DType dtype,
      MemorySegment table,
      long rows,
      int dim,
      List<int[]> ids) {
    this.memory = memory;
    this.dtype = dtype;
    this.table = table;
    this.rows = rows;
    this.dim = dim;
    this.ids = List.copyOf(ids);
    this.few = Arrays.copyOf(ids.getFirst(), Math.min(FEW_ROWS, count()));
    this.out = memory.allocate((long) count() * dim * Float.BYTES, 64);
  }

  /** A case of the operator's table, with several sets of ids. */
  static GatherWorkload of(SegmentAllocator memory, EmbeddingGatherCases.Case one, int sets) {
    EmbeddingGather.Spec spec = one.spec();
    long rows = spec.vocabSizes().getFirst();
    return new GatherWorkload(
        memory,
        spec.table(),
        CaseInputs.table(memory, one.inputs().tables().getFirst()),
        rows,
        Math.toIntExact(spec.dim()),
        CaseInputs.idSets(
            one.distribution(), Math.toIntExact(one.idShape().size()), rows, one.seed(), sets));
  }

  private int[] ids(int set) {
    return set == Contender.FEW ? few : ids.get(set);
  }

  private int count() {
    return ids.getFirst().length;
  }

  @Override
  public String operator() {
    return "embedding_gather";
  }

  @Override
  public String shape() {
    return "%s[%d, %d], %d ids"
        .formatted(dtype.name().toLowerCase(Locale.ROOT), rows, dim, count());
  }

  @Override
  public Map<String, Object> parameters() {
    Map<String, Object> parameters = new LinkedHashMap<>();
    parameters.put("table", dtype.name());
    parameters.put("out", DType.F32.name());
    parameters.put("rows", rows);
    parameters.put("dim", dim);
    parameters.put("row_bytes", dim * dtype.byteSize());
    parameters.put("count", count());
    return parameters;
  }

  @Override
  public long bytes() {
    return (long) count() * (Integer.BYTES + (long) dim * (dtype.byteSize() + Float.BYTES));
  }

  @Override
  public long tableBytes() {
    return table.byteSize();
  }

  @Override
  public int inputSets() {
    return ids.size();
  }

  @Override
  public MemorySegment sharedOutput() {
    return out;
  }

  @Override
  public Contender segmentLoop() {
    return new PlainContender("java-segment", out) {
      @Override
      public void run(int set) {
        switch (dtype) {
          case F32 -> PlainJava.gatherF32(table, dim, ids(set), out);
          case F16 -> PlainJava.gatherF16(table, dim, ids(set), out);
          default -> PlainJava.gatherBf16(table, dim, ids(set), out);
        }
      }
    };
  }

  @Override
  public Contender arrayLoop() {
    float[] target = new float[count() * dim];
    MemorySegment result = MemorySegment.ofArray(target);
    if (dtype == DType.F32) {
      float[] source = table.toArray(ValueLayout.JAVA_FLOAT);
      return new PlainContender("java-array", result) {
        @Override
        public void run(int set) {
          PlainJava.gatherF32(source, dim, ids(set), target);
        }
      };
    }
    short[] source = table.toArray(ValueLayout.JAVA_SHORT);
    return new PlainContender("java-array", result) {
      @Override
      public void run(int set) {
        if (dtype == DType.F16) {
          PlainJava.gatherF16(source, dim, ids(set), target);
        } else {
          PlainJava.gatherBf16(source, dim, ids(set), target);
        }
      }
    };
  }

  @Override
  public Contender on(Device device) {
    EmbeddingGather plan =
        EmbeddingGather.plan(
            device, EmbeddingGather.Spec.of(dtype, rows, dim, IndexPolicy.FAIL).withOut(DType.F32));
    return new OnDevice(device, plan);
  }

  private final class OnDevice extends DeviceContender {
    private final EmbeddingGather plan;
    private final Buffer placedTable;
    private final List<Buffer> placedIds;
    private final Buffer fewIds;
    private final Buffer fewOut;

    OnDevice(Device device, EmbeddingGather plan) {
      super(device, out, plan.spec().outputShape(count()));
      this.plan = plan;
      this.placedTable = place(table, dtype, plan.spec().tableShape());
      this.placedIds =
          ids.stream()
              .map(set -> memory.allocateFrom(ValueLayout.JAVA_INT, set))
              .map(set -> place(set, DType.I32, Shape.of(count())))
              .toList();
      this.fewIds = placedIds.getFirst().view(0, Shape.of(few.length), few.length);
      this.fewOut = out().view(0, plan.spec().outputShape(few.length), dim);
    }

    @Override
    public void run(int set) {
      if (set == FEW) {
        plan.run(stream, placedTable, fewIds, fewOut);
      } else {
        plan.run(stream, placedTable, placedIds.get(set), out());
      }
    }
  }
}

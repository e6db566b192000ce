package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;

/** Rows of one table, combined bag by bag to f32: the weighted sum, or the mean without weights. */
public final class BagWorkload implements Workload {
  /** The canonical order of a bag up to this size is that of a plain loop. */
  private static final int PLAIN_ORDER_ROWS = 64;

  private static final int FEW_BAGS = 16;

  private final SegmentAllocator memory;
  private final DType dtype;
  private final MemorySegment table;
  private final long rows;
  private final int dim;
  private final List<int[]> ids;
  private final int[] offsets;
  private final float[] weights;
  private final int[] fewOffsets;
  private final MemorySegment out;

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
  public BagWorkload(
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
    this.memory = memory;
    this.dtype = dtype;
    this.table = table;
    this.rows = rows;
    this.dim = dim;
    this.ids = List.copyOf(ids);
    this.offsets = offsets;
    this.weights = weights;
    this.fewOffsets = Arrays.copyOf(offsets, Math.min(FEW_BAGS, bags()) + 1);
    this.out = memory.allocate((long) bags() * dim * Float.BYTES, 64);
  }

  /** Whether {@link PlainJava} has a loop for the case, and sums in the canonical order. */
  static boolean hasPlainLoop(EmbeddingBagCases.Case one) {
    boolean weighted = one.traits().contains(Trait.WEIGHTED);
    return one.spec().combine() == (weighted ? Combine.SUM : Combine.MEAN)
        && one.spec().table() != DType.BF16
        && Collections.max(one.lengths()) <= PLAIN_ORDER_ROWS;
  }

  /** A case of the operator's table, with several sets of ids. */
  static BagWorkload of(SegmentAllocator memory, EmbeddingBagCases.Case one, int sets) {
    EmbeddingBag.Spec spec = one.spec();
    EmbeddingBagCases.Inputs inputs = one.inputs();
    long rows = spec.vocabSizes().getFirst();
    return new BagWorkload(
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

  private static int longest(int[] offsets) {
    return IntStream.range(1, offsets.length).map(s -> offsets[s] - offsets[s - 1]).max().orElse(0);
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

  @Override
  public String operator() {
    return "embedding_bag";
  }

  @Override
  public String shape() {
    return "%s[%d, %d], %d ids in %d bags, %s"
        .formatted(
            dtype.name().toLowerCase(Locale.ROOT),
            rows,
            dim,
            count(),
            bags(),
            weights == null ? "mean" : "weighted sum");
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
    parameters.put("bags", bags());
    parameters.put("combine", combine().name());
    parameters.put("weighted", weights != null);
    return parameters;
  }

  private Combine combine() {
    return weights == null ? Combine.MEAN : Combine.SUM;
  }

  @Override
  public long bytes() {
    long perId = Integer.BYTES + (weights == null ? 0L : Float.BYTES);
    return count() * (perId + (long) dim * dtype.byteSize())
        + (long) offsets.length * Integer.BYTES
        + (long) bags() * dim * Float.BYTES;
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
    };
  }

  @Override
  public Contender arrayLoop() {
    float[] target = new float[bags() * dim];
    MemorySegment result = MemorySegment.ofArray(target);
    if (dtype == DType.F32) {
      float[] source = table.toArray(ValueLayout.JAVA_FLOAT);
      return new PlainContender("java-array", result) {
        @Override
        public void run(int set) {
          if (weights == null) {
            PlainJava.meanF32(source, dim, ids(set), offsets(set), target);
          } else {
            PlainJava.weightedSumF32(source, dim, ids(set), offsets(set), weights, target);
          }
        }
      };
    }
    short[] source = table.toArray(ValueLayout.JAVA_SHORT);
    return new PlainContender("java-array", result) {
      @Override
      public void run(int set) {
        if (weights == null) {
          PlainJava.meanF16(source, dim, ids(set), offsets(set), target);
        } else {
          PlainJava.weightedSumF16(source, dim, ids(set), offsets(set), weights, target);
        }
      }
    };
  }

  @Override
  public Contender on(Device device) {
    EmbeddingBag plan =
        EmbeddingBag.plan(
            device,
            EmbeddingBag.Spec.of(dtype, rows, dim, combine(), IndexPolicy.FAIL).withOut(DType.F32));
    return new OnDevice(device, plan);
  }

  private final class OnDevice extends DeviceContender {
    private final EmbeddingBag plan;
    private final List<EmbeddingBag.Operands> operands;
    private final EmbeddingBag.Operands few;

    OnDevice(Device device, EmbeddingBag plan) {
      super(device, out, plan.spec().outputShape(bags()));
      this.plan = plan;
      Buffer placedTable = place(table, dtype, plan.spec().tableShape());
      Buffer placedOffsets = placeInts(offsets);
      Buffer placedWeights =
          weights == null
              ? null
              : place(
                  memory.allocateFrom(ValueLayout.JAVA_FLOAT, weights),
                  DType.F32,
                  Shape.of(count()));
      List<Buffer> placedIds = ids.stream().map(this::placeInts).toList();
      this.operands =
          placedIds.stream()
              .map(
                  set ->
                      EmbeddingBag.Operands.of(placedTable, set, placedOffsets, out())
                          .withWeights(placedWeights))
              .toList();
      this.few =
          EmbeddingBag.Operands.of(
                  placedTable,
                  placedIds.getFirst(),
                  placedOffsets.view(0, Shape.of(fewOffsets.length), fewOffsets.length),
                  out().view(0, plan.spec().outputShape(fewOffsets.length - 1), dim))
              .withWeights(placedWeights);
    }

    private Buffer placeInts(int[] values) {
      return place(
          memory.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, Shape.of(values.length));
    }

    @Override
    public void run(int set) {
      plan.run(stream, set == FEW ? few : operands.get(set));
    }
  }
}

package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingBagKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.List;
import java.util.Objects;

/**
 * Rows of a table, gathered and combined bag by bag: {@code out[s, :] = combine(table[ids[j], :])}
 * for {@code offsets[s] ≤ j < offsets[s + 1]}.
 *
 * <p>Id −1 is skipped and not counted; any other id outside the table follows the {@link
 * IndexPolicy}, under FAIL the whole bag becomes zeros. A bag whose offsets descend or leave [0,
 * ids] follows the policy as well: FAIL zeros it and reports it, ZERO zeros it, CLAMP clamps both
 * ends (and the end to at least the start), SKIP leaves its row untouched. A bag without a counted
 * id follows the {@link EmptyBagPolicy}.
 *
 * <p>Canonical order, so that all back ends give the same bits: F32; within a chunk of 64
 * consecutive positions of the bag rows are added in ascending order from +0, weighted rows by fma;
 * the chunks' results are added in ascending order, from +0 too; positions of skipped ids count as
 * positions. Means divide once. MAX and MIN give NaN if any value is NaN and store a zero as +0.
 * The result is rounded once on store.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. The operator is that of {@code
 * torch.nn.functional.embedding_bag} with {@code include_last_offset}.
 */
public final class EmbeddingBag {
  private static final String OP = "EmbeddingBag";

  /**
   * What is combined.
   *
   * @param table dtype of the tables and the fallback: F32, F16 or BF16
   * @param ids dtype of the ids: I32 or I64
   * @param offsets dtype of the offsets: I32 or I64
   * @param out dtype of the output: F32, F16 or BF16
   * @param vocabSizes rows of each table; one or more
   * @param dim elements of a row, at most 2^31 − 1
   * @param combine how rows become one
   * @param empty what an empty bag becomes
   * @param policy what becomes of bad ids and offsets
   */
  public record Spec(
      DType table,
      DType ids,
      DType offsets,
      DType out,
      List<Long> vocabSizes,
      long dim,
      Combine combine,
      EmptyBagPolicy empty,
      IndexPolicy policy) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("table dtype", table);
      Check.index("ids dtype", ids);
      Check.index("offsets dtype", offsets);
      Check.floating("out dtype", out);
      Objects.requireNonNull(combine, "combine");
      Objects.requireNonNull(empty, "empty");
      Objects.requireNonNull(policy, "policy");
      Check.dim(dim);
      vocabSizes = List.copyOf(vocabSizes);
      if (vocabSizes.isEmpty() || vocabSizes.size() > EmbeddingGather.MAX_TABLES) {
        throw new IllegalArgumentException(
            "%d tables, expected 1 to %d".formatted(vocabSizes.size(), EmbeddingGather.MAX_TABLES));
      }
      for (long vocab : vocabSizes) {
        Shape.of(vocab, dim);
      }
    }

    /** One table, I32 ids and offsets, output of the table's dtype, zeros for empty bags. */
    public static Spec of(DType table, long vocab, long dim, Combine combine, IndexPolicy policy) {
      return new Spec(
          table,
          DType.I32,
          DType.I32,
          table,
          List.of(vocab),
          dim,
          combine,
          EmptyBagPolicy.ZERO,
          policy);
    }

    /** The same with other ids and offsets. */
    public Spec withIndices(DType ids, DType offsets) {
      return new Spec(table, ids, offsets, out, vocabSizes, dim, combine, empty, policy);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(table, ids, offsets, out, vocabSizes, dim, combine, empty, policy);
    }

    /** The same with another policy for empty bags. */
    public Spec withEmpty(EmptyBagPolicy empty) {
      return new Spec(table, ids, offsets, out, vocabSizes, dim, combine, empty, policy);
    }

    /** The same with several tables of one width, chosen per bag. */
    public Spec withTables(List<Long> vocabSizes) {
      return new Spec(table, ids, offsets, out, vocabSizes, dim, combine, empty, policy);
    }

    /** Shape of table {@code i}: [vocab, dim]. */
    public Shape tableShape(int i) {
      return Shape.of(vocabSizes.get(i), dim);
    }

    /** Shape of the first table: [vocab, dim]. */
    public Shape tableShape() {
      return tableShape(0);
    }

    /** Shape of the output: [bags, dim]. */
    public Shape outputShape(long bags) {
      return Shape.of(bags, dim);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param tables one [vocab, dim] per entry of the spec's {@code vocabSizes}, any row stride
   * @param ids [M], dense
   * @param offsets [S + 1], dense: where each bag begins in {@code ids}, and where the last one
   *     ends
   * @param tableIds I32 [S]: which table each bag reads, or null for the first; one outside the
   *     list follows the policy
   * @param weights F32 [M], with {@link Combine#SUM} or {@link Combine#WEIGHTED_MEAN}, or null
   * @param fallback [S, dim] or [1, dim] of the table's dtype, with {@link
   *     EmptyBagPolicy#FALLBACK}; else null
   * @param out [S, dim], any row stride; overlaps no other operand
   */
  public record Operands(
      List<Buffer> tables,
      Buffer ids,
      Buffer offsets,
      Buffer tableIds,
      Buffer weights,
      Buffer fallback,
      Buffer out) {
    /** Copies the list of tables. */
    public Operands {
      for (Buffer table : Objects.requireNonNull(tables, OP + ": tables is null")) {
        Objects.requireNonNull(table, OP + ": table is null");
      }
      tables = List.copyOf(tables);
    }

    /** One table, nothing optional. */
    public static Operands of(Buffer table, Buffer ids, Buffer offsets, Buffer out) {
      return new Operands(List.of(table), ids, offsets, null, null, null, out);
    }

    /** The same with weights. */
    public Operands withWeights(Buffer weights) {
      return new Operands(tables, ids, offsets, tableIds, weights, fallback, out);
    }

    /** The same with a fallback for empty bags. */
    public Operands withFallback(Buffer fallback) {
      return new Operands(tables, ids, offsets, tableIds, weights, fallback, out);
    }

    /** The same with several tables, chosen per bag. */
    public Operands withTables(List<Buffer> tables, Buffer tableIds) {
      return new Operands(tables, ids, offsets, tableIds, weights, fallback, out);
    }
  }

  private final Device device;
  private final Spec spec;
  private final EmbeddingBagKernel kernel;

  private EmbeddingBag(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).embeddingBag().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static EmbeddingBag plan(Device device, Spec spec) {
    return new EmbeddingBag(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan combines. */
  public Spec spec() {
    return spec;
  }

  /**
   * Gathers and combines.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for bad data under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(operands);
    queue.begin();
    try {
      for (int i = 0; i < operands.tables.size(); i++) {
        queue.hold(operands.tables.get(i));
      }
      queue.hold(operands.ids);
      queue.hold(operands.offsets);
      queue.hold(operands.tableIds);
      queue.hold(operands.weights);
      queue.hold(operands.fallback);
      queue.hold(operands.out);
      if (operands.out.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Buffer out = operands.out;
    Check.operand(OP, "out", out, spec.out, device);
    Check.rows(OP, "out", out, spec.dim);
    Check.writable(OP, "out", out);
    long bags = out.shape().dim(0);

    Check.operand(OP, "ids", operands.ids, spec.ids, device);
    Check.vector(OP, "ids", operands.ids, operands.ids.shape().size());
    Check.disjoint(OP, out, "ids", operands.ids);

    Check.operand(OP, "offsets", operands.offsets, spec.offsets, device);
    Check.vector(OP, "offsets", operands.offsets, bags + 1);
    Check.disjoint(OP, out, "offsets", operands.offsets);

    if (operands.tables.size() != spec.vocabSizes.size()) {
      throw new IllegalArgumentException(
          "%s: %d tables, expected %d"
              .formatted(OP, operands.tables.size(), spec.vocabSizes.size()));
    }
    for (int i = 0; i < operands.tables.size(); i++) {
      Buffer table = operands.tables.get(i);
      Check.operand(OP, "table", table, spec.table, device);
      Check.rows(OP, "table", table, spec.dim);
      if (table.shape().dim(0) != spec.vocabSizes.get(i)) {
        Check.shape(OP, "table", table, spec.tableShape(i));
      }
      Check.disjoint(OP, out, "table", table);
    }

    if (operands.tableIds != null) {
      Check.operand(OP, "tableIds", operands.tableIds, DType.I32, device);
      Check.vector(OP, "tableIds", operands.tableIds, bags);
      Check.disjoint(OP, out, "tableIds", operands.tableIds);
    } else if (operands.tables.size() > 1) {
      throw new IllegalArgumentException(OP + ": tableIds is null, expected I32, one per bag");
    }

    if (operands.weights != null) {
      if (spec.combine != Combine.SUM && spec.combine != Combine.WEIGHTED_MEAN) {
        throw new IllegalArgumentException(
            "%s: weights given, expected none with %s".formatted(OP, spec.combine));
      }
      Check.operand(OP, "weights", operands.weights, DType.F32, device);
      Check.vector(OP, "weights", operands.weights, operands.ids.shape().size());
      Check.disjoint(OP, out, "weights", operands.weights);
    } else if (spec.combine == Combine.WEIGHTED_MEAN) {
      throw new IllegalArgumentException(OP + ": weights is null, expected F32 with WEIGHTED_MEAN");
    }

    if ((operands.fallback != null) != (spec.empty == EmptyBagPolicy.FALLBACK)) {
      throw new IllegalArgumentException(
          "%s: fallback is %s, expected %s with %s"
              .formatted(
                  OP,
                  operands.fallback,
                  spec.empty == EmptyBagPolicy.FALLBACK ? "a buffer" : "none",
                  spec.empty));
    }
    if (operands.fallback != null) {
      Check.operand(OP, "fallback", operands.fallback, spec.table, device);
      Check.rows(OP, "fallback", operands.fallback, spec.dim);
      if (operands.fallback.shape().dim(0) != 1 && operands.fallback.shape().dim(0) != bags) {
        throw new IllegalArgumentException(
            "%s: fallback has shape %s, expected [1, %d] or [%d, %d]"
                .formatted(OP, operands.fallback.shape(), spec.dim, bags, spec.dim));
      }
      Check.disjoint(OP, out, "fallback", operands.fallback);
    }
  }
}

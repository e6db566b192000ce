package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingGatherKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.List;
import java.util.Objects;

/**
 * Rows of a table by index: {@code out[i, :] = table[ids[i], :]}.
 *
 * <p>Id −1 means "no row" and gives zeros; any other id outside the table follows the spec's {@link
 * IndexPolicy}. Equal dtypes copy bits; otherwise a value is widened exactly to F32 and rounded
 * once, to nearest even. All back ends give the same bits.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}.
 */
public final class EmbeddingGather {
  private static final String OP = "EmbeddingGather";

  /** The most tables one call can read. */
  public static final int MAX_TABLES = 32;

  /**
   * What is gathered.
   *
   * @param table dtype of the tables: F32, F16 or BF16
   * @param ids dtype of the ids: I32 or I64
   * @param out dtype of the output: F32, F16 or BF16
   * @param vocabSizes rows of each table; one or more
   * @param dim elements of a row, at most 2^31 − 1
   * @param policy what becomes of a bad id
   */
  public record Spec(
      DType table, DType ids, DType out, List<Long> vocabSizes, long dim, IndexPolicy policy) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("table dtype", table);
      Check.index("ids dtype", ids);
      Check.floating("out dtype", out);
      Objects.requireNonNull(policy, "policy");
      Check.dim(dim);
      vocabSizes = List.copyOf(vocabSizes);
      if (vocabSizes.isEmpty() || vocabSizes.size() > MAX_TABLES) {
        throw new IllegalArgumentException(
            "%d tables, expected 1 to %d".formatted(vocabSizes.size(), MAX_TABLES));
      }
      for (long vocab : vocabSizes) {
        Shape.of(vocab, dim);
      }
    }

    /** One table, I32 ids, output of the table's dtype. */
    public static Spec of(DType table, long vocab, long dim, IndexPolicy policy) {
      return new Spec(table, DType.I32, table, List.of(vocab), dim, policy);
    }

    /** The same with other ids. */
    public Spec withIds(DType ids) {
      return new Spec(table, ids, out, vocabSizes, dim, policy);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(table, ids, out, vocabSizes, dim, policy);
    }

    /** The same with several tables of one width, chosen per id. */
    public Spec withTables(List<Long> vocabSizes) {
      return new Spec(table, ids, out, vocabSizes, dim, policy);
    }

    /** Shape of table {@code i}: [vocab, dim]. */
    public Shape tableShape(int i) {
      return Shape.of(vocabSizes.get(i), dim);
    }

    /** Shape of the first table: [vocab, dim]. */
    public Shape tableShape() {
      return tableShape(0);
    }

    /** Shape of the output for a vector of {@code count} ids: [count, dim]. */
    public Shape outputShape(long count) {
      return Shape.of(count, dim);
    }
  }

  private final Device device;
  private final Spec spec;
  private final EmbeddingGatherKernel kernel;

  private EmbeddingGather(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).embeddingGather().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static EmbeddingGather plan(Device device, Spec spec) {
    return new EmbeddingGather(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan gathers. */
  public Spec spec() {
    return spec;
  }

  /**
   * Gathers from one table.
   *
   * @param stream a stream of the plan's device
   * @param table [vocab, dim], any row stride
   * @param ids any shape, dense
   * @param out the ids' shape and {@code dim} appended, any row stride; overlaps no other operand
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad id under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Buffer table, Buffer ids, Buffer out) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    queue.begin();
    try {
      queue.tables()[0] = table;
      run(queue, 1, ids, null, out);
    } finally {
      queue.end();
    }
  }

  /**
   * Gathers from several tables.
   *
   * @param stream a stream of the plan's device
   * @param tables one [vocab, dim] per entry of the spec's {@code vocabSizes}
   * @param ids any shape, dense
   * @param tableIds I32, the ids' shape: which table each id belongs to; one outside the list
   *     follows the policy, unless the id is −1
   * @param out the ids' shape and {@code dim} appended, any row stride; overlaps no other operand
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad id or table id under {@link
   *     IndexPolicy#FAIL}
   */
  public void run(Stream stream, List<Buffer> tables, Buffer ids, Buffer tableIds, Buffer out) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Objects.requireNonNull(tables, "EmbeddingGather: tables is null");
    if (tableIds == null) {
      throw new NullPointerException(OP + ": tableIds is null");
    }
    queue.begin();
    try {
      int count = Math.min(tables.size(), MAX_TABLES);
      for (int i = 0; i < count; i++) {
        queue.tables()[i] = tables.get(i);
      }
      run(queue, tables.size(), ids, tableIds, out);
    } finally {
      queue.end();
    }
  }

  private void run(QueueStream queue, int tableCount, Buffer ids, Buffer tableIds, Buffer out) {
    if (tableCount != spec.vocabSizes.size()) {
      throw new IllegalArgumentException(
          "%s: %d tables, expected %d".formatted(OP, tableCount, spec.vocabSizes.size()));
    }
    checkIdsAndOut(ids, out);
    if (tableIds != null) {
      Check.operand(OP, "tableIds", tableIds, DType.I32, device);
      Check.shape(OP, "tableIds", tableIds, ids.shape());
      Check.dense(OP, "tableIds", tableIds);
      Check.disjoint(OP, out, "tableIds", tableIds);
    }
    for (int i = 0; i < tableCount; i++) {
      checkTable(i, queue.tables()[i], out);
    }
    for (int i = 0; i < tableCount; i++) {
      queue.hold(queue.tables()[i]);
    }
    queue.hold(ids);
    queue.hold(tableIds);
    queue.hold(out);
    if (out.shape().size() > 0) {
      kernel.run(queue, queue.tables(), tableCount, ids, tableIds, out);
    }
  }

  private void checkIdsAndOut(Buffer ids, Buffer out) {
    Check.operand(OP, "ids", ids, spec.ids, device);
    Check.dense(OP, "ids", ids);
    Check.operand(OP, "out", out, spec.out, device);
    Check.writable(OP, "out", out);
    if (!isAppended(out.shape(), ids.shape(), spec.dim)) {
      throw new IllegalArgumentException(
          "%s: out has shape %s, expected %s"
              .formatted(OP, out.shape(), ids.shape().append(spec.dim)));
    }
    Check.disjoint(OP, out, "ids", ids);
  }

  private void checkTable(int i, Buffer table, Buffer out) {
    Check.operand(OP, "table", table, spec.table, device);
    if (table.shape().rank() != 2
        || table.shape().dim(0) != spec.vocabSizes.get(i)
        || table.shape().dim(1) != spec.dim) {
      Check.shape(OP, "table", table, spec.tableShape(i));
    }
    Check.disjoint(OP, out, "table", table);
  }

  /** Compares without making a shape, since a call allocates nothing. */
  private static boolean isAppended(Shape longer, Shape shape, long dim) {
    if (longer.rank() != shape.rank() + 1 || longer.last() != dim) {
      return false;
    }
    for (int i = 0; i < shape.rank(); i++) {
      if (longer.dim(i) != shape.dim(i)) {
        return false;
      }
    }
    return true;
  }
}

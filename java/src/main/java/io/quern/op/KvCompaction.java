package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.KvCompactionKernel;
import java.util.List;
import java.util.Objects;

/**
 * What a cache of keys and values keeps of a verified draft tree: the rows of the accepted nodes
 * move down to where committed tokens are, in place, for all layers and requests in one call.
 *
 * <p>Request {@code b} has {@code lengths[b]} committed rows; behind them node i of its tree has
 * row i. {@code path[b, 0 … counts[b]]} are the accepted nodes from the root on ({@link
 * TreeVerify}'s {@code accepted} and {@code counts}). For j ascending from 0, in every cache and
 * head: the row of node {@code path[b, j]} is copied to that of node j; {@code newLengths[b] =
 * lengths[b] + counts[b] + 1}. Since a path ascends, no row is overwritten before it is read. Rows
 * behind the new length keep what they hold. Bits are copied, of whatever dtype.
 *
 * <p>Rows are found as {@link CacheAddressing} says. Paged caches also get a report of what the
 * request can give back, as SGLang has it: with n nodes and {@code keep = min(ceil(newLengths[b] /
 * page) · page, lengths[b] + n) − lengths[b]} the slots of nodes keep … n − 1 are {@code freed},
 * {@code n − keep} of them at {@code offsets[b]} on, then −1. {@code evicted[i]} is 1 for a node
 * that was not accepted, but 0 for the nodes in the page that the last of as many rows as are kept
 * falls into: the mask of those who leave accepted rows where they are, which fits chains.
 *
 * <p>A request whose data is bad gets a {@link TreeStatus} and keeps its rows and its length; its
 * {@code freed} is −1, {@code freedCounts} and {@code evicted} are 0. OFFSETS: its offsets descend,
 * leave the nodes, or are below an earlier offset ({@code freed} and {@code evicted} are then left
 * untouched), its length is negative or beyond the rows, or its row of slots does not exist. EMPTY:
 * {@code path[b, 0]} is −1, as for a request that was not verified. PARENT: the path does not
 * ascend. LINK: {@code counts[b]} is outside [0, width), or a node is not the request's. CAPACITY:
 * a row is outside the cache, the tree reaches behind its row of slots, or the length behind 2^31 −
 * 1. Other requests are unaffected. What is behind {@code counts[b]} in a path is not looked at.
 *
 * <p>The slots of a request are distinct, and no two requests share one; otherwise what such rows
 * hold is unspecified. Empty shapes are legal. A plan is immutable and thread-safe. {@code run}
 * allocates nothing, does not wait on CUDA, and can be captured into a {@link io.quern.Graph}.
 * Sources: Medusa {@code update_inference_inputs}, SGLang {@code get_src_tgt_cache_loc} and {@code
 * align_evict_mask_to_page_size}.
 */
public final class KvCompaction {
  private static final String OP = "KvCompaction";

  /** The most caches of one call: keys and values of 128 layers. */
  public static final int MAX_CACHES = 256;

  /**
   * What is compacted.
   *
   * @param addressing how rows are found
   * @param dtype of the caches, any
   * @param slots dtype of slots: I32 or I64
   * @param heads of a contiguous cache; 1 where rows are shared and hold all heads
   * @param dim elements of a row
   * @param page rows that are given back together, at least 1; 1 if CONTIGUOUS
   */
  public record Spec(
      CacheAddressing addressing, DType dtype, DType slots, long heads, long dim, long page) {
    /** Checks dtypes and sizes. */
    public Spec {
      Objects.requireNonNull(addressing, "addressing");
      Objects.requireNonNull(dtype, "dtype");
      Check.index("slots dtype", slots);
      Check.dim(dim);
      Shape.of(heads, dim);
      if (addressing != CacheAddressing.CONTIGUOUS && heads != 1) {
        throw new IllegalArgumentException(
            "%d heads, expected 1 with %s: a row holds all of them".formatted(heads, addressing));
      }
      if (page < 1 || (addressing == CacheAddressing.CONTIGUOUS && page != 1)) {
        throw new IllegalArgumentException(
            "page is %d, expected %s"
                .formatted(
                    page, addressing == CacheAddressing.CONTIGUOUS ? "1" : "a positive number"));
      }
    }

    /** Caches [requests, heads, rows, dim], with any dimensions before. */
    public static Spec contiguous(DType dtype, long heads, long dim) {
      return new Spec(CacheAddressing.CONTIGUOUS, dtype, DType.I32, heads, dim, 1);
    }

    /** Caches [rows, dim], with any dimensions before, of which all requests have rows. */
    public static Spec paged(
        CacheAddressing addressing, DType dtype, DType slots, long dim, long page) {
      return new Spec(addressing, dtype, slots, 1, dim, page);
    }

    boolean isPaged() {
      return addressing != CacheAddressing.CONTIGUOUS;
    }
  }

  /**
   * The operands of a call.
   *
   * @param caches of one shape and row stride, at most {@link #MAX_CACHES}: [..., requests, heads,
   *     rows, dim] if CONTIGUOUS, else [..., rows, dim]; whatever comes before is moved alike, so
   *     that one buffer can be all layers; changed in place; they overlap nothing
   * @param path I32 [requests, width], dense
   * @param counts I32 [requests]: accepted nodes without the root
   * @param lengths I32 [requests]: rows before the tree's
   * @param slots null if CONTIGUOUS; SLOTS [nodes], dense; TABLE [any, columns], any row stride
   * @param offsets null if CONTIGUOUS; else I32 [requests + 1]: where each request's nodes begin
   * @param tableRows I32 [requests], or null for row b of {@code slots}; TABLE only
   * @param newLengths I32 [requests]
   * @param status I32 [requests]
   * @param freed of the slots' dtype, [nodes], or null
   * @param freedCounts I32 [requests], null if {@code freed} is
   * @param evicted U8 [nodes], or null
   */
  public record Operands(
      List<Buffer> caches,
      Buffer path,
      Buffer counts,
      Buffer lengths,
      Buffer slots,
      Buffer offsets,
      Buffer tableRows,
      Buffer newLengths,
      Buffer status,
      Buffer freed,
      Buffer freedCounts,
      Buffer evicted) {
    /** Checks that there is a list. */
    public Operands {
      Objects.requireNonNull(caches, OP + ": caches is null");
    }

    /** Of a contiguous cache. */
    public static Operands contiguous(
        List<Buffer> caches,
        Buffer path,
        Buffer counts,
        Buffer lengths,
        Buffer newLengths,
        Buffer status) {
      return new Operands(
          caches, path, counts, lengths, null, null, null, newLengths, status, null, null, null);
    }

    /** Of a paged cache. */
    public static Operands paged(
        List<Buffer> caches,
        Buffer path,
        Buffer counts,
        Buffer lengths,
        Buffer slots,
        Buffer offsets,
        Buffer newLengths,
        Buffer status) {
      return new Operands(
          caches,
          path,
          counts,
          lengths,
          slots,
          offsets,
          null,
          newLengths,
          status,
          null,
          null,
          null);
    }

    /** With the row of slots of each request. */
    public Operands withTableRows(Buffer tableRows) {
      return new Operands(
          caches,
          path,
          counts,
          lengths,
          slots,
          offsets,
          tableRows,
          newLengths,
          status,
          freed,
          freedCounts,
          evicted);
    }

    /** With a report of the slots that are free now. */
    public Operands withFreed(Buffer freed, Buffer freedCounts) {
      return new Operands(
          caches,
          path,
          counts,
          lengths,
          slots,
          offsets,
          tableRows,
          newLengths,
          status,
          freed,
          freedCounts,
          evicted);
    }

    /** With the mask of nodes that were not accepted. */
    public Operands withEvicted(Buffer evicted) {
      return new Operands(
          caches,
          path,
          counts,
          lengths,
          slots,
          offsets,
          tableRows,
          newLengths,
          status,
          freed,
          freedCounts,
          evicted);
    }
  }

  private final Device device;
  private final Spec spec;
  private final KvCompactionKernel kernel;

  private KvCompaction(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).kvCompaction().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static KvCompaction plan(Device device, Spec spec) {
    return new KvCompaction(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan compacts. */
  public Spec spec() {
    return spec;
  }

  /**
   * Compacts.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    if (operands == null) {
      throw new NullPointerException(OP + ": operands is null");
    }
    queue.begin();
    try {
      Buffer[] caches = queue.tables();
      int count = operands.caches.size();
      if (count > MAX_CACHES) {
        throw new IllegalArgumentException(
            "%s: %d caches, expected at most %d".formatted(OP, count, MAX_CACHES));
      }
      for (int i = 0; i < count; i++) {
        caches[i] = operands.caches.get(i);
      }
      check(operands, caches, count);
      hold(queue, operands);
      for (int i = 0; i < count; i++) {
        queue.hold(caches[i]);
      }
      if (operands.counts.shape().dim(0) > 0) {
        kernel.run(queue, operands, caches, count);
      }
    } finally {
      queue.end();
    }
  }

  private static void hold(QueueStream queue, Operands operands) {
    queue.hold(operands.path);
    queue.hold(operands.counts);
    queue.hold(operands.lengths);
    queue.hold(operands.slots);
    queue.hold(operands.offsets);
    queue.hold(operands.tableRows);
    queue.hold(operands.newLengths);
    queue.hold(operands.status);
    queue.hold(operands.freed);
    queue.hold(operands.freedCounts);
    queue.hold(operands.evicted);
  }

  private void check(Operands operands, Buffer[] caches, int count) {
    Check.operand(OP, "path", operands.path, DType.I32, device);
    if (operands.path.shape().rank() != 2) {
      throw new IllegalArgumentException(
          "%s: path has shape %s, expected [requests, width]".formatted(OP, operands.path.shape()));
    }
    Check.dense(OP, "path", operands.path);
    long requests = operands.path.shape().dim(0);
    vector("counts", operands.counts, DType.I32, requests, false);
    vector("lengths", operands.lengths, DType.I32, requests, false);
    vector("newLengths", operands.newLengths, DType.I32, requests, true);
    vector("status", operands.status, DType.I32, requests, true);
    checkSlots(operands, requests);
    for (int i = 0; i < count; i++) {
      checkCache(caches[i], caches[0], requests);
    }
    checkOverlaps(operands);
    checkCacheOverlaps(caches, count, operands);
  }

  private void vector(String operand, Buffer buffer, DType dtype, long size, boolean output) {
    Check.operand(OP, operand, buffer, dtype, device);
    Check.vector(OP, operand, buffer, size);
    Check.dense(OP, operand, buffer);
    if (output) {
      Check.writable(OP, operand, buffer);
    }
  }

  private void checkSlots(Operands operands, long requests) {
    boolean table = spec.addressing == CacheAddressing.TABLE;
    unlessNull("tableRows", operands.tableRows, table);
    if (!spec.isPaged()) {
      unlessNull("slots", operands.slots, false);
      unlessNull("offsets", operands.offsets, false);
      unlessNull("freed", operands.freed, false);
      unlessNull("evicted", operands.evicted, false);
    }
    if ((operands.freed == null) != (operands.freedCounts == null)) {
      throw new IllegalArgumentException(
          "%s: %s is null, expected both or none of freed and freedCounts"
              .formatted(OP, operands.freed == null ? "freed" : "freedCounts"));
    }
    if (!spec.isPaged()) {
      return;
    }
    vector("offsets", operands.offsets, DType.I32, requests + 1, false);
    Check.operand(OP, "slots", operands.slots, spec.slots, device);
    if (operands.slots.shape().rank() != (table ? 2 : 1)) {
      throw new IllegalArgumentException(
          "%s: slots has shape %s, expected %s"
              .formatted(OP, operands.slots.shape(), table ? "[any, columns]" : "[nodes]"));
    }
    if (operands.tableRows != null) {
      vector("tableRows", operands.tableRows, DType.I32, requests, false);
    }
    // A table says nothing of the number of nodes; then one report defines the other's size.
    long nodes =
        !table
            ? operands.slots.shape().dim(0)
            : operands.freed != null && operands.freed.shape().rank() == 1
                ? operands.freed.shape().dim(0)
                : -1;
    if (operands.freed != null) {
      vector("freed", operands.freed, spec.slots, nodes, true);
      vector("freedCounts", operands.freedCounts, DType.I32, requests, true);
    }
    if (operands.evicted != null) {
      long size = nodes < 0 ? operands.evicted.shape().size() : nodes;
      vector("evicted", operands.evicted, DType.U8, size, true);
    }
  }

  private void unlessNull(String operand, Buffer buffer, boolean allowed) {
    if (buffer != null && !allowed) {
      throw new IllegalArgumentException(
          "%s: %s is given, expected none with %s".formatted(OP, operand, spec.addressing));
    }
  }

  private void checkCache(Buffer cache, Buffer first, long requests) {
    Check.operand(OP, "cache", cache, spec.dtype, device);
    Check.writable(OP, "cache", cache);
    Shape shape = cache.shape();
    int rank = shape.rank();
    boolean fits =
        spec.isPaged()
            ? rank >= 2
            : rank >= 4 && shape.dim(rank - 4) == requests && shape.dim(rank - 3) == spec.heads;
    if (!fits || shape.last() != spec.dim) {
      throw new IllegalArgumentException(
          "%s: cache has shape %s, expected [..., %s%d]"
              .formatted(
                  OP,
                  shape,
                  spec.isPaged() ? "rows, " : "%d, %d, rows, ".formatted(requests, spec.heads),
                  spec.dim));
    }
    Check.shape(OP, "cache", cache, first.shape());
    if (cache.rowStride() != first.rowStride()) {
      throw new IllegalArgumentException(
          "%s: cache has row stride %d, expected that of the first, %d"
              .formatted(OP, cache.rowStride(), first.rowStride()));
    }
  }

  private static void checkOverlaps(Operands operands) {
    checkOverlaps("newLengths", operands.newLengths, operands);
    checkOverlaps("status", operands.status, operands);
    checkOverlaps("freed", operands.freed, operands);
    checkOverlaps("freedCounts", operands.freedCounts, operands);
    checkOverlaps("evicted", operands.evicted, operands);
  }

  /** An output and whatever else is not a cache. */
  private static void checkOverlaps(String name, Buffer out, Operands operands) {
    Check.disjoint(OP, name, out, "path", operands.path);
    Check.disjoint(OP, name, out, "counts", operands.counts);
    Check.disjoint(OP, name, out, "lengths", operands.lengths);
    Check.disjoint(OP, name, out, "slots", operands.slots);
    Check.disjoint(OP, name, out, "offsets", operands.offsets);
    Check.disjoint(OP, name, out, "tableRows", operands.tableRows);
    disjointUnlessSame(name, out, "newLengths", operands.newLengths);
    disjointUnlessSame(name, out, "status", operands.status);
    disjointUnlessSame(name, out, "freed", operands.freed);
    disjointUnlessSame(name, out, "freedCounts", operands.freedCounts);
    disjointUnlessSame(name, out, "evicted", operands.evicted);
  }

  private static void disjointUnlessSame(String name, Buffer out, String otherName, Buffer other) {
    if (!name.equals(otherName)) {
      Check.disjoint(OP, name, out, otherName, other);
    }
  }

  /**
   * Caches share nothing with each other or with another operand. As a rule they lie in ascending
   * order and the rest elsewhere, which is seen without comparing each with each.
   */
  private static void checkCacheOverlaps(Buffer[] caches, int count, Operands operands) {
    long low = Long.MAX_VALUE;
    long high = Long.MIN_VALUE;
    boolean ascending = true;
    for (int i = 0; i < count; i++) {
      TypedMemory cache = TypedMemory.of(caches[i]);
      long begin = cache.address();
      long end = begin + cache.span() * cache.dtype().byteSize();
      if (begin < end) {
        ascending &= begin >= high;
        low = Math.min(low, begin);
        high = Math.max(high, end);
      }
    }
    for (int i = 1; i < count && !ascending; i++) {
      for (int k = 0; k < i; k++) {
        Check.disjoint(OP, "cache", caches[i], "cache", caches[k]);
      }
    }
    apart(caches, count, low, high, "path", operands.path);
    apart(caches, count, low, high, "counts", operands.counts);
    apart(caches, count, low, high, "lengths", operands.lengths);
    apart(caches, count, low, high, "slots", operands.slots);
    apart(caches, count, low, high, "offsets", operands.offsets);
    apart(caches, count, low, high, "tableRows", operands.tableRows);
    apart(caches, count, low, high, "newLengths", operands.newLengths);
    apart(caches, count, low, high, "status", operands.status);
    apart(caches, count, low, high, "freed", operands.freed);
    apart(caches, count, low, high, "freedCounts", operands.freedCounts);
    apart(caches, count, low, high, "evicted", operands.evicted);
  }

  private static void apart(
      Buffer[] caches, int count, long low, long high, String name, Buffer other) {
    if (other == null || low >= high) {
      return;
    }
    TypedMemory memory = TypedMemory.of(other);
    long begin = memory.address();
    if (begin < high && begin + memory.span() * memory.dtype().byteSize() > low) {
      for (int i = 0; i < count; i++) {
        Check.disjoint(OP, "cache", caches[i], name, other);
      }
    }
  }
}

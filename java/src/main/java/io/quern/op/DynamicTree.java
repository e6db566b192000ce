package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DynamicTreeKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.Objects;

/**
 * The draft tree of the best n − 1 candidates of a pool, as EAGLE-2 and SGLang choose it, and
 * whatever of {@link TreeOutputs} follows from it; one launch.
 *
 * <p>Candidates are numbered in groups of {@code topK}: candidate f is a child of {@code
 * parentList[f / topK]}, and of the root where {@code f < topK}. Node 0 is the root; node i is the
 * i-th selected candidate in ascending order, so that parents come before their children.
 *
 * <p>Selected are the n − 1 highest scores, of equal ones the lower index; NaN is below all others,
 * and selecting one is {@link TreeStatus#NAN}. Or the selection is given, ascending: {@link
 * TreeStatus#SELECTION} where it is not, or leaves the pool. A candidate whose parent is not
 * selected before it, or has no entry in the list, is {@link TreeStatus#PARENT}: scores that do not
 * fall along a path do that.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Sources: EAGLE's {@code topK_genrate}, SGLang's
 * {@code build_tree_efficient}; their masks, positions and links are {@link TreeOutputs} of {@link
 * TreeTopology} or, in their formats, {@link TreeMask}'s.
 */
public final class DynamicTree {
  private static final String OP = "DynamicTree";

  /**
   * A tree and its pool.
   *
   * @param nodes of each tree, the root included: n
   * @param pool candidates of a request: at least n − 1, below 2^31
   * @param groups entries of a request's parent list
   * @param topK candidates of a group, at least 1
   * @param numbering how the parent list names candidates
   * @param indices dtype of parent list and selection: I32 or I64
   * @param outputs dtypes of prefix lengths, positions and bits
   */
  public record Spec(
      long nodes,
      long pool,
      long groups,
      long topK,
      CandidateNumbering numbering,
      DType indices,
      TreeTopology.Spec outputs) {
    /** Checks sizes and dtypes. */
    public Spec {
      Check.dim("nodes", nodes);
      Check.dim("pool", pool);
      Check.dim("groups", groups);
      Check.dim("topK", topK);
      if (topK == 0) {
        throw new IllegalArgumentException("topK is 0, expected at least 1");
      }
      if (pool < nodes - 1) {
        throw new IllegalArgumentException(
            "pool is %d, expected at least %d for trees of %d nodes"
                .formatted(pool, nodes - 1, nodes));
      }
      Objects.requireNonNull(numbering, "numbering");
      Check.index("indices dtype", indices);
      Objects.requireNonNull(outputs, "outputs");
    }

    /**
     * The pool of a draft of {@code steps} levels: topK of the root, and topK of each of topK beams
     * at every further level.
     */
    public static Spec of(long nodes, long topK, long steps, CandidateNumbering numbering) {
      long further = Math.max(0, steps - 1) * topK;
      return new Spec(
          nodes,
          Math.addExact(topK, Math.multiplyExact(further, topK)),
          further + 1,
          topK,
          numbering,
          DType.I64,
          TreeTopology.Spec.DEFAULT);
    }

    /** The same with other indices. */
    public Spec withIndices(DType indices) {
      return new Spec(nodes, pool, groups, topK, numbering, indices, outputs);
    }

    /** The same with other outputs. */
    public Spec withOutputs(TreeTopology.Spec outputs) {
      return new Spec(nodes, pool, groups, topK, numbering, indices, outputs);
    }

    /** Candidates of a tree. */
    public long selected() {
      return Math.max(0, nodes - 1);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param scores F32 [B, pool], any row stride; or null where the selection is given
   * @param selection [B, n − 1], dense, ascending; or null where scores are given
   * @param parentList [B, groups], dense
   * @param prefix [B], dense: tokens before each request's root, or null for 0
   * @param selected [B, n − 1], dense: the selected candidates, −1 where the request is not OK;
   *     needed with scores, else it may be null
   * @param out of B · n nodes, with {@code parent}; overlaps no input
   */
  public record Operands(
      Buffer scores,
      Buffer selection,
      Buffer parentList,
      Buffer prefix,
      Buffer selected,
      TreeOutputs out) {
    /** Checks that there are outputs. */
    public Operands {
      Objects.requireNonNull(out, OP + ": out is null");
    }

    /** Selects by score. */
    public static Operands ofScores(
        Buffer scores, Buffer parentList, Buffer selected, TreeOutputs out) {
      return new Operands(scores, null, parentList, null, selected, out);
    }

    /** Takes a selection. */
    public static Operands ofSelection(Buffer selection, Buffer parentList, TreeOutputs out) {
      return new Operands(null, selection, parentList, null, null, out);
    }

    /** The same with prefix lengths. */
    public Operands withPrefix(Buffer prefix) {
      return new Operands(scores, selection, parentList, prefix, selected, out);
    }
  }

  private final Device device;
  private final Spec spec;
  private final DynamicTreeKernel kernel;

  private DynamicTree(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).dynamicTree().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static DynamicTree plan(Device device, Spec spec) {
    return new DynamicTree(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** The trees of this plan. */
  public Spec spec() {
    return spec;
  }

  /**
   * Builds the trees.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(operands);
    queue.begin();
    try {
      queue.hold(operands.scores);
      queue.hold(operands.selection);
      queue.hold(operands.parentList);
      queue.hold(operands.prefix);
      queue.hold(operands.selected);
      operands.out.hold(queue);
      if (operands.parentList.shape().dim(0) > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    TreeOutputs out = operands.out;
    Check.operand(OP, "parentList", operands.parentList, spec.indices, device);
    Check.rows(OP, "parentList", operands.parentList, spec.groups);
    Check.dense(OP, "parentList", operands.parentList);
    long requests = operands.parentList.shape().dim(0);
    if ((operands.scores == null) == (operands.selection == null)) {
      throw new IllegalArgumentException(
          OP
              + (operands.scores == null
                  ? ": scores and selection are null, expected one of them"
                  : ": scores and selection given, expected one of them to be null"));
    }
    if (operands.scores != null) {
      Check.operand(OP, "scores", operands.scores, DType.F32, device);
      Check.matrix(OP, "scores", operands.scores, requests, spec.pool);
      if (operands.selected == null) {
        throw new IllegalArgumentException(
            "%s: selected is null, expected %s with scores".formatted(OP, spec.indices));
      }
    } else {
      Check.operand(OP, "selection", operands.selection, spec.indices, device);
      Check.matrix(OP, "selection", operands.selection, requests, spec.selected());
      Check.dense(OP, "selection", operands.selection);
    }
    if (operands.prefix != null) {
      Check.operand(OP, "prefix", operands.prefix, spec.outputs.prefix(), device);
      Check.vector(OP, "prefix", operands.prefix, requests);
    }
    if (out.parent() == null) {
      throw new NullPointerException(OP + ": parent is null");
    }
    out.check(
        OP, device, requests, requests * spec.nodes, spec.outputs.bits(), spec.outputs.positions());
    inputsAreApart(operands);
    if (operands.selected != null) {
      Buffer selected = operands.selected;
      Check.operand(OP, "selected", selected, spec.indices, device);
      Check.matrix(OP, "selected", selected, requests, spec.selected());
      Check.dense(OP, "selected", selected);
      Check.writable(OP, "selected", selected);
      out.disjoint(OP, "selected", selected);
      Check.disjoint(OP, "selected", selected, "scores", operands.scores);
      Check.disjoint(OP, "selected", selected, "selection", operands.selection);
      Check.disjoint(OP, "selected", selected, "parentList", operands.parentList);
      Check.disjoint(OP, "selected", selected, "prefix", operands.prefix);
    }
  }

  private static void inputsAreApart(Operands operands) {
    operands.out.disjoint(OP, "scores", operands.scores);
    operands.out.disjoint(OP, "selection", operands.selection);
    operands.out.disjoint(OP, "parentList", operands.parentList);
    operands.out.disjoint(OP, "prefix", operands.prefix);
  }
}

package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** A call of {@code RejectionVerify} by arrays: trees of equal size, one after the other. */
final class RejectionCall {
  private final int trees;
  private final int nodes;

  /** Tokens and links by node, the links local to a tree; null links for chains. */
  final int[] tokens;

  int[] firstChild;
  int[] nextSibling;

  /** Rows by node. */
  final float[] target;

  float[] draft;

  /** Coins by node and by tree. */
  final float[] uniforms;

  final float[] finalUniforms;

  /** The temperature of all trees. */
  float temperature = 1;

  int[] nearest;

  private final int vocab;

  /**
   * @param nodes of each tree
   */
  RejectionCall(int trees, int nodes, int vocab) {
    this.trees = trees;
    this.nodes = nodes;
    this.vocab = vocab;
    tokens = new int[trees * nodes];
    target = new float[trees * nodes * vocab];
    uniforms = new float[trees * nodes];
    finalUniforms = new float[trees];
  }

  /**
   * What a call returned.
   *
   * @param path of each tree, from the root on
   * @param distribution of each tree
   */
  record Result(List<int[]> path, int[] next, List<float[]> distribution, float[] rho) {}

  /** Makes rows of elements of a tensor, at {@code into}. */
  static void copy(GoldenTensor from, long first, float[] into, int at, int count) {
    for (int i = 0; i < count; i++) {
      into[at + i] = (float) from.asDouble(first + i);
    }
  }

  /** The same for integers. */
  static int[] ints(GoldenTensor from) {
    int[] values = new int[Math.toIntExact(from.shape().size())];
    Arrays.setAll(values, i -> Math.toIntExact(from.asLong(i)));
    return values;
  }

  /** The children of the root, one after the other, are all there is. */
  void oneLevel() {
    firstChild = new int[tokens.length];
    nextSibling = new int[tokens.length];
    for (int i = 0; i < tokens.length; i++) {
      int local = i % nodes;
      firstChild[i] = local == 0 && nodes > 1 ? 1 : -1;
      nextSibling[i] = local > 0 && local + 1 < nodes ? local + 1 : -1;
    }
  }

  /** Links of one tree from parents, children in ascending order. */
  void parents(int[] parent) {
    unlinked();
    for (int i = 1; i < nodes; i++) {
      append(parent[i], i);
    }
  }

  /** Links of one tree from paths [rows, columns], children in the order of the rows. */
  void paths(GoldenTensor retrieve) {
    unlinked();
    int columns = (int) retrieve.shape().dim(1);
    Set<Integer> seen = new HashSet<>();
    int[] ids = ints(retrieve);
    for (int i = 0; i < ids.length; i++) {
      if (i % columns > 0 && ids[i] >= 0 && seen.add(ids[i])) {
        append(ids[i - 1], ids[i]);
      }
    }
  }

  private void unlinked() {
    firstChild = new int[nodes];
    nextSibling = new int[nodes];
    Arrays.fill(firstChild, -1);
    Arrays.fill(nextSibling, -1);
  }

  private void append(int parent, int child) {
    int last = firstChild[parent];
    while (last >= 0 && nextSibling[last] >= 0) {
      last = nextSibling[last];
    }
    if (last < 0) {
      firstChild[parent] = child;
    } else {
      nextSibling[last] = child;
    }
  }

  /** How many tests of distinct tokens lead to a path in the first tree. */
  int testsOf(int[] path) {
    int tests = 0;
    for (int level = 0; level < path.length; level++) {
      Set<Integer> distinct = new HashSet<>();
      int accepted = level + 1 < path.length ? path[level + 1] : -1;
      int child = firstChild[path[level]];
      while (child >= 0) {
        distinct.add(tokens[child]);
        child = child == accepted ? -1 : nextSibling[child];
      }
      tests += distinct.size();
    }
    return tests;
  }

  /** The first of the paths [rows, columns] that begins with that one. */
  static int rowOf(GoldenTensor retrieve, int[] path) {
    int columns = (int) retrieve.shape().dim(1);
    int[] ids = ints(retrieve);
    for (int row = 0; row < retrieve.shape().dim(0); row++) {
      if (path.length <= columns
          && Arrays.equals(ids, row * columns, row * columns + path.length, path, 0, path.length)) {
        return row;
      }
    }
    return -1;
  }

  Result run(RejectionVerify.Spec spec, Operands operands) {
    int[] offsets = new int[trees + 1];
    Arrays.setAll(offsets, i -> i * nodes);
    boolean chance = spec.rule() != RejectionRule.RELAXED_GREEDY;
    float[] temperatures = new float[trees];
    Arrays.fill(temperatures, temperature);
    boolean kSeq = spec.rule() == RejectionRule.K_SEQ;
    var outputs =
        new RejectionVerify.Outputs(
            operands.output(DType.I32, spec.acceptedShape(trees)),
            operands.output(DType.I32, Shape.of(trees)),
            operands.output(DType.I32, Shape.of(trees)),
            operands.output(DType.I32, Shape.of(trees)),
            operands.output(DType.F32, spec.rowsShape(trees)),
            kSeq ? operands.output(DType.F32, Shape.of(trees)) : null);
    Shape rows = spec.rowsShape(tokens.length);
    Buffer table =
        nearest == null
            ? null
            : operands.input(tensor(nearest, Shape.of(vocab, nearest.length / vocab)));
    RejectionVerify.plan(operands.device(), spec)
        .run(
            operands.stream(),
            new RejectionVerify.Operands(
                operands.input(tensor(offsets, Shape.of(trees + 1))),
                operands.input(tensor(tokens, Shape.of(tokens.length))),
                firstChild == null
                    ? null
                    : operands.input(tensor(firstChild, Shape.of(tokens.length))),
                nextSibling == null
                    ? null
                    : operands.input(tensor(nextSibling, Shape.of(tokens.length))),
                operands.input(tensor(target, rows)),
                draft == null ? null : operands.input(tensor(draft, rows)),
                chance ? operands.input(tensor(temperatures, Shape.of(trees))) : null,
                chance ? operands.input(tensor(uniforms, Shape.of(tokens.length))) : null,
                chance ? operands.input(tensor(finalUniforms, Shape.of(trees))) : null,
                table,
                outputs));
    int[] accepted = ints(operands.result(outputs.accepted()));
    int[] counts = ints(operands.result(outputs.counts()));
    int[] next = ints(operands.result(outputs.next()));
    int[] status = ints(operands.result(outputs.status()));
    float[] distribution = floats(operands.result(outputs.distribution()));
    int width = spec.width();
    for (int each : status) {
      if (each != 0) {
        throw new IllegalStateException("status is " + Arrays.toString(status));
      }
    }
    return new Result(
        IntStream.range(0, trees)
            .mapToObj(b -> Arrays.copyOfRange(accepted, b * width, b * width + counts[b] + 1))
            .toList(),
        next,
        IntStream.range(0, trees)
            .mapToObj(b -> Arrays.copyOfRange(distribution, b * vocab, (b + 1) * vocab))
            .toList(),
        kSeq ? floats(operands.result(outputs.rho())) : null);
  }

  static GoldenTensor tensor(int[] values, Shape shape) {
    return new GoldenTensor(DType.I32, shape, MemorySegment.ofArray(values));
  }

  static GoldenTensor tensor(float[] values, Shape shape) {
    return new GoldenTensor(DType.F32, shape, MemorySegment.ofArray(values));
  }

  private static float[] floats(GoldenTensor tensor) {
    return tensor.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }
}

package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeVerify;
import io.quern.op.TreeVerifyCases;
import io.quern.op.VerifyRule;
import io.quern.op.VerifyTarget;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** Draft trees against a target's rows. */
final class VerifyWorkload {
  private static final String OPERATOR = "tree_verify";

  private static final Set<String> QUICK =
      Set.of(
          "argmax-f32-v128256-b64", "greedy-f32-v128256-b1", "target-only-logits-f32-v128256-b1");

  private final TreeVerify.Spec spec;
  private final TreeVerifyCases.Inputs in;
  private final Shape nodes;
  private final Shape batch;
  private final MemorySegment target;
  private final Workload workload;
  private final MemorySegment accepted;
  private final MemorySegment counts;
  private final MemorySegment next;
  private final MemorySegment status;

  private VerifyWorkload(SegmentAllocator memory, TreeVerifyCases.Case one) {
    spec = one.spec();
    in = one.inputs();
    nodes = Shape.of(in.tokens().length);
    batch = Shape.of(in.offsets().length - 1);
    target = target(memory);
    workload =
        new Workload(memory, OPERATOR, one.id())
            .with("rule", spec.rule().name())
            .with("target", spec.target().name())
            .with("dtype", spec.dtype().name())
            .with("vocab", spec.vocab())
            .with("nodes", nodes.size())
            .with("batch", batch.size())
            .bytes(one.acceptedNodes() * spec.vocab() * spec.dtype().byteSize())
            .input("target", spec.dtype(), spec.targetShape(nodes.size()), target);
    ints(memory, "offsets", in.offsets());
    ints(memory, "tokens", in.tokens());
    ints(memory, "firstChild", in.firstChild());
    ints(memory, "nextSibling", in.nextSibling());
    if (spec.byPaths()) {
      workload.input(
          "paths",
          DType.I32,
          Shape.of(batch.size(), in.pathCount(), in.pathWidth()),
          memory.allocateFrom(ValueLayout.JAVA_INT, CaseInputs.ints(in.paths())));
    }
    if (in.uniforms() != null) {
      floats(memory, "uniforms", in.uniforms());
      floats(memory, "finalUniforms", in.finalUniforms());
    }
    accepted = workload.output("accepted", DType.I32, spec.acceptedShape(batch.size()));
    counts = workload.output("counts", DType.I32, batch);
    next = workload.output("next", DType.I32, batch);
    status = workload.output("status", DType.I32, batch);
    workload.runs(this::onDevice);
    if (!spec.byPaths() && spec.target() == VerifyTarget.LOGITS) {
      workload.loop("java-segment", set -> walk());
    }
    peers();
  }

  /** The cases of the operator's table. */
  static Stream<TimedCase> cases() {
    return TreeVerifyCases.benchmark().stream()
        .map(
            one ->
                TimedCase.of(OPERATOR, one.id(), memory -> new VerifyWorkload(memory, one).workload)
                    .quickly(QUICK.contains(one.id())));
  }

  private MemorySegment target(SegmentAllocator memory) {
    int bytes = spec.dtype().byteSize();
    MemorySegment rows = memory.allocate((long) in.target().length * bytes, 64);
    for (int i = 0; i < in.target().length; i++) {
      if (bytes == Float.BYTES) {
        rows.setAtIndex(ValueLayout.JAVA_INT, i, in.target()[i]);
      } else {
        rows.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) in.target()[i]);
      }
    }
    return rows;
  }

  private void ints(SegmentAllocator memory, String name, long[] values) {
    workload.input(
        name,
        DType.I32,
        Shape.of(values.length),
        memory.allocateFrom(ValueLayout.JAVA_INT, CaseInputs.ints(values)));
  }

  private void floats(SegmentAllocator memory, String name, float[] values) {
    workload.input(
        name,
        DType.F32,
        Shape.of(values.length),
        memory.allocateFrom(ValueLayout.JAVA_FLOAT, values));
  }

  /** libtorch takes all rows; a batch of roots is its argmax alone. */
  private void peers() {
    if (spec.dtype() != DType.F32 || spec.target() != VerifyTarget.LOGITS) {
      return;
    }
    long width = spec.width();
    if (batch.size() == nodes.size()) {
      workload.peer(Peer.torch("argmax", "target").returning("next"));
    } else if (batch.size() == 1 && spec.rule() == VerifyRule.GREEDY_LINKED) {
      workload.peer(
          Peer.torch("greedy_verify", "target", "tokens", "firstChild", "nextSibling", width)
              .returning("accepted", "counts", "next"));
    } else if (batch.size() == 1 && spec.rule() == VerifyRule.TARGET_ONLY) {
      workload.peer(
          Peer.torch(
                  "target_only_verify",
                  "target",
                  "tokens",
                  "firstChild",
                  "nextSibling",
                  "uniforms",
                  "finalUniforms",
                  width)
              .returning("accepted", "counts", "next"));
    }
  }

  private IntConsumer onDevice(Placement place) {
    TreeVerify plan = TreeVerify.plan(place.device(), spec);
    var outputs =
        new TreeVerify.Outputs(
            place.output("accepted"),
            place.output("counts"),
            place.output("next"),
            place.output("status"));
    Buffer offsets = place.input("offsets");
    Buffer tokens = place.input("tokens");
    Buffer rows = place.input("target");
    TreeVerify.Operands operands =
        spec.byPaths()
            ? TreeVerify.Operands.ofPaths(offsets, tokens, place.input("paths"), rows, outputs)
            : TreeVerify.Operands.ofLinks(
                offsets,
                tokens,
                place.input("firstChild"),
                place.input("nextSibling"),
                rows,
                outputs);
    TreeVerify.Operands all =
        in.uniforms() == null
            ? operands
            : operands.withUniforms(place.input("uniforms"), place.input("finalUniforms"));
    return set -> plan.run(place.stream(), all);
  }

  /** The walk by links, with plain loops over each row that it visits. */
  private void walk() {
    int width = spec.width();
    for (int b = 0; b < batch.size(); b++) {
      int first = (int) in.offsets()[b];
      int count = 0;
      int node = 0;
      int token;
      do {
        accepted.setAtIndex(ValueLayout.JAVA_INT, (long) b * width + count, node);
        int firstborn = count + 1 < width ? (int) in.firstChild()[first + node] : -1;
        if (spec.rule() == VerifyRule.GREEDY_LINKED) {
          token = argmax(first + node);
          node = firstborn;
          while (node != -1 && in.tokens()[first + node] != token) {
            node = (int) in.nextSibling()[first + node];
          }
        } else {
          token = sample(b, first, first + node, firstborn);
          node = childWith(first, firstborn, token);
        }
      } while (node != -1 && ++count < width);
      for (int c = count + 1; c < width; c++) {
        accepted.setAtIndex(ValueLayout.JAVA_INT, (long) b * width + c, -1);
      }
      counts.setAtIndex(ValueLayout.JAVA_INT, b, count);
      next.setAtIndex(ValueLayout.JAVA_INT, b, token);
      status.setAtIndex(ValueLayout.JAVA_INT, b, 0);
    }
  }

  /** The token of the child that a node's coin falls on, else one drawn from the rest. */
  private int sample(int b, int first, int node, int firstborn) {
    long row = node * spec.vocab();
    float max = value(row + argmax(node));
    double sum = 0;
    for (int i = 0; i < spec.vocab(); i++) {
      sum += Math.exp(value(row + i) - max);
    }
    double rest = sum;
    double passed = 0;
    for (int child = firstborn; child != -1; child = (int) in.nextSibling()[first + child]) {
      double weight = Math.exp(value(row + in.tokens()[first + child]) - max);
      passed += weight / sum;
      if (in.uniforms()[node] <= passed) {
        return (int) in.tokens()[first + child];
      }
      rest -= weight;
    }
    double left = in.finalUniforms()[b] * rest;
    int token = -1;
    while (left >= 0 && ++token < spec.vocab() - 1) {
      if (childWith(first, firstborn, token) == -1) {
        left -= Math.exp(value(row + token) - max);
      }
    }
    return token;
  }

  private int childWith(int first, int firstborn, int token) {
    int child = firstborn;
    while (child != -1 && in.tokens()[first + child] != token) {
      child = (int) in.nextSibling()[first + child];
    }
    return child;
  }

  private int argmax(int node) {
    long row = node * spec.vocab();
    int best = 0;
    float greatest = value(row);
    for (int i = 1; i < spec.vocab(); i++) {
      float value = value(row + i);
      if (value > greatest) {
        greatest = value;
        best = i;
      }
    }
    return best;
  }

  private float value(long i) {
    return switch (spec.dtype()) {
      case F32 -> target.getAtIndex(ValueLayout.JAVA_FLOAT, i);
      case F16 -> Float.float16ToFloat(target.getAtIndex(ValueLayout.JAVA_SHORT, i));
      default -> Float.intBitsToFloat(target.getAtIndex(ValueLayout.JAVA_SHORT, i) << 16);
    };
  }
}

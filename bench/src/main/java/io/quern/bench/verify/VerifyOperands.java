package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeStatus;
import io.quern.op.TreeVerify;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Map;

/**
 * A batch of trees of {@code n} nodes each, verified, and what the references make of the answer.
 */
final class VerifyOperands {
  private final Operands operands;
  private final long batch;
  private final long n;
  private final TreeVerify.Outputs outputs;

  VerifyOperands(Operands operands, long batch, long n, int width) {
    this.operands = operands;
    this.batch = batch;
    this.n = n;
    this.outputs =
        new TreeVerify.Outputs(
            operands.output(DType.I32, Shape.of(batch, width)),
            operands.output(DType.I32, Shape.of(batch)),
            operands.output(DType.I32, Shape.of(batch)),
            operands.output(DType.I32, Shape.of(batch)));
  }

  TreeVerify.Outputs outputs() {
    return outputs;
  }

  /** Integers as I32, in another shape of the same size. */
  Buffer ints(GoldenTensor tensor, Shape shape) {
    int[] values = new int[Math.toIntExact(shape.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.toIntExact(tensor.asLong(i));
    }
    return operands.input(tensor(shape, values));
  }

  /** The same of all nodes. */
  Buffer nodes(GoldenTensor tensor) {
    return ints(tensor, Shape.of(batch * n));
  }

  Buffer offsets() {
    int[] offsets = new int[Math.toIntExact(batch + 1)];
    for (int b = 0; b <= batch; b++) {
      offsets[b] = Math.toIntExact(b * n);
    }
    return operands.input(tensor(Shape.of(batch + 1), offsets));
  }

  /** Verifies, and fetches the answers. */
  Answers verify(TreeVerify.Spec spec, TreeVerify.Operands of) {
    TreeVerify.plan(operands.device(), spec).run(operands.stream(), of);
    GoldenTensor status = operands.result(outputs.status());
    for (int b = 0; b < batch; b++) {
      if (status.asLong(b) != TreeStatus.OK.ordinal()) {
        throw new IllegalStateException("the status of request " + b + " is " + status.text(b));
      }
    }
    return new Answers(
        operands.result(outputs.accepted()),
        operands.result(outputs.counts()),
        operands.result(outputs.next()));
  }

  /** What the operator returns. */
  record Answers(GoldenTensor accepted, GoldenTensor counts, GoldenTensor next) {
    int accepted(int b, int i) {
      return (int) accepted.asLong(b * accepted.shape().last() + i);
    }

    int count(int b) {
      return (int) counts.asLong(b);
    }

    /** SGLang's outputs: {@code predicts}, {@code accept_index} and {@code accept_token_num}. */
    Map<String, GoldenTensor> asSglang(GoldenTensor retrieveIndex, GoldenTensor candidates) {
      int n = (int) candidates.shape().last();
      int[] predicts = new int[(int) candidates.shape().size()];
      Arrays.fill(predicts, -1);
      int[] index = new int[(int) accepted.shape().size()];
      int width = (int) accepted.shape().last();
      for (int b = 0; b < counts.shape().size(); b++) {
        for (int i = 0; i < width; i++) {
          int node = accepted(b, i);
          index[b * width + i] = node < 0 ? -1 : (int) retrieveIndex.asLong(b * n + node);
        }
        for (int i = 0; i <= count(b); i++) {
          predicts[index[b * width + i]] =
              (int) (i < count(b) ? candidates.asLong(b * n + accepted(b, i + 1)) : next.asLong(b));
        }
      }
      return Map.of(
          "predicts",
          tensor(Shape.of(predicts.length), predicts),
          "accept_index",
          tensor(accepted.shape(), index),
          "accept_token_num",
          counts);
    }
  }

  static GoldenTensor tensor(Shape shape, int[] values) {
    byte[] bytes = new byte[values.length * Integer.BYTES];
    MemorySegment data = MemorySegment.ofArray(bytes);
    MemorySegment.copy(values, 0, data, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return new GoldenTensor(DType.I32, shape, data);
  }
}

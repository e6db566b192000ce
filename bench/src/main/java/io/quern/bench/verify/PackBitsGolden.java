package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.BitOrder;
import io.quern.op.PackBits;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** {@code in.x, in.indptr → out.y, out.whole} in both orders of bits, {@code out.out_indptr}. */
final class PackBitsGolden implements GoldenOp {
  @Override
  public String name() {
    return "segment_packbits";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    GoldenTensor whole = TreeResults.tensor(Shape.of(2), 0, (int) x.shape().size());
    Map<String, GoldenTensor> results = new HashMap<>();
    for (BitOrder order : BitOrder.values()) {
      String suffix = order == BitOrder.LITTLE ? "_little" : "_big";
      Buffer indptr = operands.output(DType.I64, golden.input("indptr").shape());
      results.put(
          "y" + suffix,
          pack(operands, x, golden.input("indptr"), order, golden.output("y" + suffix), indptr));
      results.put("out_indptr", operands.result(indptr));
      results.put(
          "whole" + suffix, pack(operands, x, whole, order, golden.output("whole" + suffix), null));
    }
    return results;
  }

  private static GoldenTensor pack(
      Operands operands,
      GoldenTensor x,
      GoldenTensor offsets,
      BitOrder order,
      GoldenTensor like,
      Buffer outOffsets) {
    Buffer out = operands.output(DType.U8, like.shape());
    Buffer status = operands.output(DType.I32, Shape.of(offsets.shape().size() - 1));
    PackBits.plan(operands.device(), new PackBits.Spec(x.dtype(), offsets.dtype(), order))
        .run(
            operands.stream(),
            PackBits.Operands.of(operands.input(x), operands.input(offsets), out, status)
                .withOutOffsets(outOffsets));
    return operands.result(out);
  }
}

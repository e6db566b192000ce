package io.quern.bench.measure;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.op.TopK;
import io.quern.op.TopKCases;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** The first elements of rows. */
final class TopKWorkload {
  private static final String OPERATOR = "top_k";

  /** Longer lists are no plain loop any more. */
  private static final int LONGEST_LIST = 64;

  private static final Set<String> QUICK = Set.of("f32-64x128256-top1", "f32-81x32000-top8");

  private final TopK.Spec spec;
  private final int rows;
  private final MemorySegment x;
  private final MemorySegment values;
  private final MemorySegment indices;

  private TopKWorkload(
      TopK.Spec spec, int rows, MemorySegment x, MemorySegment values, MemorySegment indices) {
    this.spec = spec;
    this.rows = rows;
    this.x = x;
    this.values = values;
    this.indices = indices;
  }

  /** The cases of the operator's table. */
  static Stream<TimedCase> cases() {
    return TopKCases.benchmark().stream()
        .map(
            one ->
                TimedCase.of(OPERATOR, one.id(), memory -> of(memory, one))
                    .quickly(QUICK.contains(one.id())));
  }

  private static Workload of(SegmentAllocator memory, TopKCases.Case one) {
    TopK.Spec spec = one.spec();
    int rows = Math.toIntExact(one.rows());
    MemorySegment x = CaseInputs.table(memory, one.x());
    Workload workload =
        new Workload(
                memory,
                OPERATOR,
                "%s[%d, %d], k %d".formatted(spec.x(), rows, spec.dim(), spec.k()))
            .with("x", spec.x().name())
            .with("rows", rows)
            .with("dim", spec.dim())
            .with("k", spec.k())
            .bytes(rows * (spec.dim() * spec.x().byteSize() + spec.k() * 2L * Integer.BYTES))
            .input("x", spec.x(), one.x().shape(), x);
    MemorySegment values =
        one.withValues() ? workload.output("values", DType.F32, spec.outputShape(rows)) : null;
    MemorySegment indices = workload.output("indices", DType.I32, spec.outputShape(rows));
    TopKWorkload plain = new TopKWorkload(spec, rows, x, values, indices);
    if (spec.k() <= LONGEST_LIST) {
      workload.loop("java-segment", plain::insert);
    }
    if (spec.x() == DType.F32) { // libtorch gives values of the type of x
      workload.peer(
          one.withValues()
              ? Peer.torch("topk", "x", spec.k()).returning("values", "indices")
              : Peer.torch("argmax", "x").returning("indices"));
    }
    return workload.runs(place -> onDevice(place, spec, one.withValues()));
  }

  private static IntConsumer onDevice(Placement place, TopK.Spec spec, boolean withValues) {
    TopK plan = TopK.plan(place.device(), spec);
    Buffer x = place.input("x");
    Buffer values = withValues ? place.output("values") : null;
    Buffer indices = place.output("indices");
    return set -> plan.run(place.stream(), x, values, indices);
  }

  /** A sorted list of the best so far. */
  private void insert(int set) {
    int k = (int) spec.k();
    float[] best = new float[k];
    int[] at = new int[k];
    for (int row = 0; row < rows; row++) {
      int count = 0;
      for (int i = 0; i < spec.dim(); i++) {
        float value = value(row * spec.dim() + i);
        if (count < k || value > best[k - 1]) {
          int place = count < k ? count++ : k - 1;
          for (; place > 0 && value > best[place - 1]; place--) {
            best[place] = best[place - 1];
            at[place] = at[place - 1];
          }
          best[place] = value;
          at[place] = i;
        }
      }
      for (int j = 0; j < k; j++) {
        indices.setAtIndex(JAVA_INT, (long) row * k + j, at[j]);
        if (values != null) {
          values.setAtIndex(JAVA_FLOAT, (long) row * k + j, best[j]);
        }
      }
    }
  }

  private float value(long i) {
    return switch (spec.x()) {
      case F32 -> x.getAtIndex(JAVA_FLOAT, i);
      case F16 -> Float.float16ToFloat(x.getAtIndex(JAVA_SHORT, i));
      default -> Float.intBitsToFloat(x.getAtIndex(JAVA_SHORT, i) << 16);
    };
  }
}

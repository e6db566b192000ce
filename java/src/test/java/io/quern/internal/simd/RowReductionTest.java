package io.quern.internal.simd;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.DType;
import io.quern.internal.scalar.CanonicalMath;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Both twins against rules 4, 6 and 8 of the documentation, bit by bit. */
@Tag("parity")
class RowReductionTest {
  private static final int[] SIZES = {
    0, 1, 2, 3, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 129, 200, 767, 768, 4095, 4096, 4097,
    4159, 8191, 8192, 8193, 12345, 40000
  };

  private static final DType[] DTYPES = {DType.F32, DType.F16, DType.BF16};

  /** What a row is made of. */
  enum Values {
    NORMAL,
    NONNEGATIVE,
    FEW,
    TINY,
    SPECIAL,
    NAN;

    float next(Random random) {
      return switch (this) {
        case NORMAL -> (float) random.nextGaussian();
        case NONNEGATIVE -> Math.max(0, (float) random.nextGaussian());
        case FEW -> random.nextInt(5) - 2;
        case TINY -> (float) random.nextGaussian() * 0x1p-70f;
        case SPECIAL ->
            switch (random.nextInt(20)) {
              case 0 -> Float.NaN;
              case 1 -> Float.NEGATIVE_INFINITY;
              case 2 -> -0.0f;
              case 3 -> 0;
              default -> -Math.abs((float) random.nextGaussian());
            };
        case NAN -> Float.NaN;
      };
    }
  }

  record Row(Values values, int n, DType dtype) {}

  static List<Row> rows() {
    return java.util.Arrays.stream(Values.values())
        .flatMap(
            values ->
                java.util.Arrays.stream(DTYPES)
                    .flatMap(
                        dtype ->
                            java.util.Arrays.stream(SIZES)
                                .mapToObj(n -> new Row(values, n, dtype))))
        .toList();
  }

  @ParameterizedTest
  @MethodSource("rows")
  void isTheDocumentedOrder(Row row) {
    Random random = new Random(row.hashCode());
    int n = row.n;
    DType dtype = row.dtype;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocate((long) (n + 1) * dtype.byteSize(), 16);
      MemorySegment b = arena.allocate((long) (n + 1) * dtype.byteSize(), 16);
      long offset = dtype.byteSize();
      float[] x = fill(a, offset, row, random);
      float[] y = fill(b, offset, row, random);

      io.quern.internal.scalar.RowReduction scalar = new io.quern.internal.scalar.RowReduction();
      io.quern.internal.scalar.RowReduction.Row xs = i -> x[(int) i];
      io.quern.internal.scalar.RowReduction.Row ys = i -> y[(int) i];
      RowReduction simd = new RowReduction();

      float max = max(x);
      same("max", max, io.quern.internal.scalar.RowReduction.max(xs, n));
      same("max", max, simd.max(dtype, a, offset, n));
      same("max", max, RowReduction.max(x, 0, n));

      long argmax = argmax(x);
      assertEquals(argmax, io.quern.internal.scalar.RowReduction.argmax(xs, n), "argmax");
      assertEquals(argmax, simd.argmax(dtype, a, offset, n), "argmax");
      assertEquals(argmax, RowReduction.argmax(x, 0, n), "argmax");

      float sum = sum(n, (i, s) -> s + x[i]);
      same("sum", sum, scalar.sum(xs, n));
      same("sum", sum, simd.sum(dtype, a, offset, n));
      same("sum", sum, simd.sum(x, 0, n));

      float norm = sum(n, (i, s) -> Math.fma(x[i], x[i], s));
      same("squared norm", norm, scalar.squaredNorm(xs, n));
      same("squared norm", norm, simd.squaredNorm(dtype, a, offset, n));

      float dot = sum(n, (i, s) -> Math.fma(x[i], y[i], s));
      same("dot", dot, scalar.dot(xs, ys, n));
      same("dot", dot, simd.dot(dtype, a, offset, dtype, b, offset, n));
      same("dot", dot, simd.dot(x, 0, y, 0, n));

      float expSum = sum(n, (i, s) -> s + CanonicalMath.exp(x[i] - max));
      same("sum of exp", expSum, scalar.sumExp(xs, n, max));
      same("sum of exp", expSum, simd.sumExp(dtype, a, offset, n, max));

      for (float part : new float[] {-1, 0, 1e-6f, 0.3f, 0.5f, 0.99f, 0.999999f, 1, 1.5f}) {
        float target = part * sum;
        long found = search(x, target);
        assertEquals(found, scalar.search(xs, n, target), () -> "search of " + target);
        assertEquals(found, searchPieces(simd, x, target), () -> "search of " + target);
      }
    }
  }

  /** As a simd kernel would. */
  private static long searchPieces(RowReduction simd, float[] x, float target) {
    float before = 0;
    for (int start = 0; start < x.length; start += RowReduction.PIECE) {
      int n = Math.min(RowReduction.PIECE, x.length - start);
      float after = before + simd.sum(x, start, n);
      if (after > target) {
        int found = RowReduction.search(x, start, n, before, target);
        return found < 0 ? -1 : start + found;
      }
      before = after;
    }
    return RowReduction.lastPositive(x, 0, x.length);
  }

  private static float[] fill(MemorySegment segment, long offset, Row row, Random random) {
    float[] x = new float[row.n];
    for (int i = 0; i < row.n; i++) {
      float value = row.values.next(random);
      long at = offset + (long) i * row.dtype.byteSize();
      switch (row.dtype) {
        case F32 -> {
          segment.set(ValueLayout.JAVA_FLOAT, at, value);
          x[i] = value;
        }
        case F16 -> {
          segment.set(ValueLayout.JAVA_SHORT, at, Float.floatToFloat16(value));
          x[i] = Float.float16ToFloat(Float.floatToFloat16(value));
        }
        default -> {
          short bits = (short) (Float.floatToIntBits(value) >>> 16);
          segment.set(ValueLayout.JAVA_SHORT, at, bits);
          x[i] = Float.intBitsToFloat(bits << 16);
        }
      }
    }
    return x;
  }

  private interface Step {
    float add(int i, float sum);
  }

  private static float sum(int n, Step step) {
    float total = 0;
    for (int piece = 0; piece * 4096 < n; piece++) {
      total += sumOfPiece(piece * 4096, Math.min(n, piece * 4096 + 4096), step);
    }
    return total;
  }

  private static float sumOfPiece(int begin, int end, Step step) {
    float[] partials = new float[64];
    for (int p = 0; p < 64; p++) {
      for (int i = begin + p; i < end; i += 64) {
        partials[p] = step.add(i, partials[p]);
      }
    }
    return halved(partials, 0, 1);
  }

  /** The sum of partials p, p + step, p + 2 step …: that of the even ones plus that of the odd. */
  private static float halved(float[] partials, int p, int step) {
    return step == 64
        ? partials[p]
        : halved(partials, p, step * 2) + halved(partials, p + step, step * 2);
  }

  private static float max(float[] x) {
    float max = Float.NEGATIVE_INFINITY;
    for (float value : x) {
      if (Float.isNaN(value)) {
        return Float.NaN;
      }
      max = value > max ? value : max;
    }
    return max == 0 ? 0 : max;
  }

  private static long argmax(float[] x) {
    int best = -1;
    for (int i = 0; i < x.length; i++) {
      boolean better = best < 0 || x[i] > x[best] || (Float.isNaN(x[best]) && !Float.isNaN(x[i]));
      best = better ? i : best;
    }
    return best;
  }

  private static long search(float[] x, float target) {
    int last = -1;
    float before = 0;
    for (int begin = 0; begin < x.length; begin += 4096) {
      int end = Math.min(x.length, begin + 4096);
      float after = before + sumOfPiece(begin, end, (i, s) -> s + x[i]);
      if (after > target) {
        int lastHere = -1;
        float run = before;
        for (int i = begin; i < end; i++) {
          run += x[i];
          if (x[i] > 0 && run > target) {
            return i;
          }
          lastHere = x[i] > 0 ? i : lastHere;
        }
        return lastHere;
      }
      before = after;
    }
    for (int i = 0; i < x.length; i++) {
      last = x[i] > 0 ? i : last;
    }
    return last;
  }

  private static void same(String what, float expected, float got) {
    assertEquals(Float.floatToIntBits(expected), Float.floatToIntBits(got), what);
  }
}

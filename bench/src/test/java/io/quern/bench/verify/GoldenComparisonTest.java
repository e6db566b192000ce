package io.quern.bench.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class GoldenComparisonTest {
  private static final Tolerance EXACT = new Tolerance.Exact();
  private static final float INF = Float.POSITIVE_INFINITY;

  private static GoldenTensor f32(float... values) {
    return new GoldenTensor(DType.F32, Shape.of(values.length), MemorySegment.ofArray(values));
  }

  private static GoldenTensor f64(double... values) {
    return new GoldenTensor(DType.F64, Shape.of(values.length), MemorySegment.ofArray(values));
  }

  private static GoldenTensor f16(float value) {
    return shorts(DType.F16, Float.floatToFloat16(value));
  }

  private static GoldenTensor bf16(float value) {
    return shorts(DType.BF16, (short) (Float.floatToRawIntBits(value) >>> 16));
  }

  private static GoldenTensor shorts(DType dtype, int... bits) {
    short[] values = new short[bits.length];
    for (int i = 0; i < bits.length; i++) {
      values[i] = (short) bits[i];
    }
    return new GoldenTensor(dtype, Shape.of(bits.length), MemorySegment.ofArray(values));
  }

  private static GoldenTensor ints(DType dtype, int... values) {
    return new GoldenTensor(dtype, Shape.of(values.length), MemorySegment.ofArray(values));
  }

  private static GoldenTensor longs(DType dtype, long... values) {
    return new GoldenTensor(dtype, Shape.of(values.length), MemorySegment.ofArray(values));
  }

  private static GoldenTensor bytes(DType dtype, int value) {
    return new GoldenTensor(dtype, Shape.of(1), MemorySegment.ofArray(new byte[] {(byte) value}));
  }

  private static Tolerance close(double rtol, double atol) {
    return new Tolerance.AllClose(rtol, atol);
  }

  record Case(
      String what, GoldenTensor got, GoldenTensor want, Tolerance tolerance, boolean equal) {
    @Override
    public String toString() {
      return what;
    }
  }

  private static Case same(String what, GoldenTensor got, GoldenTensor want, Tolerance tolerance) {
    return new Case(what, got, want, tolerance, true);
  }

  private static Case differ(
      String what, GoldenTensor got, GoldenTensor want, Tolerance tolerance) {
    return new Case(what, got, want, tolerance, false);
  }

  static List<Case> cases() {
    float next = Math.nextUp(1f);
    return List.of(
        same("exact: equal", f32(1, -2), f32(1, -2), EXACT),
        differ("exact: one ulp", f32(next), f32(1), EXACT),
        same("exact: zeros of either sign", f32(-0f, 0f), f32(0f, -0f), EXACT),
        same(
            "exact: NaN, whatever its payload",
            f32(Float.intBitsToFloat(0x7FC12345)),
            f32(Float.NaN),
            EXACT),
        differ("exact: NaN for a number", f32(Float.NaN), f32(0), EXACT),
        differ("exact: a number for NaN", f32(0), f32(Float.NaN), EXACT),
        same("exact: infinities", f32(INF, -INF), f32(INF, -INF), EXACT),
        differ("exact: opposite infinities", f32(INF), f32(-INF), EXACT),
        differ("exact: the largest for infinity", f32(Float.MAX_VALUE), f32(INF), EXACT),
        same("exact: F16 for F32", f16(0x1.554p-2f), f32(0x1.554p-2f), EXACT),
        same("exact: smallest F16 subnormal", f16(0x1p-24f), f32(0x1p-24f), EXACT),
        same("exact: F32 for BF16", f32(1.0078125f), bf16(1.0078125f), EXACT),
        differ("exact: F32 for a BF16 that is rounded", f32(1.005f), bf16(1.005f), EXACT),
        same("exact: F32 for F64, narrowed", f32(0.1f), f64(0.1), EXACT),
        differ("exact: F32 for F64, one ulp", f32(Math.nextUp(0.1f)), f64(0.1), EXACT),
        differ("exact: F64 for F64 is not narrowed", f64(0.1f), f64(0.1), EXACT),
        differ("exact: F64 for F32 is not narrowed", f64(0.1), f32(0.1f), EXACT),
        same("exact: I32 for I64", ints(DType.I32, -1, 7), longs(DType.I64, -1, 7), EXACT),
        differ("exact: I32 for I64, off by one", ints(DType.I32, 6), longs(DType.I64, 7), EXACT),
        differ(
            "exact: I64 beyond 2^53",
            longs(DType.I64, (1L << 53) + 1),
            longs(DType.I64, 1L << 53),
            EXACT),
        same("exact: U32 is unsigned", ints(DType.U32, -1), longs(DType.I64, 0xFFFFFFFFL), EXACT),
        differ("exact: I32 −1 is no U32", ints(DType.I32, -1), ints(DType.U32, -1), EXACT),
        same("exact: U64 beyond 2^63", longs(DType.U64, -1), longs(DType.U64, -1), EXACT),
        differ(
            "exact: U64 beyond 2^63 is no I64", longs(DType.U64, -1), longs(DType.I64, -1), EXACT),
        same("exact: U8 for I64", bytes(DType.U8, 200), longs(DType.I64, 200), EXACT),
        differ("exact: I8 is signed", bytes(DType.I8, 200), longs(DType.I64, 200), EXACT),
        same("exact: BOOL for I64", bytes(DType.BOOL, 1), longs(DType.I64, 1), EXACT),
        differ("exact: BOOL", bytes(DType.BOOL, 1), bytes(DType.BOOL, 0), EXACT),
        same("exact: U16 for I16", shorts(DType.U16, 5), shorts(DType.I16, 5), EXACT),
        differ("exact: U16 is unsigned", shorts(DType.U16, -5), shorts(DType.I16, -5), EXACT),
        same("exact: I32 for F32", ints(DType.I32, 3), f32(3), EXACT),
        differ("exact: I32 for F32 with a fraction", ints(DType.I32, 3), f32(3.5f), EXACT),
        same("exact: nothing", f32(), f32(), EXACT),
        same("close: at the bound", f32(1.5f), f32(1f), close(0.25, 0.25)),
        differ("close: over the bound", f32(Math.nextUp(1.5f)), f32(1f), close(0.25, 0.25)),
        same("close: the relative part follows what is expected", f32(8), f32(10), close(0.2, 0)),
        differ("close: and not what is got", f32(10), f32(8), close(0.2, 0)),
        same("close: negative", f32(-8), f32(-10), close(0.2, 0)),
        differ("close: other sign", f32(-1), f32(1), close(0.5, 0.5)),
        same("close: NaN for NaN", f32(Float.NaN), f32(Float.NaN), close(0, 0)),
        differ("close: NaN for a number", f32(Float.NaN), f32(1), close(10, 10)),
        differ("close: a number for NaN", f32(1), f32(Float.NaN), close(10, 10)),
        same("close: infinities", f32(INF, -INF), f32(INF, -INF), close(0.1, 0.1)),
        differ("close: a number for infinity", f32(1), f32(INF), close(0.1, 0.1)),
        differ("close: infinity for a number", f32(INF), f32(1), close(0.1, 0.1)),
        differ("close: opposite infinities", f32(INF), f32(-INF), close(0.1, 0.1)),
        same("close: F32 for F64", f32(0.1f), f64(0.1), close(1e-7, 0)),
        differ("close: F32 for F64, too tight", f32(0.1f), f64(0.1), close(1e-9, 0)),
        same("close: integers", ints(DType.I32, 11), longs(DType.I64, 10), close(0.1, 0)),
        differ("close: integers too far", ints(DType.I32, 12), longs(DType.I64, 10), close(0.1, 0)),
        differ(
            "close: U64 is not negative",
            longs(DType.U64, -1),
            longs(DType.I64, -1),
            close(0, 10)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void follows(Case c) {
    Optional<String> difference = GoldenComparison.difference(c.got, c.want, c.tolerance);
    assertEquals(c.equal, difference.isEmpty(), difference.toString());
  }

  @Test
  void shapesHaveToBeEqual() {
    GoldenTensor flat = f32(1, 2, 3, 4, 5, 6);
    GoldenTensor matrix = new GoldenTensor(DType.F32, Shape.of(2, 3), flat.data());
    assertEquals(
        Optional.of("shape [6], expected [2, 3]"),
        GoldenComparison.difference(flat, matrix, EXACT));
    assertFalse(
        GoldenComparison.difference(
                new GoldenTensor(DType.F32, Shape.of(0, 3), MemorySegment.NULL),
                new GoldenTensor(DType.F32, Shape.of(0, 4), MemorySegment.NULL),
                EXACT)
            .isEmpty());
    assertTrue(GoldenComparison.difference(matrix, matrix, EXACT).isEmpty());
  }

  @Test
  void saysWhereTheFirstDifferenceIsAndHowManyThereAre() {
    MemorySegment got = MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5.5f, 8});
    MemorySegment want = MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5, 6});
    assertEquals(
        Optional.of("[1, 0, 1] is 5.5, expected 5.0; 2 of 6 values differ, by up to 2.0"),
        GoldenComparison.difference(
            new GoldenTensor(DType.F32, Shape.of(2, 1, 3), got),
            new GoldenTensor(DType.F32, Shape.of(2, 1, 3), want),
            EXACT));
    assertEquals(
        Optional.of(
            "[] is -1, expected 18446744073709551615; 1 of 1 values differ, by up to "
                + "1.8446744073709552E19"),
        GoldenComparison.difference(
            new GoldenTensor(DType.I64, Shape.of(), MemorySegment.ofArray(new long[] {-1})),
            new GoldenTensor(DType.U64, Shape.of(), MemorySegment.ofArray(new long[] {-1})),
            EXACT));
  }
}

package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.DType;
import io.quern.internal.cpu.NativeRows;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * A worker's scratch: rows on their way from a table, widened to F32, or to an output, rounded.
 *
 * <p>Rows from memory are first copied here, many in a row, and only then computed on: the copies
 * overlap their cache misses, where a loop that converts as it loads waits for each row (3 times
 * slower at 256-byte rows from DRAM). The arrays are on the heap, where C2 vectorises plain loops
 * that convert F16.
 */
final class Tile {
  /**
   * Elements: 16 KiB of halves and 32 KiB of floats, about a first-level cache. Wider rows go in
   * pieces.
   */
  static final int CAPACITY = 8192;

  private static final byte[] ZEROS = new byte[4096];

  private static final int BF16_SHIFT = 16;

  /**
   * The difference of the exponents' biases, of the mantissas' widths, and of the signs' places.
   */
  private static final int F16_BIAS = 127 - 15;

  private static final int F16_MANTISSA_SHIFT = 23 - 10;
  private static final int F16_SIGN_SHIFT = 31 - 15;
  private static final int BF16_QUIET = 0x40;

  /** Rows as F32, densely. */
  final float[] floats = new float[CAPACITY];

  private final short[] halves = new short[CAPACITY];

  /** One for each worker. */
  static Tile[] ofEach(int workers) {
    Tile[] tiles = new Tile[workers];
    Arrays.setAll(tiles, i -> new Tile());
    return tiles;
  }

  /** Copies a row in, at element {@code at}, without converting it. */
  void load(DType dtype, MemorySegment source, long offset, int at, int dim) {
    if (dtype == DType.F32) {
      NativeRows.copy(source, JAVA_FLOAT, offset, floats, at, dim);
    } else {
      NativeRows.copy(source, JAVA_SHORT, offset, halves, at, dim);
    }
  }

  /** Copies {@code count} elements of memory, however many, into an array, widened to F32. */
  void read(DType dtype, MemorySegment source, long offset, float[] to, int at, int count) {
    if (dtype == DType.F32) {
      NativeRows.copy(source, JAVA_FLOAT, offset, to, at, count);
      return;
    }
    for (int from = 0; from < count; from += CAPACITY) {
      int n = Math.min(CAPACITY, count - from);
      load(dtype, source, offset + (long) from * dtype.byteSize(), 0, n);
      widen(dtype, n);
      System.arraycopy(floats, 0, to, at + from, n);
    }
  }

  /** Puts a row of zeros at element {@code at}. */
  void loadZero(DType dtype, int at, int dim) {
    if (dtype == DType.F32) {
      Arrays.fill(floats, at, at + dim, 0);
    } else {
      Arrays.fill(halves, at, at + dim, (short) 0);
    }
  }

  /** Makes {@link #floats} of the first {@code count} loaded elements. */
  void widen(DType dtype, int count) {
    switch (dtype) {
      case F32 -> {}
      case F16 -> widenF16(halves, floats, count);
      case BF16 -> widenBf16(halves, floats, count);
      default -> throw new AssertionError(dtype);
    }
  }

  /**
   * Widens {@code count} loaded halves from {@code at} straight into memory, which saves a pass.
   */
  void storeWidened(DType dtype, int at, MemorySegment out, long target, int count) {
    if (dtype == DType.F16) {
      storeWidenedF16(halves, at, out, target, count);
    } else {
      storeWidenedBf16(halves, at, out, target, count);
    }
  }

  /**
   * Moves exponent and mantissa into place and corrects the exponent's bias. A subnormal becomes
   * the mantissa of a float around 2^-14, from which 2^-14 is subtracted, exactly; an infinity or
   * NaN gets the largest exponent.
   */
  private static void storeWidenedF16(
      short[] halves, int at, MemorySegment memory, long target, int count) {
    MemorySegment out = NativeRows.known(memory);
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      IntVector bits =
          (IntVector)
              ShortVector.fromArray(Species.HALF_SHORT, halves, at + i)
                  .convertShape(VectorOperators.ZERO_EXTEND_S2I, Species.INT, 0);
      IntVector magnitude = bits.and(0x7fff).lanewise(VectorOperators.LSHL, F16_MANTISSA_SHIFT);
      IntVector sign = bits.and(0x8000).lanewise(VectorOperators.LSHL, F16_SIGN_SHIFT);
      VectorMask<Integer> subnormal = magnitude.compare(VectorOperators.LT, 1 << 23);
      VectorMask<Integer> special = magnitude.compare(VectorOperators.GE, 31 << 23);
      IntVector normal = magnitude.add(F16_BIAS << 23).add(F16_BIAS << 23, special);
      IntVector small =
          magnitude
              .add((F16_BIAS + 1) << 23)
              .reinterpretAsFloats()
              .sub(0x1p-14f)
              .reinterpretAsInts();
      normal
          .blend(small, subnormal)
          .or(sign)
          .reinterpretAsFloats()
          .intoMemorySegment(out, target + (long) i * Float.BYTES, ByteOrder.nativeOrder());
    }
    for (; i < count; i++) {
      out.set(JAVA_FLOAT, target + (long) i * Float.BYTES, Float.float16ToFloat(halves[at + i]));
    }
  }

  private static void storeWidenedBf16(
      short[] halves, int at, MemorySegment memory, long target, int count) {
    MemorySegment out = NativeRows.known(memory);
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      ((IntVector)
              ShortVector.fromArray(Species.HALF_SHORT, halves, at + i)
                  .convertShape(VectorOperators.ZERO_EXTEND_S2I, Species.INT, 0))
          .lanewise(VectorOperators.LSHL, BF16_SHIFT)
          .reinterpretAsFloats()
          .intoMemorySegment(out, target + (long) i * Float.BYTES, ByteOrder.nativeOrder());
    }
    for (; i < count; i++) {
      float value = Float.intBitsToFloat(halves[at + i] << BF16_SHIFT);
      out.set(JAVA_FLOAT, target + (long) i * Float.BYTES, value);
    }
  }

  /**
   * {@code sum[d] = fma(weights[first + k], row_k[d], sum[d])} for the loaded rows k in order,
   * widened on the way.
   */
  void addTo(float[] sum, DType dtype, int n, float[] weights, int first, int dim) {
    switch (dtype) {
      case F32 -> TileReduce.sum(floats, n, weights, first, sum, dim);
      case F16 -> {
        widenF16(halves, floats, n * dim);
        TileReduce.sum(floats, n, weights, first, sum, dim);
      }
      case BF16 -> addBf16(halves, n, weights, first, sum, dim);
      default -> throw new AssertionError(dtype);
    }
  }

  private static void addBf16(
      short[] halves, int n, float[] weights, int first, float[] sum, int dim) {
    int d = 0;
    for (; d <= dim - Species.LANES; d += Species.LANES) {
      FloatVector s = FloatVector.fromArray(Species.FLOAT, sum, d);
      for (int k = 0; k < n; k++) {
        s =
            ((IntVector)
                    ShortVector.fromArray(Species.HALF_SHORT, halves, k * dim + d)
                        .convertShape(VectorOperators.ZERO_EXTEND_S2I, Species.INT, 0))
                .lanewise(VectorOperators.LSHL, BF16_SHIFT)
                .reinterpretAsFloats()
                .fma(FloatVector.broadcast(Species.FLOAT, weights[first + k]), s);
      }
      s.intoArray(sum, d);
    }
    for (; d < dim; d++) {
      for (int k = 0; k < n; k++) {
        float value = Float.intBitsToFloat(halves[k * dim + d] << BF16_SHIFT);
        sum[d] = Math.fma(weights[first + k], value, sum[d]);
      }
    }
  }

  /** Prepares the first {@code count} of {@code values} for {@link #store}. */
  void round(DType dtype, float[] values, int count) {
    switch (dtype) {
      case F32 -> {}
      case F16 -> roundF16(values, halves, count);
      case BF16 -> roundBf16(values, halves, count);
      default -> throw new AssertionError(dtype);
    }
  }

  /** Copies {@code count} rounded elements from {@code at} out. */
  void store(DType dtype, float[] values, int at, MemorySegment out, long target, int count) {
    if (dtype == DType.F32) {
      MemorySegment.copy(values, at, NativeRows.known(out), JAVA_FLOAT, target, count);
    } else {
      MemorySegment.copy(halves, at, NativeRows.known(out), JAVA_SHORT, target, count);
    }
  }

  /**
   * Writes zeros from a constant array: {@link MemorySegment#fill} takes a slice, which is an
   * object.
   */
  static void storeZeros(MemorySegment out, long target, long bytes) {
    for (long done = 0; done < bytes; done += ZEROS.length) {
      MemorySegment.copy(
          ZEROS, 0, out, JAVA_BYTE, target + done, (int) Math.min(ZEROS.length, bytes - done));
    }
  }

  private static void widenF16(short[] halves, float[] floats, int count) {
    for (int i = 0; i < count; i++) {
      floats[i] = Float.float16ToFloat(halves[i]);
    }
  }

  private static void roundF16(float[] floats, short[] halves, int count) {
    for (int i = 0; i < count; i++) {
      halves[i] = Float.floatToFloat16(floats[i]);
    }
  }

  private static void widenBf16(short[] halves, float[] floats, int count) {
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      ((IntVector)
              ShortVector.fromArray(Species.HALF_SHORT, halves, i)
                  .convertShape(VectorOperators.ZERO_EXTEND_S2I, Species.INT, 0))
          .lanewise(VectorOperators.LSHL, BF16_SHIFT)
          .reinterpretAsFloats()
          .intoArray(floats, i);
    }
    for (; i < count; i++) {
      floats[i] = Float.intBitsToFloat(halves[i] << BF16_SHIFT);
    }
  }

  /**
   * To nearest even: adds just under half of the last kept bit, and the rest of it where that bit
   * is odd.
   */
  private static void roundBf16(float[] floats, short[] halves, int count) {
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      FloatVector value = FloatVector.fromArray(Species.FLOAT, floats, i);
      VectorMask<Float> nan = value.test(VectorOperators.IS_NAN);
      IntVector bits = value.reinterpretAsInts();
      IntVector upper = bits.lanewise(VectorOperators.LSHR, BF16_SHIFT);
      IntVector rounded =
          bits.add(0x7fff).add(upper.and(1)).lanewise(VectorOperators.LSHR, BF16_SHIFT);
      ((ShortVector)
              rounded
                  .blend(upper.or(BF16_QUIET), nan.cast(Species.INT))
                  .convertShape(VectorOperators.I2S, Species.HALF_SHORT, 0))
          .intoArray(halves, i);
    }
    for (; i < count; i++) {
      int bits = Float.floatToRawIntBits(floats[i]);
      int upper = bits >>> BF16_SHIFT;
      halves[i] =
          (short)
              (Float.isNaN(floats[i])
                  ? upper | BF16_QUIET
                  : (bits + 0x7fff + (upper & 1)) >>> BF16_SHIFT);
    }
  }
}

package io.quern.bench.measure;

import io.quern.DType;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;

/** Inputs that no cache, branch predictor or compiler has seen before; the same for a same seed. */
final class RandomInputs {
  private static final int POOL = 1 << 18;
  private static final int PIECE_BYTES = 1 << 16;

  private RandomInputs() {}

  /** Fills a table with normally distributed values: pieces of one pool, at random offsets. */
  static void fillNormal(MemorySegment table, DType dtype, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    MemorySegment pool =
        switch (dtype) {
          case F32 -> MemorySegment.ofArray(normal(random, POOL));
          case F16 -> MemorySegment.ofArray(f16(normal(random, POOL)));
          case BF16 -> MemorySegment.ofArray(bf16(normal(random, POOL)));
          default -> throw new IllegalArgumentException("no table of " + dtype);
        };
    int elementBytes = dtype.byteSize();
    for (long at = 0; at < table.byteSize(); at += PIECE_BYTES) {
      long bytes = Math.min(PIECE_BYTES, table.byteSize() - at);
      long from = random.nextLong((pool.byteSize() - bytes) / elementBytes) * elementBytes;
      MemorySegment.copy(pool, from, table, at, bytes);
    }
  }

  static float[] normal(SplittableRandom random, int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Uniform row numbers below {@code rows}. */
  static int[] uniform(SplittableRandom random, int count, long rows) {
    return random.ints(count, 0, Math.toIntExact(rows)).toArray();
  }

  private static short[] f16(float[] values) {
    short[] bits = new short[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Float.floatToFloat16(values[i]);
    }
    return bits;
  }

  /** Cuts the lower half off: the values need only be bf16, not the nearest ones. */
  private static short[] bf16(float[] values) {
    short[] bits = new short[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = (short) (Float.floatToRawIntBits(values[i]) >>> 16);
    }
    return bits;
  }
}

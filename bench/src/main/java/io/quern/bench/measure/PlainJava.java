package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * The loops a Java programmer writes first, as the yardstick: one thread, no checks of the data,
 * nothing unrolled by hand. The JIT compiler vectorizes those it can.
 */
final class PlainJava {
  private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT;
  private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT;

  /** Tables larger than this are not copied into the heap for a loop over arrays. */
  static final long MOST_ARRAY_BYTES = 2L << 30;

  private PlainJava() {}

  static void gatherF32(MemorySegment table, long dim, int[] ids, MemorySegment out) {
    for (int i = 0; i < ids.length; i++) {
      long from = ids[i] * dim;
      long to = i * dim;
      for (long d = 0; d < dim; d++) {
        out.setAtIndex(F32, to + d, table.getAtIndex(F32, from + d));
      }
    }
  }

  static void gatherF16(MemorySegment table, long dim, int[] ids, MemorySegment out) {
    for (int i = 0; i < ids.length; i++) {
      long from = ids[i] * dim;
      long to = i * dim;
      for (long d = 0; d < dim; d++) {
        out.setAtIndex(F32, to + d, Float.float16ToFloat(table.getAtIndex(HALF, from + d)));
      }
    }
  }

  static void gatherBf16(MemorySegment table, long dim, int[] ids, MemorySegment out) {
    for (int i = 0; i < ids.length; i++) {
      long from = ids[i] * dim;
      long to = i * dim;
      for (long d = 0; d < dim; d++) {
        out.setAtIndex(F32, to + d, Float.intBitsToFloat(table.getAtIndex(HALF, from + d) << 16));
      }
    }
  }

  static void gatherF32(float[] table, int dim, int[] ids, float[] out) {
    for (int i = 0; i < ids.length; i++) {
      int from = ids[i] * dim;
      int to = i * dim;
      for (int d = 0; d < dim; d++) {
        out[to + d] = table[from + d];
      }
    }
  }

  static void gatherF16(short[] table, int dim, int[] ids, float[] out) {
    for (int i = 0; i < ids.length; i++) {
      int from = ids[i] * dim;
      int to = i * dim;
      for (int d = 0; d < dim; d++) {
        out[to + d] = Float.float16ToFloat(table[from + d]);
      }
    }
  }

  static void gatherBf16(short[] table, int dim, int[] ids, float[] out) {
    for (int i = 0; i < ids.length; i++) {
      int from = ids[i] * dim;
      int to = i * dim;
      for (int d = 0; d < dim; d++) {
        out[to + d] = Float.intBitsToFloat(table[from + d] << 16);
      }
    }
  }

  static void weightedSumF32(
      MemorySegment table, int dim, int[] ids, int[] offsets, float[] weights, MemorySegment out) {
    float[] sum = new float[dim];
    for (int s = 0; s + 1 < offsets.length; s++) {
      Arrays.fill(sum, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        long from = (long) ids[j] * dim;
        float weight = weights[j];
        for (int d = 0; d < dim; d++) {
          sum[d] = Math.fma(weight, table.getAtIndex(F32, from + d), sum[d]);
        }
      }
      for (int d = 0; d < dim; d++) {
        out.setAtIndex(F32, (long) s * dim + d, sum[d]);
      }
    }
  }

  static void weightedSumF16(
      MemorySegment table, int dim, int[] ids, int[] offsets, float[] weights, MemorySegment out) {
    float[] sum = new float[dim];
    for (int s = 0; s + 1 < offsets.length; s++) {
      Arrays.fill(sum, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        long from = (long) ids[j] * dim;
        float weight = weights[j];
        for (int d = 0; d < dim; d++) {
          float value = Float.float16ToFloat(table.getAtIndex(HALF, from + d));
          sum[d] = Math.fma(weight, value, sum[d]);
        }
      }
      for (int d = 0; d < dim; d++) {
        out.setAtIndex(F32, (long) s * dim + d, sum[d]);
      }
    }
  }

  static void meanF32(MemorySegment table, int dim, int[] ids, int[] offsets, MemorySegment out) {
    float[] sum = new float[dim];
    for (int s = 0; s + 1 < offsets.length; s++) {
      Arrays.fill(sum, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        long from = (long) ids[j] * dim;
        for (int d = 0; d < dim; d++) {
          sum[d] += table.getAtIndex(F32, from + d);
        }
      }
      int count = Math.max(1, offsets[s + 1] - offsets[s]);
      for (int d = 0; d < dim; d++) {
        out.setAtIndex(F32, (long) s * dim + d, sum[d] / count);
      }
    }
  }

  static void meanF16(MemorySegment table, int dim, int[] ids, int[] offsets, MemorySegment out) {
    float[] sum = new float[dim];
    for (int s = 0; s + 1 < offsets.length; s++) {
      Arrays.fill(sum, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        long from = (long) ids[j] * dim;
        for (int d = 0; d < dim; d++) {
          sum[d] += Float.float16ToFloat(table.getAtIndex(HALF, from + d));
        }
      }
      int count = Math.max(1, offsets[s + 1] - offsets[s]);
      for (int d = 0; d < dim; d++) {
        out.setAtIndex(F32, (long) s * dim + d, sum[d] / count);
      }
    }
  }

  static void weightedSumF32(
      float[] table, int dim, int[] ids, int[] offsets, float[] weights, float[] out) {
    for (int s = 0; s + 1 < offsets.length; s++) {
      int to = s * dim;
      Arrays.fill(out, to, to + dim, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        int from = ids[j] * dim;
        float weight = weights[j];
        for (int d = 0; d < dim; d++) {
          out[to + d] = Math.fma(weight, table[from + d], out[to + d]);
        }
      }
    }
  }

  static void weightedSumF16(
      short[] table, int dim, int[] ids, int[] offsets, float[] weights, float[] out) {
    for (int s = 0; s + 1 < offsets.length; s++) {
      int to = s * dim;
      Arrays.fill(out, to, to + dim, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        int from = ids[j] * dim;
        float weight = weights[j];
        for (int d = 0; d < dim; d++) {
          float value = Float.float16ToFloat(table[from + d]);
          out[to + d] = Math.fma(weight, value, out[to + d]);
        }
      }
    }
  }

  static void meanF32(float[] table, int dim, int[] ids, int[] offsets, float[] out) {
    for (int s = 0; s + 1 < offsets.length; s++) {
      int to = s * dim;
      Arrays.fill(out, to, to + dim, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        int from = ids[j] * dim;
        for (int d = 0; d < dim; d++) {
          out[to + d] += table[from + d];
        }
      }
      int count = Math.max(1, offsets[s + 1] - offsets[s]);
      for (int d = 0; d < dim; d++) {
        out[to + d] /= count;
      }
    }
  }

  static void meanF16(short[] table, int dim, int[] ids, int[] offsets, float[] out) {
    for (int s = 0; s + 1 < offsets.length; s++) {
      int to = s * dim;
      Arrays.fill(out, to, to + dim, 0);
      for (int j = offsets[s]; j < offsets[s + 1]; j++) {
        int from = ids[j] * dim;
        for (int d = 0; d < dim; d++) {
          out[to + d] += Float.float16ToFloat(table[from + d]);
        }
      }
      int count = Math.max(1, offsets[s + 1] - offsets[s]);
      for (int d = 0; d < dim; d++) {
        out[to + d] /= count;
      }
    }
  }
}

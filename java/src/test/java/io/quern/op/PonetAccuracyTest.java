package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Pooling against the formulae in F64 over the same stored inputs, and the mixer against five
 * projections and the pooling of them in F64: the literal form, which it equals up to rounding.
 */
@Tag("parity")
class PonetAccuracyTest {
  private static final int TOKENS = 300;
  private static final int HEADS = 4;
  private static final int HEAD_DIM = 32;
  private static final int COLUMNS = HEADS * HEAD_DIM;
  private static final int SEGMENT = 7;

  /** Documented at {@link PonetMixer}. */
  private static final double TOLERANCE = 2e-5;

  /** Values of operands, as stored. */
  private static double[][] values(DType dtype, int rows, int columns, double scale, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    double[][] values = new double[rows][columns];
    for (double[] row : values) {
      Arrays.setAll(row, i -> stored(dtype, random.nextGaussian() * scale));
    }
    return values;
  }

  private static float stored(DType dtype, double value) {
    return EmbeddingReference.decode(dtype, EmbeddingReference.encode(dtype, (float) value));
  }

  private static Buffer buffer(
      Device device, Stream stream, DType dtype, Shape shape, double[][] values) {
    Buffer buffer = device.allocate(dtype, shape);
    byte[] bytes = new byte[Math.toIntExact(shape.size() * dtype.byteSize())];
    MemorySegment segment = MemorySegment.ofArray(bytes);
    int i = 0;
    for (double[] row : values) {
      for (double value : row) {
        int bits = EmbeddingReference.encode(dtype, (float) value);
        if (dtype == DType.F32) {
          segment.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i++, bits);
        } else {
          segment.setAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i++, (short) bits);
        }
      }
    }
    buffer.copyFrom(segment, stream);
    return buffer;
  }

  private static Buffer integers(Device device, Stream stream, int... values) {
    Buffer buffer = device.allocate(DType.I32, Shape.of(values.length));
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }

  private static int[] segmentIds() {
    int[] ids = new int[TOKENS];
    Arrays.setAll(ids, t -> t / SEGMENT);
    return ids;
  }

  /** One unpadded sequence, in F64. */
  private static double[][] pooled(
      double[][] q, double[][] k, double[][] o, double[][] l, double[][] s) {
    double[][] out = new double[TOKENS][COLUMNS];
    for (int h = 0; h < HEADS; h++) {
      double[] scores = new double[TOKENS];
      for (int d = h * HEAD_DIM; d < (h + 1) * HEAD_DIM; d++) {
        double mean = 0;
        for (double[] row : q) {
          mean += row[d] / TOKENS;
        }
        for (int t = 0; t < TOKENS; t++) {
          scores[t] += mean * k[t][d] / Math.sqrt(HEAD_DIM);
        }
      }
      double max = Arrays.stream(scores).max().orElseThrow();
      double sum = Arrays.stream(scores).map(score -> Math.exp(score - max)).sum();
      for (int d = h * HEAD_DIM; d < (h + 1) * HEAD_DIM; d++) {
        double v = 0;
        for (int t = 0; t < TOKENS; t++) {
          v += Math.exp(scores[t] - max) / sum * k[t][d];
        }
        for (int t = 0; t < TOKENS; t++) {
          double segment = Double.NEGATIVE_INFINITY;
          int first = t / SEGMENT * SEGMENT;
          for (int i = first; i < Math.min(TOKENS, first + SEGMENT); i++) {
            segment = Math.max(segment, s[i][d]);
          }
          double local = l[t][d];
          local = t > 0 ? Math.max(local, l[t - 1][d]) : local;
          local = t < TOKENS - 1 ? Math.max(local, l[t + 1][d]) : local;
          out[t][d] = (v + segment) * o[t][d] + local;
        }
      }
    }
    return out;
  }

  /** The largest |got − want| / max(1, |want|). */
  private static double error(Buffer out, Stream stream, double[][] want) {
    float[] got = new float[TOKENS * COLUMNS];
    out.copyTo(MemorySegment.ofArray(got), stream);
    double error = 0;
    for (int i = 0; i < got.length; i++) {
      double expected = want[i / COLUMNS][i % COLUMNS];
      error = Math.max(error, Math.abs(got[i] - expected) / Math.max(1, Math.abs(expected)));
    }
    return error;
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16"})
  void poolingIsNearF64(DType dtype) {
    for (DeviceUnderTest under : List.of(DeviceUnderTest.backends().get(1))) {
      try (Device device = under.open();
          Stream stream = device.openStream()) {
        double[][][] rows = new double[5][][];
        Buffer[] buffers = new Buffer[5];
        PonetPooling.Spec spec = PonetPooling.Spec.of(dtype, HEADS, HEAD_DIM).withOut(DType.F32);
        for (int i = 0; i < 5; i++) {
          rows[i] = values(dtype, TOKENS, COLUMNS, 1, i);
          buffers[i] = buffer(device, stream, dtype, spec.rowsShape(TOKENS), rows[i]);
        }
        PonetPooling plan = PonetPooling.plan(device, spec);
        try (Buffer offsets = integers(device, stream, 0, TOKENS);
            Buffer ids = integers(device, stream, segmentIds());
            Buffer out = device.allocate(DType.F32, spec.rowsShape(TOKENS));
            Buffer workspace =
                device.allocate(DType.U8, Shape.of(plan.workspaceBytes(1, TOKENS)))) {
          plan.run(
              stream,
              PonetPooling.Operands.of(
                  buffers[0],
                  buffers[1],
                  buffers[2],
                  buffers[3],
                  buffers[4],
                  offsets,
                  ids,
                  out,
                  workspace));
          double error = error(out, stream, pooled(rows[0], rows[1], rows[2], rows[3], rows[4]));
          assertTrue(error < 2e-6, "F32 arithmetic over " + dtype + ": " + error);
        }
        for (Buffer buffer : buffers) {
          buffer.close();
        }
        assertEquals(0, device.allocatedBytes());
      }
    }
  }

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void theMixerIsNearFiveProjections(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      double[][] x = values(DType.F32, TOKENS, COLUMNS, 1, 1);
      double[][] weight = values(DType.F32, 5 * COLUMNS, COLUMNS, 1 / Math.sqrt(COLUMNS), 2);
      double[][] bias = values(DType.F32, 1, 5 * COLUMNS, 1, 3);
      double[][][] projected = new double[5][TOKENS][COLUMNS];
      for (int row = 0; row < 5 * COLUMNS; row++) {
        for (int t = 0; t < TOKENS; t++) {
          double sum = bias[0][row];
          for (int i = 0; i < COLUMNS; i++) {
            sum += x[t][i] * weight[row][i];
          }
          projected[row / COLUMNS][t][row % COLUMNS] = sum;
        }
      }
      PonetPooling.Spec spec = PonetPooling.Spec.of(DType.F32, HEADS, HEAD_DIM);
      PonetMixer plan = PonetMixer.plan(device, spec);
      Shape layers = Shape.of(5 * COLUMNS, COLUMNS);
      try (Buffer rows = buffer(device, stream, DType.F32, spec.rowsShape(TOKENS), x);
          Buffer weights = buffer(device, stream, DType.F32, layers, weight);
          Buffer biases = buffer(device, stream, DType.F32, Shape.of(5 * COLUMNS), bias);
          Buffer offsets = integers(device, stream, 0, TOKENS);
          Buffer ids = integers(device, stream, segmentIds());
          Buffer out = device.allocate(DType.F32, spec.rowsShape(TOKENS));
          Buffer workspace = device.allocate(DType.U8, Shape.of(plan.workspaceBytes(1, TOKENS)))) {
        plan.run(
            stream,
            new PonetMixer.Operands(
                rows, weights, biases, offsets, ids, null, null, out, null, workspace));
        double[][] want =
            pooled(projected[0], projected[1], projected[2], projected[3], projected[4]);
        double error = error(out, stream, want);
        assertTrue(error < TOLERANCE, "off by " + error);
      }
    }
  }
}

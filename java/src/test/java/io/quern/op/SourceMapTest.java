package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Three layers of merging, with a distillation token too: every source gets its group's value, and
 * the map is the one that merging the published matrix gives.
 */
class SourceMapTest {
  private static final int BATCH = 3;
  private static final int TOKENS = 26;
  private static final int DIM = 5;
  private static final int LAYERS = 3;
  private static final int R = 4;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void everySourceGetsItsGroupsValue(DeviceUnderTest under) {
    for (boolean distillToken : new boolean[] {false, true}) {
      for (TokenOrder order : TokenOrder.values()) {
        try (Device device = under.open();
            Layers layers = new Layers(device, distillToken, order)) {
          layers.check();
        }
      }
    }
  }

  private static final class Layers implements AutoCloseable {
    private final Device device;
    private final Stream stream;
    private final List<Buffer> owned = new ArrayList<>();
    private final boolean distillToken;
    private final TokenOrder order;
    private final float[] x = new float[BATCH * TOKENS * DIM];

    Layers(Device device, boolean distillToken, TokenOrder order) {
      this.device = device;
      this.stream = device.openStream();
      this.distillToken = distillToken;
      this.order = order;
      SplittableRandom random = new SplittableRandom(7);
      for (int i = 0; i < x.length; i++) {
        x[i] = (float) random.nextGaussian();
      }
    }

    private Buffer allocate(DType dtype, long... dims) {
      Buffer buffer = device.allocate(dtype, Shape.of(dims));
      owned.add(buffer);
      return buffer;
    }

    void check() {
      Buffer tokens = allocate(DType.F32, BATCH, TOKENS, DIM);
      tokens.copyFrom(MemorySegment.ofArray(x), stream);
      Buffer size = null;
      Buffer groups = null;
      Buffer merged = null; // the published matrix, merged as tokens are
      Buffer drawn = null; // the matrix of the map
      int left = TOKENS;
      for (int layer = 0; layer < LAYERS; layer++) {
        var match =
            TokenMatch.Spec.bipartite(DType.F32, left, DIM, true, distillToken, R).withOrder(order);
        int after = (int) match.mergedTokens();
        assertEquals(left - R, after);
        TokenMatch matching = TokenMatch.plan(device, match);
        Buffer slot = allocate(DType.I32, BATCH, left);
        long bytes = matching.workspaceBytes(BATCH);
        matching.run(
            stream,
            TokenMatch.Operands.of(tokens, slot)
                .withWorkspace(bytes == 0 ? null : allocate(DType.U8, bytes)));
        Buffer sizeOut = allocate(DType.F32, BATCH, after);
        tokens = merge(tokens, slot, left, after, Combine.WEIGHTED_MEAN, size, sizeOut);
        size = sizeOut;
        merged =
            layer == 0
                ? merge(identity(), slot, left, after, Combine.MAX, null, null)
                : merge(merged, slot, left, after, Combine.MAX, null, null);
        Buffer next = allocate(DType.I32, BATCH, TOKENS);
        drawn = allocate(DType.F32, BATCH, after, TOKENS);
        SourceMap.plan(device, SourceMap.Spec.of(TOKENS, left, after))
            .run(stream, new SourceMap.Operands(slot, groups, next, drawn));
        groups = next;
        left = after;
      }
      assertArrayEquals(floats(merged), floats(drawn));
      isConsistent(
          floats(tokens), floats(size), ints(groups), unmerged(tokens, groups, left), left);
    }

    private Buffer identity() {
      float[] ones = new float[BATCH * TOKENS * TOKENS];
      for (int i = 0; i < BATCH * TOKENS; i++) {
        ones[i * TOKENS + i % TOKENS] = 1;
      }
      Buffer identity = allocate(DType.F32, BATCH, TOKENS, TOKENS);
      identity.copyFrom(MemorySegment.ofArray(ones), stream);
      return identity;
    }

    private Buffer merge(
        Buffer of, Buffer slot, int before, int after, Combine by, Buffer size, Buffer sizeOut) {
      long dim = of.shape().last();
      Buffer out = allocate(DType.F32, BATCH, after, dim);
      TokenMerge.plan(device, TokenMerge.Spec.of(DType.F32, before, after, dim, by))
          .run(stream, TokenMerge.Operands.of(of, slot, out).withSizes(size, sizeOut));
      return out;
    }

    private float[] unmerged(Buffer tokens, Buffer groups, int left) {
      Buffer out = allocate(DType.F32, BATCH, TOKENS, DIM);
      TokenUnmerge.plan(device, TokenUnmerge.Spec.of(DType.F32, left, TOKENS, DIM))
          .run(stream, new TokenUnmerge.Operands(tokens, groups, out));
      return floats(out);
    }

    /** Groups have the sizes that were merged, and are near the mean of their sources. */
    private void isConsistent(
        float[] tokens, float[] sizes, int[] groups, float[] unmerged, int left) {
      double[] sums = new double[tokens.length];
      int[] counts = new int[sizes.length];
      for (int i = 0; i < groups.length; i++) {
        int row = i / TOKENS * left + groups[i];
        counts[row]++;
        for (int d = 0; d < DIM; d++) {
          sums[row * DIM + d] += x[i * DIM + d];
          assertEquals(tokens[row * DIM + d], unmerged[i * DIM + d]);
        }
      }
      for (int row = 0; row < sizes.length; row++) {
        assertEquals(counts[row], sizes[row]);
        for (int d = 0; d < DIM; d++) {
          assertEquals(sums[row * DIM + d] / counts[row], tokens[row * DIM + d], 1e-5);
        }
      }
      for (int b = 0; b < BATCH; b++) {
        assertEquals(1, counts[b * left + groups[b * TOKENS]], "the class token is alone");
        if (distillToken) {
          assertEquals(1, counts[b * left + groups[b * TOKENS + 1]], "so is the other");
          assertNotEquals(groups[b * TOKENS], groups[b * TOKENS + 1]);
        }
      }
      assertEquals(BATCH * TOKENS, Arrays.stream(counts).sum());
    }

    private float[] floats(Buffer buffer) {
      float[] values = new float[(int) buffer.shape().size()];
      buffer.copyTo(MemorySegment.ofArray(values), stream);
      return values;
    }

    private int[] ints(Buffer buffer) {
      int[] values = new int[(int) buffer.shape().size()];
      buffer.copyTo(MemorySegment.ofArray(values), stream);
      return values;
    }

    @Override
    public void close() {
      owned.forEach(Buffer::close);
      stream.close();
    }
  }
}

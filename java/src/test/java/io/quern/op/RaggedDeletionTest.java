package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A ragged batch is compacted by gate, partition and gather: each sequence keeps its tokens in
 * order, and offsets say how many.
 */
class RaggedDeletionTest {
  private static final int[] LENGTHS = {7, 0, 30, 1, 12};
  private static final int TOKENS = 50;
  private static final int DIM = 6;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void compacts(DeviceUnderTest under) {
    float[] x = new float[TOKENS * DIM];
    SplittableRandom random = new SplittableRandom(5);
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) random.nextGaussian();
    }
    int[] sequence = new int[TOKENS];
    List<Float> wanted = new ArrayList<>();
    int[] offsets = new int[LENGTHS.length + 1];
    int token = 0;
    for (int s = 0; s < LENGTHS.length; s++) {
      offsets[s + 1] = offsets[s];
      for (int end = token + LENGTHS[s]; token < end; token++) {
        sequence[token] = s;
        if (x[token * DIM] <= 0) { // the gate looks at the first element
          offsets[s + 1]++;
          for (int d = 0; d < DIM; d++) {
            wanted.add(x[token * DIM + d]);
          }
        }
      }
    }
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer tokens = device.allocate(DType.F32, Shape.of(TOKENS, DIM));
        Buffer weight = device.allocate(DType.F32, Shape.of(DIM));
        Buffer group = device.allocate(DType.I32, Shape.of(1, TOKENS));
        Buffer key = device.allocate(DType.I32, Shape.of(1, TOKENS));
        Buffer perm = device.allocate(DType.I32, Shape.of(1, TOKENS));
        Buffer starts = device.allocate(DType.I32, Shape.of(1, LENGTHS.length + 1));
        Buffer out = device.allocate(DType.F32, Shape.of(1, TOKENS, DIM))) {
      tokens.copyFrom(MemorySegment.ofArray(x), stream);
      weight.copyFrom(MemorySegment.ofArray(new float[] {9, 0, 0, 0, 0, 0}), stream);
      group.copyFrom(MemorySegment.ofArray(sequence), stream);
      // At a product of 0 the gate is half of its scale, and just above the threshold.
      var gate = new DeleteGate.Spec(DType.F32, TOKENS, DIM, true, 0, 0, -30, -15.001f);
      DeleteGate.plan(device, gate)
          .run(stream, new DeleteGate.Operands(tokens, weight, group, null, key));
      Partition.plan(device, new Partition.Spec(TOKENS, LENGTHS.length, IndexPolicy.FAIL))
          .run(stream, Partition.Operands.of(key, perm, starts));
      EmbeddingGather.plan(
              device, EmbeddingGather.Spec.of(DType.F32, TOKENS, DIM, IndexPolicy.FAIL))
          .run(stream, tokens, perm, out);
      int[] found = new int[offsets.length];
      starts.copyTo(MemorySegment.ofArray(found), stream);
      assertArrayEquals(offsets, found);
      float[] rows = new float[TOKENS * DIM];
      out.copyTo(MemorySegment.ofArray(rows), stream);
      for (int i = 0; i < rows.length; i++) {
        assertEquals(i < wanted.size() ? wanted.get(i) : 0, rows[i]);
      }
    }
  }
}

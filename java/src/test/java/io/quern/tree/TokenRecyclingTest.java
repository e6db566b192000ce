package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Graph;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.io.TreeTopologies;
import io.quern.op.AdjacencyFill;
import io.quern.op.DeviceUnderTest;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class TokenRecyclingTest {
  private static final int VOCAB = 60;
  private static final int K = 8;
  private static final int STEPS = 12;
  private static final StaticTree TREE = TreeTopologies.published().tree("token_recycling/2.2.2");

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  /** Both halves as one graph, launched again and again, against loops over Java arrays. */
  @ParameterizedTest
  @MethodSource("devices")
  void stepsAreThoseOfTheDocumentation(DeviceUnderTest under) {
    int requests = 2;
    int n = TREE.tree().size();
    int all = requests * n;
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer adjacency = device.allocate(DType.I32, Shape.of(VOCAB, K));
        Buffer roots = device.allocate(DType.I32, Shape.of(requests));
        Buffer parent = device.allocate(DType.I32, Shape.of(all));
        Buffer rank = device.allocate(DType.I32, Shape.of(all));
        Buffer offsets = device.allocate(DType.I32, Shape.of(requests + 1));
        Buffer tokens = device.allocate(DType.I32, Shape.of(all));
        Buffer status = device.allocate(DType.I32, Shape.of(requests));
        Buffer logits = device.allocate(DType.F32, Shape.of(all, VOCAB));
        Buffer best = device.allocate(DType.I32, Shape.of(all, K))) {
      TokenRecycling plan =
          TokenRecycling.plan(
              device, new TokenRecycling.Spec(VOCAB, K, DType.F32, IndexPolicy.FAIL));
      Buffer workspace = device.allocate(DType.U8, Shape.of(plan.workspaceBytes(all)));
      TreeBatch batch = TreeBatch.of(Collections.nCopies(requests, TREE.tree()));
      batch.copyParents(parent, stream);
      batch.copyOffsets(offsets, stream);
      int[] ranks = new int[all];
      for (int i = 0; i < all; i++) {
        ranks[i] = TREE.rank(i % n);
      }
      rank.copyFrom(MemorySegment.ofArray(ranks), stream);
      plan.clear(stream, adjacency);
      var operands =
          new AdjacencyFill.Operands(adjacency, roots, parent, rank, offsets, tokens, status);
      int[] matrix = new int[VOCAB * K];
      Random random = new Random(1);
      try (Graph fill = stream.capture(() -> plan.fill(stream, operands));
          Graph update =
              stream.capture(
                  () ->
                      plan.update(
                          stream,
                          logits,
                          tokens,
                          best,
                          adjacency,
                          workspace.shape().size() == 0 ? null : workspace))) {
        for (int step = 0; step < STEPS; step++) {
          int[] root = random.ints(requests, 0, VOCAB).toArray();
          roots.copyFrom(MemorySegment.ofArray(root), stream);
          fill.launch(stream);
          int[] filled = new int[all];
          for (int i = 0; i < all; i++) {
            int before = i % n == 0 ? 0 : filled[i / n * n + TREE.tree().parent(i % n)];
            filled[i] = i % n == 0 ? root[i / n] : matrix[before * K + ranks[i]];
          }
          assertArrayEquals(filled, read(tokens, stream), "step " + step);
          // Few values, so that there are ties.
          float[] rows = new float[all * VOCAB];
          for (int i = 0; i < rows.length; i++) {
            rows[i] = random.nextInt(9);
          }
          logits.copyFrom(MemorySegment.ofArray(rows), stream);
          update.launch(stream);
          for (int i = 0; i < all; i++) {
            System.arraycopy(ranked(rows, i), 0, matrix, filled[i] * K, K);
          }
          assertArrayEquals(matrix, read(adjacency, stream), "step " + step);
        }
      }
      workspace.close();
    }
  }

  /** The first k tokens of a row by (value descending, token ascending). */
  private static int[] ranked(float[] rows, int row) {
    return IntStream.range(0, VOCAB)
        .boxed()
        .sorted((a, b) -> Float.compare(rows[row * VOCAB + b], rows[row * VOCAB + a]))
        .limit(K)
        .mapToInt(w -> w)
        .toArray();
  }

  private static int[] read(Buffer buffer, Stream stream) {
    int[] values = new int[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  @Test
  void whatCannotBeIsRefused() {
    refuses("0 candidates", () -> new TokenRecycling.Spec(9, 0, DType.F32, IndexPolicy.FAIL));
    refuses("10 candidates", () -> new TokenRecycling.Spec(9, 10, DType.F32, IndexPolicy.FAIL));
    try (Device device = new DeviceUnderTest(Backend.SCALAR, 1).open();
        Stream stream = device.openStream();
        Buffer other = device.allocate(DType.I32, Shape.of(9, 3))) {
      TokenRecycling plan =
          TokenRecycling.plan(device, new TokenRecycling.Spec(9, 2, DType.F32, IndexPolicy.FAIL));
      refuses(
          "adjacency has shape [9, 3] of I32, expected [9, 2]",
          () -> plan.update(stream, other, other, other, other, null));
      refuses(
          "adjacency has shape [9, 3] of I32, expected [9, 2]", () -> plan.clear(stream, other));
    }
  }
}

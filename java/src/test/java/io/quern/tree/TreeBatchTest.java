package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;

class TreeBatchTest {
  private static final TreeBatch BATCH =
      TreeBatch.of(
          DraftTree.of(-1, 0, 0).withTokens(5, 6, 7),
          DraftTree.root().withTokens(8),
          DraftTree.chain(1).withTokens(9, 10));

  @Test
  void arraysFollowEachOtherWithLocalNumbers() {
    assertEquals(6, BATCH.nodes());
    assertArrayEquals(new int[] {0, 3, 4, 6}, BATCH.offsets());
    assertArrayEquals(new int[] {0, 3, 4, 6}, copied(4, BATCH::copyOffsets));
    assertArrayEquals(new int[] {-1, 0, 0, -1, -1, 0}, copied(6, BATCH::copyParents));
    assertArrayEquals(new int[] {1, -1, -1, -1, 1, -1}, copied(6, BATCH::copyFirstChildren));
    assertArrayEquals(new int[] {-1, 2, -1, -1, -1, -1}, copied(6, BATCH::copyNextSiblings));
    assertArrayEquals(new int[] {5, 6, 7, 8, 9, 10}, copied(6, BATCH::copyTokens));
    assertArrayEquals(new int[] {0}, copied(1, TreeBatch.of()::copyOffsets));
    assertArrayEquals(new int[] {}, copied(0, TreeBatch.of()::copyParents));
  }

  @Test
  void buffersThatDoNotFitAreRefused() {
    try (Device device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream();
        Buffer longs = device.allocate(DType.I64, Shape.of(6));
        Buffer square = device.allocate(DType.I32, Shape.of(2, 3));
        Buffer few = device.allocate(DType.I32, Shape.of(5))) {
      refuses("I64 [6], expected I32 [6]", () -> BATCH.copyParents(longs, stream));
      refuses("I32 [2, 3], expected I32 [6]", () -> BATCH.copyParents(square, stream));
      refuses(
          "offsets copied into I32 [5], expected I32 [4]", () -> BATCH.copyOffsets(few, stream));
      TreeBatch untold = TreeBatch.of(DraftTree.chain(4));
      assertThrows(IllegalStateException.class, () -> untold.copyTokens(few, stream));
    }
  }

  private static int[] copied(int size, BiConsumer<Buffer, Stream> copy) {
    try (Device device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream();
        Buffer buffer = device.allocate(DType.I32, Shape.of(size))) {
      copy.accept(buffer, stream);
      int[] values = new int[size];
      buffer.copyTo(MemorySegment.ofArray(values), stream);
      return values;
    }
  }
}

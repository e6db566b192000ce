package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SharedMemoryTest {
  private final Arena arena = Arena.ofConfined();
  private final SharedMemory memory = new SharedMemory(arena);

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void theSameSizesAreTheSameMemoryAgain() {
    MemorySegment first = memory.allocate(64, 64).fill((byte) 7);
    MemorySegment second = memory.allocate(128, 64);
    memory.again();
    MemorySegment firstAgain = memory.allocate(64, 64);
    assertAll(
        () -> assertEquals(first, firstAgain),
        () -> assertEquals(-1, firstAgain.mismatch(arena.allocate(64)), "zeroed"),
        () -> assertEquals(second, memory.allocate(128, 8)),
        () -> assertNotEquals(second, memory.allocate(128, 8)));
  }

  @Test
  void anotherSizeIsOtherMemoryAndTheRestIsTheSame() {
    MemorySegment first = memory.allocate(64, 64);
    MemorySegment second = memory.allocate(128, 64);
    memory.again();
    memory.allocate(64, 64);
    MemorySegment other = memory.allocate(32, 64);
    assertAll(
        () ->
            assertEquals(
                0, first.asOverlappingSlice(other).map(MemorySegment::byteSize).orElse(0L)),
        () -> assertEquals(second, memory.allocate(128, 64)));
  }
}

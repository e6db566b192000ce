package io.quern.internal.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class PhiloxTest {
  /** Known answers that Random123 publishes for philox4x32-10: counter, key, words. */
  private static final int[][] KNOWN = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {-1, -1, -1, -1, -1, -1, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
    {
      0x243f6a88,
      0x85a308d3,
      0x13198a2e,
      0x03707344,
      0xa4093822,
      0x299f31d0,
      0xd16cfe09,
      0x94fdcceb,
      0x5001e420,
      0x24126ea1
    }
  };

  @Test
  void isThePublishedGenerator() {
    for (int[] known : KNOWN) {
      int[] words =
          IntStream.range(0, 4)
              .map(w -> Philox.word(known[0], known[1], known[2], known[3], known[4], known[5], w))
              .toArray();
      assertArrayEquals(new int[] {known[6], known[7], known[8], known[9]}, words);
    }
  }

  @Test
  void uniformsAreInsideTheOpenInterval() {
    assertEquals(0x1p-24f, Philox.toUniform(0));
    assertEquals(1 - 0x1p-24f, Philox.toUniform(-1));
    assertEquals(0.5f + 0x1p-24f, Philox.toUniform(0x80000000));
  }

  @Test
  void theKeySaysEverything() {
    long seed = 0x299f31d0_a4093822L;
    long position = 0x13198a2e_85a308d3L;
    int purpose = 0x03707344;
    long column = 0x243f6a88L * 4;
    float[] uniforms = new float[11];
    Philox.fill(seed, position, purpose, column - 4, uniforms, 11);
    assertEquals(Philox.toUniform(0xd16cfe09), uniforms[4]);
    assertEquals(Philox.toUniform(0x94fdcceb), uniforms[5]);
    assertEquals(Philox.toUniform(0x5001e420), uniforms[6]);
    assertEquals(Philox.toUniform(0x24126ea1), uniforms[7]);
    for (int i = 0; i < uniforms.length; i++) {
      assertEquals(Philox.uniform(seed, position, purpose, column - 4 + i), uniforms[i]);
    }
  }
}

package io.quern.internal.cpu;

/**
 * Philox 4×32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1,
 * 2, 3", 2011): a number depends on nothing but its key (rule 9). The key is the seed; the counter
 * is (column / 4, position's low word, position's high word, purpose), and column mod 4 selects one
 * of the four words.
 */
public final class Philox {
  private static final int ROUNDS = 10;
  private static final long MULTIPLIER_0 = 0xD2511F53L;
  private static final long MULTIPLIER_1 = 0xCD9E8D57L;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final long WORD = 0xFFFFFFFFL;
  private static final int WORDS = 4;

  private Philox() {}

  /**
   * A number in (0, 1), neither end included: an odd multiple of 2^-24, from the upper 23 bits of
   * the word.
   *
   * @param seed of the request
   * @param position of the token in its sequence
   * @param purpose which draw it is for; the operators say which they use
   * @param column index within the draw, not negative and below 2^34
   */
  public static float uniform(long seed, long position, int purpose, long column) {
    return toUniform(
        word(
            (int) (column / WORDS),
            (int) position,
            (int) (position >>> Integer.SIZE),
            purpose,
            (int) seed,
            (int) (seed >>> Integer.SIZE),
            (int) (column % WORDS)));
  }

  /** {@link #uniform} of {@code n} columns from {@code first}, a multiple of 4. */
  public static void fill(
      long seed, long position, int purpose, long first, float[] uniforms, int n) {
    int i = 0;
    for (; i <= n - WORDS; i += WORDS) {
      int c0 = (int) ((first + i) / WORDS);
      int c1 = (int) position;
      int c2 = (int) (position >>> Integer.SIZE);
      int c3 = purpose;
      int k0 = (int) seed;
      int k1 = (int) (seed >>> Integer.SIZE);
      for (int round = 0; round < ROUNDS; round++) {
        long product0 = MULTIPLIER_0 * (c0 & WORD);
        long product1 = MULTIPLIER_1 * (c2 & WORD);
        c0 = (int) (product1 >>> Integer.SIZE) ^ c1 ^ k0;
        c2 = (int) (product0 >>> Integer.SIZE) ^ c3 ^ k1;
        c1 = (int) product1;
        c3 = (int) product0;
        k0 += WEYL_0;
        k1 += WEYL_1;
      }
      uniforms[i] = toUniform(c0);
      uniforms[i + 1] = toUniform(c1);
      uniforms[i + 2] = toUniform(c2);
      uniforms[i + 3] = toUniform(c3);
    }
    for (; i < n; i++) {
      uniforms[i] = uniform(seed, position, purpose, first + i);
    }
  }

  /** {@code (2 ⌊word / 2^9⌋ + 1) / 2^24}. */
  static float toUniform(int word) {
    return ((word >>> 9) * 2 + 1) * 0x1p-24f;
  }

  /** Word {@code which} of the block of a counter under a key. */
  static int word(int c0, int c1, int c2, int c3, int k0, int k1, int which) {
    for (int round = 0; round < ROUNDS; round++) {
      long product0 = MULTIPLIER_0 * (c0 & WORD);
      long product1 = MULTIPLIER_1 * (c2 & WORD);
      c0 = (int) (product1 >>> Integer.SIZE) ^ c1 ^ k0;
      c2 = (int) (product0 >>> Integer.SIZE) ^ c3 ^ k1;
      c1 = (int) product1;
      c3 = (int) product0;
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    return switch (which) {
      case 0 -> c0;
      case 1 -> c1;
      case 2 -> c2;
      default -> c3;
    };
  }
}

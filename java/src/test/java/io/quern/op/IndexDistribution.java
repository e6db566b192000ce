package io.quern.op;

import java.util.Arrays;
import java.util.SplittableRandom;

/** How the ids of a case are spread over a table. */
public enum IndexDistribution {
  /** Each row equally likely. */
  UNIFORM,
  /** Row of rank k with probability proportional to k^−1.05; popular rows are scattered. */
  ZIPF_105,
  /** The same with k^−1.15. */
  ZIPF_115,
  /** Uniform, ascending. */
  SORTED,
  /** One row, over and over. */
  SAME;

  /** Ranks are spread over the table by multiplication with this prime, modulo the table's rows. */
  private static final long SCATTER = 2_654_435_761L;

  /** Draws ids from [0, vocab); of an empty table, zeros, which are outside. */
  public long[] draw(int count, long vocab, SplittableRandom random) {
    long[] ids = new long[count];
    if (vocab == 0) {
      return ids;
    }
    long one = random.nextLong(vocab);
    Arrays.setAll(
        ids,
        i ->
            switch (this) {
              case UNIFORM, SORTED -> random.nextLong(vocab);
              case ZIPF_105 -> zipf(1.05, vocab, random);
              case ZIPF_115 -> zipf(1.15, vocab, random);
              case SAME -> one;
            });
    if (this == SORTED) {
      Arrays.sort(ids);
    }
    return ids;
  }

  /** Inverts the distribution function of the continuous power law on [1, vocab + 1). */
  private static long zipf(double exponent, long vocab, SplittableRandom random) {
    double power = 1 - exponent;
    double u = random.nextDouble();
    double x = Math.pow(1 + u * (Math.pow(vocab + 1.0, power) - 1), 1 / power);
    long rank = Math.clamp((long) x - 1, 0, vocab - 1);
    return vocab < SCATTER ? rank * SCATTER % vocab : rank;
  }
}

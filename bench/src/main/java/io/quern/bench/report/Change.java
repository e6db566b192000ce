package io.quern.bench.report;

import java.util.Arrays;

/**
 * How the time of one thing changed. Of runs in any order the median of all ratios of a later to an
 * earlier run, with the interval of Hodges, Lehmann and Moses, which has its 95 % whatever the
 * distribution of times is. Of both builds in the same runs the trimmed mean of their ratios, with
 * Yuen's interval of 99 %. Where runs are too few for an interval it goes from 0 to infinity.
 *
 * @param low bound of the ratio of the times, above 1 where it became slower
 * @param ratio the estimate
 * @param high bound
 */
record Change(double low, double ratio, double high) {
  /** A change that is nearer to 1 than this is none, however well it is shown. */
  private static final double NOISE = 0.02;

  /** Of the interval of runs in any order, on each side. */
  private static final double TAIL = 0.025;

  /** Fewer runs of both builds have no interval. */
  private static final int LEAST_RUNS = 4;

  /**
   * The quantile of the normal distribution that leaves half a percent above it. The interval is
   * one of 99 %, since {@code bench --against} looks up to five times whether a case is decided,
   * and each look may err: 5 times 1 % are the 5 % that all of them may (Bonferroni).
   */
  private static final double Z = 2.575829;

  /** The share of runs that is trimmed at each end, so that a bad one counts little. */
  private static final double TRIMMED = 0.2;

  /** From so many on. */
  private static final int LEAST_TRIMMED = 6;

  /** What is said of a case. */
  enum Verdict {
    SAME,
    FASTER,
    SLOWER,
    AMBIGUOUS
  }

  /**
   * The change between runs.
   *
   * @param before times in any unit
   * @param after in the same unit
   */
  static Change between(double[] before, double[] after) {
    double[] logs = new double[before.length * after.length];
    int n = 0;
    for (double earlier : before) {
      for (double later : after) {
        logs[n++] = Math.log(later / earlier);
      }
    }
    Arrays.sort(logs);
    double ratio = Math.exp((logs[(n - 1) / 2] + logs[n / 2]) / 2);
    int cut = outside(before.length, after.length);
    return cut < 0
        ? unknown(ratio)
        : new Change(Math.exp(logs[cut]), ratio, Math.exp(logs[n - 1 - cut]));
  }

  private static Change unknown(double ratio) {
    return new Change(0, ratio, Double.POSITIVE_INFINITY);
  }

  /**
   * The change between two builds that were measured beside one another.
   *
   * @param ratios of their times, one for each run
   */
  static Change beside(double[] ratios) {
    int n = ratios.length;
    double[] logs = Arrays.stream(ratios).map(Math::log).sorted().toArray();
    int cut = n < LEAST_TRIMMED ? 0 : (int) (TRIMMED * n);
    double mean = Arrays.stream(logs, cut, n - cut).average().orElseThrow();
    if (n < LEAST_RUNS) {
      return unknown(Math.exp(mean));
    }
    Arrays.fill(logs, 0, cut, logs[cut]); // winsorized, for the variance
    Arrays.fill(logs, n - cut, n, logs[n - cut - 1]);
    double middle = Arrays.stream(logs).average().orElseThrow();
    double squares = Arrays.stream(logs).map(log -> (log - middle) * (log - middle)).sum();
    double left = n - 2 * cut;
    double error = Math.sqrt(squares / (n - 1)) / (left / n * Math.sqrt(n));
    double half = student(left - 1) * error;
    return new Change(Math.exp(mean - half), Math.exp(mean), Math.exp(mean + half));
  }

  /**
   * Student's quantile at {@link #Z}, by the expansion of Cornish and Fisher: 3 % low at three
   * degrees of freedom, within 1 % from five on.
   */
  private static double student(double degrees) {
    double z3 = Math.pow(Z, 3);
    double z5 = Math.pow(Z, 5);
    double z7 = Math.pow(Z, 7);
    return Z
        + (z3 + Z) / (4 * degrees)
        + (5 * z5 + 16 * z3 + 3 * Z) / (96 * degrees * degrees)
        + (3 * z7 + 19 * z5 + 17 * z3 - 15 * Z) / (384 * Math.pow(degrees, 3));
  }

  /**
   * How many of the sorted ratios lie outside of the interval on each side; less than none where
   * even all of them are not enough. From the distribution of Mann and Whitney's U.
   */
  private static int outside(int m, int n) {
    // ways[j][u]: arrangements of j of the second sample among the first ones seen so far
    double[][] ways = new double[n + 1][m * n + 1];
    ways[0][0] = 1;
    for (int i = 1; i <= m + n; i++) {
      for (int j = Math.min(i, n); j >= 1; j--) {
        int firsts = i - j; // elements of the first sample before the j-th of the second
        if (firsts > m) {
          continue;
        }
        for (int u = m * n; u >= firsts; u--) {
          ways[j][u] += ways[j - 1][u - firsts];
        }
      }
    }
    double total = Arrays.stream(ways[n]).sum();
    double below = 0;
    for (int u = 0; u <= m * n; u++) {
      below += ways[n][u] / total;
      if (below > TAIL) {
        return u - 1;
      }
    }
    throw new AssertionError("a distribution that never gets to 1");
  }

  /** Whether there were runs enough for an interval. */
  boolean hasInterval() {
    return low > 0;
  }

  /** Of the interval: how many times its high end is its low one. */
  double width() {
    return high / low;
  }

  /**
   * The verdict. A change is called one if the interval leaves out everything near none and the
   * estimate is at least half the margin; things are the same if the estimate is less and the
   * interval leaves out every change of the margin.
   *
   * @param margin the least change that matters: 0.1 for 10 %
   */
  Verdict verdict(double margin) {
    double half = 1 + margin / 2;
    if (low > 1 + NOISE && ratio >= half) {
      return Verdict.SLOWER;
    }
    if (high < 1 / (1 + NOISE) && ratio <= 1 / half) {
      return Verdict.FASTER;
    }
    boolean narrow = high < 1 + margin && low > 1 / (1 + margin);
    return narrow && ratio < half && ratio > 1 / half ? Verdict.SAME : Verdict.AMBIGUOUS;
  }
}

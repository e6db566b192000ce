package io.quern.bench.report;

import java.util.Arrays;
import java.util.List;

/**
 * How the time of one thing changed from some runs to others, without assuming how times are
 * distributed: the median of all ratios of a later to an earlier run, with the interval of Hodges,
 * Lehmann and Moses, which has its 95 % whatever the distribution is.
 *
 * @param low bound of the ratio of the times, above 1 where it became slower
 * @param ratio the estimate
 * @param high bound
 */
record Change(double low, double ratio, double high) {
  /** A change that is nearer to 1 than this is none, however well it is shown. */
  private static final double NOISE = 0.02;

  /** Of the interval, on each side. */
  private static final double TAIL = 0.025;

  /**
   * What one run differs from the next beyond what it knows of itself: a JVM's compiled code and
   * layout of memory. The least half of an interval where there are too few runs to see it.
   */
  private static final double BETWEEN_RUNS = 0.07;

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
   * @param within what a run knows of its own time: the logarithm of the largest share by which it
   *     may be off; of interest where a side has one run only
   */
  static Change between(double[] before, double[] after, double within) {
    double[] logs = new double[before.length * after.length];
    int n = 0;
    for (double earlier : before) {
      for (double later : after) {
        logs[n++] = Math.log(later / earlier);
      }
    }
    Arrays.sort(logs);
    int outside = outside(before.length, after.length);
    double middle = (logs[(n - 1) / 2] + logs[n / 2]) / 2;
    double alone = before.length == 1 || after.length == 1 ? within : 0;
    double least = outside < 0 ? Math.log1p(BETWEEN_RUNS) + alone : 0;
    int cut = Math.max(0, outside);
    return new Change(
        Math.exp(Math.min(logs[cut], middle - least)),
        Math.exp(middle),
        Math.exp(Math.max(logs[n - 1 - cut], middle + least)));
  }

  /** Whether so many runs are enough for the interval. */
  static boolean enough(int before, int after) {
    return outside(before, after) >= 0;
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

  /**
   * The narrower of two.
   *
   * @return the first of those that are equally wide
   */
  static Change narrowest(List<Change> changes) {
    Change narrowest = changes.getFirst();
    for (Change change : changes) {
      if (change.high / change.low < narrowest.high / narrowest.low) {
        narrowest = change;
      }
    }
    return narrowest;
  }

  /**
   * The verdict. A change is called one if the interval leaves out everything near none and the
   * estimate is at least half the margin; things are the same if it is less, in an interval that
   * reaches no further from it than the margin.
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
    boolean narrow = Math.sqrt(high / low) < 1 + margin;
    return narrow && ratio < half && ratio > 1 / half ? Verdict.SAME : Verdict.AMBIGUOUS;
  }
}

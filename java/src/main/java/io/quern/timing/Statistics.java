package io.quern.timing;

import java.util.Arrays;
import java.util.SplittableRandom;

/** The figures that a measurement is reported with. */
public final class Statistics {
  private static final int RESAMPLES = 2000;

  private Statistics() {}

  /**
   * A median and the bounds between which it lies.
   *
   * @param low lower bound
   * @param median of the sample
   * @param high upper bound
   */
  public record Interval(double low, double median, double high) {}

  /**
   * The p-th percentile, interpolated linearly between the two nearest values.
   *
   * @param values at least one, in any order; left as it is
   * @param p from 0 to 100
   */
  public static double percentile(double[] values, double p) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return ofSorted(sorted, p);
  }

  public static double median(double[] values) {
    return percentile(values, 50);
  }

  /**
   * The median with its 95 % interval by the percentile bootstrap; the same values give the same
   * interval.
   */
  public static Interval bootstrapMedian(double[] values) {
    SplittableRandom random = new SplittableRandom(values.length);
    double[] medians = new double[RESAMPLES];
    double[] resample = new double[values.length];
    for (int r = 0; r < RESAMPLES; r++) {
      for (int i = 0; i < resample.length; i++) {
        resample[i] = values[random.nextInt(values.length)];
      }
      Arrays.sort(resample);
      medians[r] = ofSorted(resample, 50);
    }
    Arrays.sort(medians);
    return new Interval(ofSorted(medians, 2.5), median(values), ofSorted(medians, 97.5));
  }

  private static double ofSorted(double[] sorted, double p) {
    double position = p / 100 * (sorted.length - 1);
    int below = (int) position;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
  }
}

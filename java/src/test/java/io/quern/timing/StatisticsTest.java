package io.quern.timing;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class StatisticsTest {
  @Test
  void medianOfOddAndEvenSamples() {
    assertEquals(3, Statistics.median(new double[] {9, 1, 3}));
    assertEquals(2, Statistics.median(new double[] {3, 9, 1, 1}));
    assertEquals(7, Statistics.median(new double[] {7}));
  }

  @Test
  void percentilesInterpolateAndLeaveTheSampleAlone() {
    double[] values = {40, 10, 30, 20};
    assertEquals(10, Statistics.percentile(values, 0));
    assertEquals(11.5, Statistics.percentile(values, 5), 1e-12);
    assertEquals(38.5, Statistics.percentile(values, 95), 1e-12);
    assertEquals(40, Statistics.percentile(values, 100));
    assertArrayEquals(new double[] {40, 10, 30, 20}, values);
  }

  @Test
  void intervalOfAConstantIsThatConstant() {
    assertEquals(
        new Statistics.Interval(2, 2, 2), Statistics.bootstrapMedian(new double[] {2, 2, 2, 2}));
  }

  /** 200 samples of a normal distribution around 10: about 95 % of the intervals must hold 10. */
  @Test
  void intervalsCoverTheTrueMedianAsOftenAsTheyClaim() {
    SplittableRandom random = new SplittableRandom(5);
    int covered = 0;
    for (int trial = 0; trial < 200; trial++) {
      double[] sample = new double[25];
      for (int i = 0; i < sample.length; i++) {
        sample[i] = 10 + random.nextGaussian();
      }
      Statistics.Interval interval = Statistics.bootstrapMedian(sample);
      assertTrue(interval.low() <= interval.median() && interval.median() <= interval.high());
      if (interval.low() <= 10 && 10 <= interval.high()) {
        covered++;
      }
    }
    assertTrue(covered >= 180 && covered <= 199, covered + " of 200");
  }
}

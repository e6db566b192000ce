package io.quern.bench.speculate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class NGramModelTest {
  /** a b a b a c, over a, b, c, d. */
  private static final int[] TEXT = {0, 1, 0, 1, 0, 2};

  @Test
  void probabilitiesAreThoseOfTheFormula() {
    NGramModel model = new NGramModel(TEXT, 4, 2);
    float[] first = model.logProbabilities();
    assertProbabilities(first, 4 / 10.0, 3 / 10.0, 2 / 10.0, 1 / 10.0);
    // After a: b, b, c; N = 3, T = 2.
    float[] afterA = model.logProbabilities(3, 0);
    assertProbabilities(afterA, 2 * 0.4 / 5, (2 + 2 * 0.3) / 5, (1 + 2 * 0.2) / 5, 2 * 0.1 / 5);
    // d was never seen: shorter contexts have to do.
    assertArrayEquals(first, model.logProbabilities(0, 3), 1e-6f);
  }

  @Test
  void longerContextsAreMixedIn() {
    NGramModel model = new NGramModel(TEXT, 4, 3);
    float[] afterA = new NGramModel(TEXT, 4, 2).logProbabilities(0);
    float[] afterBA = model.logProbabilities(1, 0);
    // After b a: b, c; N = 2, T = 2.
    for (int w = 0; w < 4; w++) {
      double seen = w == 1 || w == 2 ? 1 : 0;
      assertEquals((seen + 2 * Math.exp(afterA[w])) / 4, Math.exp(afterBA[w]), 1e-6);
    }
  }

  @Test
  void everyRowIsADistribution() {
    Random random = new Random(1);
    int[] text = random.ints(5000, 0, 30).map(x -> x * x / 30).toArray();
    NGramModel model = new NGramModel(text, 30, 4);
    for (int i = 0; i < 100; i++) {
      float[] row = model.logProbabilities(random.ints(random.nextInt(6), 0, 30).toArray());
      double sum = 0;
      for (float x : row) {
        sum += Math.exp(x);
      }
      assertEquals(1, sum, 1e-5);
    }
  }

  @Test
  void theBestCandidatesComeFirstAndTheLowerTokenOfEquals() {
    Candidates best = Candidates.of(new float[] {-3, -1, -2, -1, -5}, 3);
    assertArrayEquals(new int[] {1, 3, 2}, best.tokens());
    assertArrayEquals(new float[] {-1, -1, -2}, best.logProbs());
    assertTrue(Candidates.of(new float[2], 5).tokens().length == 2);
  }

  private static void assertProbabilities(float[] row, double... expected) {
    for (int w = 0; w < expected.length; w++) {
      assertEquals(expected[w], Math.exp(row[w]), 1e-6, "token " + w);
    }
  }
}

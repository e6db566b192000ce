package io.quern.bench.speculate;

/**
 * The best tokens of a row, best first, of equal ones the lower token.
 *
 * @param tokens the tokens
 * @param logProbs their log p
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Candidates(int[] tokens, float[] logProbs) {
  /** The first k of a row, or all of a shorter one. */
  static Candidates of(float[] row, int k) {
    int[] tokens = new int[Math.min(k, row.length)];
    float[] best = new float[tokens.length];
    int kept = 0;
    for (int w = 0; w < row.length; w++) {
      if (kept < best.length || row[w] > best[kept - 1]) {
        int at = kept < best.length ? kept++ : kept - 1;
        for (; at > 0 && row[w] > best[at - 1]; at--) {
          best[at] = best[at - 1];
          tokens[at] = tokens[at - 1];
        }
        best[at] = row[w];
        tokens[at] = w;
      }
    }
    return new Candidates(tokens, best);
  }

  /** The candidates' p. */
  float[] probabilities() {
    float[] p = new float[logProbs.length];
    for (int i = 0; i < p.length; i++) {
      p[i] = (float) StrictMath.exp(logProbs[i]);
    }
    return p;
  }
}

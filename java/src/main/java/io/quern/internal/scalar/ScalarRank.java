package io.quern.internal.scalar;

import io.quern.internal.cpu.RankTask;

/**
 * The first k elements of rows of scores, in the order (value descending, index ascending), NaN
 * below −∞: one after the other, each the first of those that follow the one before.
 */
abstract class ScalarRank extends RankTask {
  /** The score of an element. */
  abstract float score(long row, long i);

  @Override
  protected final void run(int worker, long from, long to) {
    for (long row = from; row < to; row++) {
      long last = -1;
      for (long rank = 0; rank < k; rank++) {
        last = firstAfter(row, last);
        emit(row, rank, last);
        if (wantsScores()) {
          emitScore(row, rank, score(row, last));
        }
      }
    }
  }

  private long firstAfter(long row, long last) {
    long first = -1;
    for (long i = 0; i < dim; i++) {
      if ((last < 0 || isBefore(row, last, i)) && (first < 0 || isBefore(row, i, first))) {
        first = i;
      }
    }
    return first;
  }

  private boolean isBefore(long row, long a, long b) {
    float first = score(row, a);
    float second = score(row, b);
    return RowReduction.isBefore(first, second) || (!RowReduction.isBefore(second, first) && a < b);
  }
}

package io.quern.bench.speculate;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * A language model small enough to read: how often each token followed the last few in a text. With
 * N continuations of the last l tokens, T of them distinct, and c(w) of them w,
 *
 * <pre>p[l](w) = (c(w) + T · p[l − 1](w)) / (N + T), p[0](w) = (c(w) + 1) / (N + V)</pre>
 *
 * (Witten and Bell), for l up to the order less one. Deterministic; its rows are log p.
 */
public final class NGramModel {
  private final int[] text;
  private final int vocab;
  private final int order;

  /** Places in the text, sorted by the tokens before them, the nearest first. */
  private final int[] places;

  /** Log p[0]. */
  private final float[] unigram;

  /**
   * Learns a text.
   *
   * @param text tokens in [0, vocab)
   * @param order the most tokens that are looked at together, the next one included; at least 1
   */
  public NGramModel(int[] text, int vocab, int order) {
    this.text = text.clone();
    this.vocab = vocab;
    this.order = order;
    int[] counts = new int[vocab];
    for (int token : text) {
      counts[token]++;
    }
    unigram = new float[vocab];
    for (int w = 0; w < vocab; w++) {
      unigram[w] = (float) StrictMath.log((counts[w] + 1.0) / ((double) text.length + vocab));
    }
    Comparator<Integer> byContext = this::compareContexts;
    places =
        IntStream.range(0, text.length)
            .boxed()
            .sorted(byContext.thenComparing(Comparator.naturalOrder()))
            .mapToInt(i -> i)
            .toArray();
  }

  private int compareContexts(int a, int b) {
    for (int d = 1; d < order; d++) {
      int before = Integer.compare(a >= d ? text[a - d] : -1, b >= d ? text[b - d] : -1);
      if (before != 0) {
        return before;
      }
    }
    return 0;
  }

  /** Number of tokens. */
  public int vocab() {
    return vocab;
  }

  /**
   * Log p of every token after a context.
   *
   * @param context tokens, of which the last {@code order − 1} count
   * @param row where they go: {@code vocab} elements from {@code first} on
   */
  public void logProbabilities(int[] context, float[] row, int first) {
    int longest = Math.min(order - 1, context.length);
    int[] from = new int[longest + 1];
    int[] to = new int[longest + 1];
    to[0] = places.length;
    int known = 0;
    while (known < longest) {
      int token = context[context.length - known - 1];
      int low = bound(known + 1, token, from[known], to[known]);
      int high = bound(known + 1, token + 1, low, to[known]);
      if (low == high) {
        break;
      }
      known++;
      from[known] = low;
      to[known] = high;
    }
    // Mass that a length leaves to the shorter ones, in all.
    double left = 1;
    double[] added = new double[vocab];
    for (int l = known; l > 0; l--) {
      int n = to[l] - from[l];
      int distinct = 0;
      int[] following = new int[n];
      for (int i = 0; i < n; i++) {
        following[i] = text[places[from[l] + i]];
      }
      Arrays.sort(following);
      for (int i = 0; i < n; i++) {
        distinct += i == 0 || following[i] != following[i - 1] ? 1 : 0;
      }
      double share = left / (n + distinct);
      for (int token : following) {
        added[token] += share;
      }
      left *= (double) distinct / (n + distinct);
    }
    float logLeft = (float) StrictMath.log(left);
    for (int w = 0; w < vocab; w++) {
      row[first + w] =
          added[w] == 0
              ? unigram[w] + logLeft
              : (float) StrictMath.log(added[w] + left * StrictMath.exp(unigram[w]));
    }
  }

  /**
   * The first place in [from, to) whose token {@code distance} before is at least {@code token}.
   */
  private int bound(int distance, int token, int from, int to) {
    int low = from;
    int high = to;
    while (low < high) {
      int middle = (low + high) >>> 1;
      int place = places[middle];
      int before = place >= distance ? text[place - distance] : -1;
      if (before < token) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The same as a row of its own. */
  public float[] logProbabilities(int... context) {
    float[] row = new float[vocab];
    logProbabilities(context, row, 0);
    return row;
  }
}

package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.DType;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.TreeVerify;
import java.lang.foreign.MemorySegment;

/**
 * The row of the target that a worker looks at, and the scratch for it.
 *
 * <p>Its elements have weights: given probabilities, 0 unless positive; of logits exp((x − max) ·
 * scale), 1 where x is the maximum, 0 where it is NaN.
 */
public abstract class TargetRow {
  /** Elements of a piece, whose sum is one step of a prefix sum (rule 4). */
  protected static final int PIECE = 4096;

  /** Within the entropy's logarithm, so that it is finite at 0. */
  public static final float ENTROPY_SHIFT = 1e-5f;

  private static final int NONE = -1;

  /** Element type. */
  protected DType dtype;

  /** The rows of the whole batch. */
  protected MemorySegment target;

  /** The byte at which the row begins. */
  protected long offset;

  /** Its elements. */
  protected int vocab;

  /** Whether its elements are logits. */
  protected boolean isLogits;

  /** The greatest logit. */
  protected float max;

  /** The reciprocal of the temperature. */
  protected float scale;

  /** Whether all mass is on the argmax, as at temperature 0. */
  boolean isPeaked;

  /** The sum of all weights. */
  protected float sum;

  /** The weights of one piece. */
  protected final float[] weights = new float[PIECE];

  /** The sum of each piece's weights. */
  private final float[] sums = new float[(int) (TreeVerify.MAX_VOCAB / PIECE)];

  /** The tokens and sibling links of the call's trees. */
  MemorySegment tokens;

  MemorySegment nextSibling;

  /** Which column of each path is its last accepted one; inverted where the path has ended. */
  final int[] runs = new int[TreeVerify.MAX_PATHS];

  /** The argmax of the row at which each path ended, −1 where none was taken. */
  final int[] ends = new int[TreeVerify.MAX_PATHS];

  /** Σ log p of what is accepted of each path. */
  final float[] scores = new float[TreeVerify.MAX_PATHS];

  /** The first index of the greatest element; NaN is below −∞. */
  protected abstract int argmax();

  /** An element. */
  protected abstract float value(int index);

  /** Puts the weights of {@code count} elements from {@code start} on into {@link #weights}. */
  protected abstract void weigh(int start, int count);

  /** The sum of the first {@code count} of {@link #weights}. */
  protected abstract float sumOfWeights(int count);

  /** Σ p · log(p + {@link #ENTROPY_SHIFT}) of as many, p = weight / {@link #sum}. */
  protected abstract float negativeEntropy(int count);

  /** Takes a temperature. */
  final void temper(float temperature) {
    isPeaked = !(temperature > 0);
    scale = Math.min(1 / temperature, Float.MAX_VALUE);
  }

  /** Takes the sums of the weights, of logits after their maximum. */
  final void takeSums() {
    if (isLogits) {
      max = value(argmax());
    }
    for (int k = 0; k < pieces(); k++) {
      weigh(k * PIECE, length(k));
      sums[k] = sumOfWeights(length(k));
    }
    sum = total();
  }

  private float total() {
    float total = 0;
    for (int k = 0; k < pieces(); k++) {
      total += sums[k];
    }
    return total;
  }

  /** The probability of a token; of logits the sums have to be there. */
  final float probability(int token) {
    float weight = weight(value(token));
    return isLogits ? weight / sum : weight;
  }

  /** The weight of an element. */
  protected final float weight(float value) {
    if (isLogits && value == max) {
      return 1;
    }
    float weight = isLogits ? CanonicalMath.exp((value - max) * scale) : value;
    return weight > 0 ? weight : 0;
  }

  /** The entropy, whose sums are there. */
  final float entropy() {
    float total = 0;
    for (int k = 0; k < pieces(); k++) {
      weigh(k * PIECE, length(k));
      total += negativeEntropy(length(k));
    }
    return -total;
  }

  /**
   * Draws a token by a coin in [0, 1), by the weights without those of the tokens of a node's
   * children; the sums are there.
   *
   * @param firstNode the first node of the request
   * @param firstChild the first of the children, or −1
   */
  final int draw(float coin, long firstNode, int firstChild) {
    for (int child = firstChild; child != NONE; child = node(nextSibling, firstNode + child)) {
      int token = node(tokens, firstNode + child);
      if (token >= 0 && token < vocab) {
        int piece = token / PIECE;
        weighRest(piece, firstNode, firstChild);
        sums[piece] = sumOfWeights(length(piece));
      }
    }
    float passed = coin * total();
    float before = 0;
    for (int piece = 0; piece < pieces(); piece++) {
      float after = before + sums[piece];
      if (after > passed) {
        weighRest(piece, firstNode, firstChild);
        return piece * PIECE + search(length(piece), before, passed);
      }
      before = after;
    }
    for (int piece = pieces() - 1; piece >= 0; piece--) {
      weighRest(piece, firstNode, firstChild);
      int last = search(length(piece), 0, Float.POSITIVE_INFINITY);
      if (last != NONE) {
        return piece * PIECE + last;
      }
    }
    return vocab - 1;
  }

  private void weighRest(int piece, long firstNode, int firstChild) {
    weigh(piece * PIECE, length(piece));
    for (int child = firstChild; child != NONE; child = node(nextSibling, firstNode + child)) {
      int token = node(tokens, firstNode + child);
      if (token >= 0 && token < vocab && token / PIECE == piece) {
        weights[token % PIECE] = 0;
      }
    }
  }

  private static int node(MemorySegment segment, long i) {
    return segment.get(JAVA_INT, i * Integer.BYTES);
  }

  /** The first positive weight whose prefix sum passes; else the last positive one, or −1. */
  private int search(int count, float before, float passed) {
    float prefix = before;
    int last = NONE;
    for (int i = 0; i < count; i++) {
      prefix += weights[i];
      if (weights[i] > 0) {
        if (prefix > passed) {
          return i;
        }
        last = i;
      }
    }
    return last;
  }

  private int pieces() {
    return (vocab - 1) / PIECE + 1;
  }

  private int length(int piece) {
    return Math.min(PIECE, vocab - piece * PIECE);
  }
}

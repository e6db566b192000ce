package io.quern.tree;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.AdjacencyFill;
import io.quern.op.IndexPolicy;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;
import io.quern.op.TopK;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * Drafting without a draft model: a matrix of the likeliest tokens after each token, which every
 * verification refreshes with what the target model has just computed anyway (Token Recycling,
 * arXiv 2408.08696).
 *
 * <ul>
 *   <li>{@link #fill} takes the tokens of a static tree out of the matrix, level by level: {@code
 *       token(node) = adjacency[token(parent), rank(node)]}.
 *   <li>{@link #update} writes back, for all nodes, accepted or not: {@code adjacency[token(node)]
 *       = } the first k tokens of the node's logits, best first. Of several nodes with one token
 *       the last one wins, on every back end.
 * </ul>
 *
 * <p>The matrix is memory of the caller, I32 [vocab, k], under 2 MB for 32000 × 8; {@link #clear}
 * makes it zeros, with which the published code begins (a token never seen is followed by token 0).
 * A batch shares it. Plans are immutable and thread-safe; {@code fill} and {@code update} allocate
 * nothing, do not wait on CUDA, and can be captured into a {@link io.quern.Graph}.
 */
public final class TokenRecycling {
  /**
   * A matrix and the logits that refresh it.
   *
   * @param vocab tokens
   * @param candidates k: columns of the matrix; 8 in what was published
   * @param logits dtype of the logits: F32, F16 or BF16
   * @param policy what becomes of tokens outside [0, vocab)
   */
  public record Spec(long vocab, long candidates, DType logits, IndexPolicy policy) {
    /** Checks that a row of logits has that many candidates. */
    public Spec {
      Objects.requireNonNull(logits, "logits");
      Objects.requireNonNull(policy, "policy");
      if (candidates < 1 || candidates > vocab) {
        throw new IllegalArgumentException(
            "%d candidates, expected 1 to the %d tokens".formatted(candidates, vocab));
      }
    }

    /** Shape of the matrix: [vocab, candidates], I32. */
    public Shape adjacencyShape() {
      return Shape.of(vocab, candidates);
    }

    /** Shape of the candidates of an update: [nodes, candidates], I32. */
    public Shape bestShape(long nodes) {
      return Shape.of(nodes, candidates);
    }
  }

  private final Spec spec;
  private final Shape shape;
  private final AdjacencyFill fill;
  private final TopK best;
  private final ScatterRows scatter;

  private TokenRecycling(Device device, Spec spec) {
    this.spec = spec;
    this.shape = spec.adjacencyShape();
    this.fill =
        AdjacencyFill.plan(
            device, new AdjacencyFill.Spec(spec.vocab, spec.candidates, spec.policy));
    this.best = TopK.plan(device, new TopK.Spec(spec.logits, spec.vocab, spec.candidates));
    this.scatter =
        ScatterRows.plan(
            device, ScatterRows.Spec.of(DType.I32, ScatterMode.SET, spec.candidates, spec.policy));
  }

  /**
   * Prepares both halves for a device.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenRecycling plan(Device device, Spec spec) {
    return new TokenRecycling(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan works on. */
  public Spec spec() {
    return spec;
  }

  /**
   * Makes the matrix zeros. Cannot be captured.
   *
   * @param adjacency I32 [vocab, candidates]
   * @throws IllegalArgumentException if it is of another dtype or shape
   */
  public void clear(Stream stream, Buffer adjacency) {
    check(adjacency);
    adjacency.copyFrom(
        MemorySegment.ofArray(new int[Math.toIntExact(adjacency.shape().size())]), stream);
  }

  /**
   * Fills trees.
   *
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @see AdjacencyFill#run
   */
  public void fill(Stream stream, AdjacencyFill.Operands operands) {
    fill.run(stream, operands);
  }

  /** Bytes of scratch that an update from so many nodes needs; 0 on a CPU. */
  public long workspaceBytes(long nodes) {
    return scatter.workspaceBytes(nodes);
  }

  /**
   * Refreshes the matrix.
   *
   * @param stream a stream of the plan's device
   * @param logits [nodes, vocab] of the spec's dtype, any row stride
   * @param tokens I32 [nodes]; −1 is passed over
   * @param best I32 [nodes, candidates]: gets the candidates after each node
   * @param adjacency I32 [vocab, candidates], any row stride
   * @param workspace U8, at least {@link #workspaceBytes}; null where that is 0
   * @throws IllegalArgumentException if an operand does not fit
   * @throws io.quern.InvalidDataException on a CPU, for an unknown token under {@link
   *     IndexPolicy#FAIL}
   */
  public void update(
      Stream stream,
      Buffer logits,
      Buffer tokens,
      Buffer best,
      Buffer adjacency,
      Buffer workspace) {
    check(adjacency);
    this.best.run(stream, logits, null, best);
    scatter.run(stream, best, tokens, adjacency, workspace);
  }

  private void check(Buffer adjacency) {
    if (adjacency.dtype() != DType.I32 || !adjacency.shape().equals(shape)) {
      throw new IllegalArgumentException(
          "TokenRecycling: adjacency has shape %s of %s, expected %s of I32"
              .formatted(adjacency.shape(), adjacency.dtype(), shape));
    }
  }
}

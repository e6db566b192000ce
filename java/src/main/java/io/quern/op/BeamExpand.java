package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.BeamExpandKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.Objects;

/**
 * One step of a beam search: of the extensions of a request's beams by their candidates the first
 * {@code keep}. Candidates come from {@link TopK} or {@link SampleRows} over the beams' rows.
 *
 * <p>The score of extending beam b by candidate c is {@code scores[b] + fma(scale, input[b, c],
 * bias[b, c])}, without a bias {@code scores[b] + scale · input[b, c]}. The input is a
 * log-probability; or a probability p, which becomes log(p / Σp) with the sum over the candidates
 * that exist.
 *
 * <ul>
 *   <li>{@link Mode#SUM} ranks by the score: beam search over log-probabilities, EAGLE's draft
 *       trees, superposed decoding (where all beams of a request share one list of candidates, and
 *       the bias is the weighted n-gram log-probability).
 *   <li>{@link Mode#STOCHASTIC} ranks by G, the score with Gumbel noise under the condition that
 *       the greatest of a beam's extensions keeps the beam's own G: with g = scores[b] + noisy[b,
 *       c] and Z the greatest g of the beam's candidates, {@code v = (G[b] − g) + log1p(−exp(g −
 *       Z))} and {@code G[b, c] = (G[b] − max(v, 0)) − log1p(exp(−|v|))}. Stochastic beam search
 *       (Kool et al., 2019; RSD-S): sequences sampled without replacement.
 * </ul>
 *
 * <p>Extensions whose score is below the spec's threshold are dropped. Order: value descending,
 * then beam, then candidate ascending; NaN is below −∞. A candidate whose token is negative does
 * not exist. Slots that remain get parent and token −1, score and G −∞. The weights are the softmax
 * of the kept scores, 0 where all are −∞: with the kept tokens as ids they are what {@link
 * EmbeddingBag} needs to superpose their embeddings.
 *
 * <p>Canonical arithmetic: the operations above in F32, exp, log and log1p as all back ends have
 * them, sums along a row in canonical order, Z by larger-than comparisons from −∞. Empty shapes are
 * legal. A plan is immutable and thread-safe. {@code run} allocates nothing, but for scratch that a
 * CPU stream keeps; it does not wait on CUDA, and can be captured into a {@link io.quern.Graph}.
 */
public final class BeamExpand {
  private static final String OP = "BeamExpand";

  /** The most beams of a request. */
  public static final int MAX_BEAMS = 1024;

  /** The most candidates of a beam, so that a request's extensions can be counted. */
  public static final int MAX_CANDIDATES = Integer.MAX_VALUE / MAX_BEAMS;

  /** How extensions are ranked. */
  public enum Mode {
    /** By the sum of log-probabilities. */
    SUM,
    /** By the sum with noise. */
    STOCHASTIC
  }

  /**
   * What is expanded.
   *
   * @param mode how extensions are ranked
   * @param beams beams of a request, at most {@link #MAX_BEAMS}
   * @param candidates candidates of a beam, at most {@link #MAX_CANDIDATES}
   * @param keep extensions kept
   * @param shared whether a request's beams have the same candidates
   * @param probabilities whether inputs are probabilities instead of log-probabilities
   * @param scale of the input; not NaN
   * @param threshold the least score that is kept; −∞ keeps all
   */
  public record Spec(
      Mode mode,
      int beams,
      int candidates,
      int keep,
      boolean shared,
      boolean probabilities,
      float scale,
      float threshold) {
    /** Checks sizes. */
    public Spec {
      Objects.requireNonNull(mode, "mode");
      range("beams", beams, MAX_BEAMS);
      range("candidates", candidates, MAX_CANDIDATES);
      range("keep", keep, Integer.MAX_VALUE);
      if (Float.isNaN(scale) || Float.isNaN(threshold)) {
        throw new IllegalArgumentException(
            "scale is %s and threshold %s, expected numbers".formatted(scale, threshold));
      }
    }

    /** Own candidates for every beam, log-probabilities, scale 1, nothing dropped. */
    public static Spec of(Mode mode, int beams, int candidates, int keep) {
      return new Spec(mode, beams, candidates, keep, false, false, 1, Float.NEGATIVE_INFINITY);
    }

    /** The same with one list of candidates for all beams of a request. */
    public Spec withSharedCandidates() {
      return new Spec(mode, beams, candidates, keep, true, probabilities, scale, threshold);
    }

    /** The same with probabilities as inputs. */
    public Spec withProbabilities() {
      return new Spec(mode, beams, candidates, keep, shared, true, scale, threshold);
    }

    /** The same with another scale of the inputs. */
    public Spec withScale(float scale) {
      return new Spec(mode, beams, candidates, keep, shared, probabilities, scale, threshold);
    }

    /** The same with a least score. */
    public Spec withThreshold(float threshold) {
      return new Spec(mode, beams, candidates, keep, shared, probabilities, scale, threshold);
    }

    /** Lists of candidates of that many requests. */
    public long lists(long requests) {
      return shared ? requests : requests * beams;
    }

    /** The shape of every output: [requests, keep]. */
    public Shape outputShape(long requests) {
      return Shape.of(requests, keep);
    }

    private static void range(String what, int value, int most) {
      if (value < 0 || value > most) {
        throw new IllegalArgumentException(
            "%s is %d, expected 0 to %d".formatted(what, value, most));
      }
    }
  }

  /**
   * What a call reads and writes, all with any row stride. Make it once and use it for every call.
   *
   * @param tokens I32 [lists, candidates]; lists are requests · beams, or requests where they are
   *     shared
   * @param inputs F32 [lists, candidates]: log-probabilities or probabilities
   * @param noisy F32 [requests · beams, candidates]: log-probabilities with noise, {@link
   *     SampleRows}' scores; with STOCHASTIC, else null
   * @param bias F32 [requests · beams, candidates] with SUM, or null
   * @param scores F32 [requests, beams]
   * @param perturbed F32 [requests, beams]: G; with STOCHASTIC, else null
   * @param outParents I32 [requests, keep]: which beam of the request was extended
   * @param outTokens I32 [requests, keep]: by which token
   * @param outScores F32 [requests, keep]
   * @param outPerturbed F32 [requests, keep]: G; with STOCHASTIC, else null
   * @param outWeights F32 [requests, keep], or null; outputs overlap no other operand
   */
  public record Operands(
      Buffer tokens,
      Buffer inputs,
      Buffer noisy,
      Buffer bias,
      Buffer scores,
      Buffer perturbed,
      Buffer outParents,
      Buffer outTokens,
      Buffer outScores,
      Buffer outPerturbed,
      Buffer outWeights) {
    /** Ranked by sums, without bias or weights. */
    public static Operands sum(
        Buffer tokens,
        Buffer inputs,
        Buffer scores,
        Buffer outParents,
        Buffer outTokens,
        Buffer outScores) {
      return new Operands(
          tokens, inputs, null, null, scores, null, outParents, outTokens, outScores, null, null);
    }

    /** The same with these; either may be null. */
    public Operands with(Buffer bias, Buffer outWeights) {
      return new Operands(
          tokens,
          inputs,
          noisy,
          bias,
          scores,
          perturbed,
          outParents,
          outTokens,
          outScores,
          outPerturbed,
          outWeights);
    }

    /** The same with what STOCHASTIC needs. */
    public Operands withNoise(Buffer noisy, Buffer perturbed, Buffer outPerturbed) {
      return new Operands(
          tokens,
          inputs,
          noisy,
          bias,
          scores,
          perturbed,
          outParents,
          outTokens,
          outScores,
          outPerturbed,
          outWeights);
    }
  }

  private final Device device;
  private final Spec spec;
  private final BeamExpandKernel kernel;

  private BeamExpand(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).beamExpand().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static BeamExpand plan(Device device, Spec spec) {
    return new BeamExpand(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan expands. */
  public Spec spec() {
    return spec;
  }

  /**
   * Expands.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(operands);
    queue.begin();
    try {
      queue.hold(operands.tokens);
      queue.hold(operands.inputs);
      queue.hold(operands.noisy);
      queue.hold(operands.bias);
      queue.hold(operands.scores);
      queue.hold(operands.perturbed);
      queue.hold(operands.outParents);
      queue.hold(operands.outTokens);
      queue.hold(operands.outScores);
      queue.hold(operands.outPerturbed);
      queue.hold(operands.outWeights);
      if (operands.outParents.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands of) {
    Check.operand(OP, "outParents", of.outParents, DType.I32, device);
    Check.rows(OP, "outParents", of.outParents, spec.keep);
    long requests = of.outParents.shape().dim(0);
    boolean stochastic = spec.mode == Mode.STOCHASTIC;
    input("tokens", of.tokens, DType.I32, spec.lists(requests), spec.candidates);
    input("inputs", of.inputs, DType.F32, spec.lists(requests), spec.candidates);
    presence("noisy", of.noisy, stochastic);
    if (stochastic) {
      input("noisy", of.noisy, DType.F32, requests * spec.beams, spec.candidates);
    }
    if (of.bias != null) {
      presence("bias", of.bias, !stochastic);
      input("bias", of.bias, DType.F32, requests * spec.beams, spec.candidates);
    }
    input("scores", of.scores, DType.F32, requests, spec.beams);
    presence("perturbed", of.perturbed, stochastic);
    if (stochastic) {
      input("perturbed", of.perturbed, DType.F32, requests, spec.beams);
    }
    Check.ranked(OP, "outParents", of.outParents, DType.I32, requests, spec.keep, device);
    Check.ranked(OP, "outTokens", of.outTokens, DType.I32, requests, spec.keep, device);
    Check.ranked(OP, "outScores", of.outScores, DType.F32, requests, spec.keep, device);
    presence("outPerturbed", of.outPerturbed, stochastic);
    if (stochastic) {
      Check.ranked(OP, "outPerturbed", of.outPerturbed, DType.F32, requests, spec.keep, device);
    }
    if (of.outWeights != null) {
      Check.ranked(OP, "outWeights", of.outWeights, DType.F32, requests, spec.keep, device);
    }
    disjoint("outParents", of.outParents, of);
    disjoint("outTokens", of.outTokens, of);
    disjoint("outScores", of.outScores, of);
    disjoint("outPerturbed", of.outPerturbed, of);
    disjoint("outWeights", of.outWeights, of);
    Check.disjoint(OP, "outTokens", of.outTokens, "outParents", of.outParents);
    Check.disjoint(OP, "outScores", of.outScores, "outParents", of.outParents);
    Check.disjoint(OP, "outScores", of.outScores, "outTokens", of.outTokens);
    Check.disjoint(OP, "outPerturbed", of.outPerturbed, "outParents", of.outParents);
    Check.disjoint(OP, "outPerturbed", of.outPerturbed, "outTokens", of.outTokens);
    Check.disjoint(OP, "outPerturbed", of.outPerturbed, "outScores", of.outScores);
    Check.disjoint(OP, "outWeights", of.outWeights, "outParents", of.outParents);
    Check.disjoint(OP, "outWeights", of.outWeights, "outTokens", of.outTokens);
    Check.disjoint(OP, "outWeights", of.outWeights, "outScores", of.outScores);
    Check.disjoint(OP, "outWeights", of.outWeights, "outPerturbed", of.outPerturbed);
  }

  private void presence(String operand, Buffer buffer, boolean expected) {
    if ((buffer != null) != expected) {
      throw new IllegalArgumentException(
          "%s: %s is %s, expected %s with %s"
              .formatted(
                  OP,
                  operand,
                  buffer == null ? "null" : "given",
                  expected ? "a buffer" : "none",
                  spec.mode));
    }
  }

  private void input(String operand, Buffer buffer, DType dtype, long rows, long columns) {
    Check.operand(OP, operand, buffer, dtype, device);
    if (buffer.shape().rank() != 2
        || buffer.shape().dim(0) != rows
        || buffer.shape().dim(1) != columns) {
      Check.shape(OP, operand, buffer, Shape.of(rows, columns));
    }
  }

  private static void disjoint(String name, Buffer out, Operands of) {
    Check.disjoint(OP, name, out, "tokens", of.tokens);
    Check.disjoint(OP, name, out, "inputs", of.inputs);
    Check.disjoint(OP, name, out, "noisy", of.noisy);
    Check.disjoint(OP, name, out, "bias", of.bias);
    Check.disjoint(OP, name, out, "scores", of.scores);
    Check.disjoint(OP, name, out, "perturbed", of.perturbed);
  }
}

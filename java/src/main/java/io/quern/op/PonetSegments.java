package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PonetSegmentsKernel;
import java.util.Objects;

/**
 * The segment of each token, for {@link PonetPooling}: made once, used in every layer. Sequences
 * are given by offsets; ids begin anew in each.
 *
 * <ul>
 *   <li>{@link Rule.Tokens}: {@code s_t = special_t + special_{t−1}}, where a token is special if
 *       it is the CLS or the SEP token and nothing comes before the first; the id is {@code s_0 + …
 *       + s_t − 1}. So CLS and each SEP get ids of their own, adjacent ones leave gaps, what
 *       follows the last SEP is a segment, and what precedes the first special token has id −1.
 *   <li>{@link Rule.Fixed}: {@code length / segments + 1} tokens a segment; the last one may be
 *       short.
 * </ul>
 *
 * <p>Offsets that descend or leave [0, tokens] are reported, and nothing is written then. Tokens
 * outside every sequence are left untouched. Empty shapes are legal.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: {@code get_segment_index} and {@code
 * get_token_type_mask} of PoNet's published code (Tan et al., ICLR 2022).
 */
public final class PonetSegments {
  private static final String OP = "PonetSegments";

  /** How tokens are cut into segments. */
  public sealed interface Rule {
    /**
     * At special tokens.
     *
     * @param cls the id that begins a sequence
     * @param sep the id that ends a segment
     */
    record Tokens(int cls, int sep) implements Rule {}

    /**
     * Into pieces of equal length.
     *
     * @param segments about how many, at least 1
     */
    record Fixed(int segments) implements Rule {
      /** Checks the number. */
      public Fixed {
        if (segments < 1) {
          throw new IllegalArgumentException(
              "segments is %d, expected 1 or more".formatted(segments));
        }
      }
    }
  }

  /**
   * What is computed.
   *
   * @param rule how tokens are cut into segments
   * @param offsets dtype of the offsets: I32 or I64
   */
  public record Spec(Rule rule, DType offsets) {
    /** Checks dtypes. */
    public Spec {
      Objects.requireNonNull(rule, "rule");
      Check.index("offsets dtype", offsets);
    }
  }

  private final Device device;
  private final Spec spec;
  private final PonetSegmentsKernel kernel;

  private PonetSegments(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).ponetSegments().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static PonetSegments plan(Device device, Spec spec) {
    return new PonetSegments(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan computes. */
  public Spec spec() {
    return spec;
  }

  /**
   * Computes segment ids, and which tokens are special.
   *
   * @param stream a stream of the plan's device
   * @param tokens I32 [N] with {@link Rule.Tokens}; null with {@link Rule.Fixed}
   * @param offsets [B + 1], dense: where each sequence begins, and where the last one ends
   * @param segmentIds I32 [N]; overlaps no other operand
   * @param special BOOL [N], or null; null with {@link Rule.Fixed}
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for bad offsets
   */
  public void run(Stream stream, Buffer tokens, Buffer offsets, Buffer segmentIds, Buffer special) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "segmentIds", segmentIds, DType.I32, device);
    Check.vector(OP, "segmentIds", segmentIds, segmentIds.shape().size());
    Check.writable(OP, "segmentIds", segmentIds);
    long count = segmentIds.shape().dim(0);
    boolean byTokens = spec.rule instanceof Rule.Tokens;
    if (byTokens) {
      Check.operand(OP, "tokens", tokens, DType.I32, device);
      Check.vector(OP, "tokens", tokens, count);
    } else if (tokens != null || special != null) {
      throw new IllegalArgumentException(
          "%s: %s given, expected none with %s"
              .formatted(OP, tokens != null ? "tokens" : "special", spec.rule));
    }
    Check.operand(OP, "offsets", offsets, spec.offsets, device);
    Check.offsets(OP, offsets);
    if (special != null) {
      Check.operand(OP, "special", special, DType.BOOL, device);
      Check.vector(OP, "special", special, count);
      Check.writable(OP, "special", special);
    }
    Check.disjoint(OP, "segmentIds", segmentIds, "tokens", tokens);
    Check.disjoint(OP, "segmentIds", segmentIds, "offsets", offsets);
    Check.disjoint(OP, "segmentIds", segmentIds, "special", special);
    Check.disjoint(OP, "special", special, "tokens", tokens);
    Check.disjoint(OP, "special", special, "offsets", offsets);
    queue.begin();
    try {
      queue.hold(tokens);
      queue.hold(offsets);
      queue.hold(segmentIds);
      queue.hold(special);
      if (count > 0) {
        kernel.run(queue, tokens, offsets, segmentIds, special);
      }
    } finally {
      queue.end();
    }
  }
}

package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.AdjacencyFillKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.Objects;

/**
 * The tokens of draft trees, out of a matrix that holds the likeliest tokens after each token:
 * {@code tokens[0] = roots[b]}, {@code tokens[i] = adjacency[tokens[parent[i]], rank[i]]} for the
 * nodes {@code offsets[b] ≤ i < offsets[b + 1]} of each request b. Parents count from 0 within
 * their request.
 *
 * <p>Below −1 ("none") every token is −1. A token outside [0, vocab) that has children follows the
 * {@link IndexPolicy}: FAIL makes its children −1 and reports its position in {@code tokens}, ZERO
 * makes them 0, CLAMP takes the candidates of the nearest token (0 if the matrix is empty), SKIP
 * makes them −1. A rank outside [0, candidates) gives −1, and nothing is looked up.
 *
 * <p>{@code status[b]} is the ordinal of a {@link TreeStatus}: OK; OFFSETS, whose tokens stay
 * untouched; ROOT or PARENT, whose tokens are −1. A request's offsets are good if they ascend
 * within [0, nodes] and no earlier offset is higher. An empty request is OK.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. The operator is the drafting step of Token
 * Recycling (arXiv 2408.08696), {@code prepare_data_input_ids}.
 */
public final class AdjacencyFill {
  private static final String OP = "AdjacencyFill";

  /**
   * The matrix.
   *
   * @param vocab rows: tokens
   * @param candidates columns: the likeliest tokens after each, best first
   * @param policy what becomes of unknown tokens
   */
  public record Spec(long vocab, long candidates, IndexPolicy policy) {
    /** Checks the sizes. */
    public Spec {
      Objects.requireNonNull(policy, "policy");
      Shape.of(vocab, candidates);
      if (vocab > 1L << Integer.SIZE - 1) {
        throw new IllegalArgumentException(
            "vocab is %d, expected 0 to 2^31, since tokens are I32".formatted(vocab));
      }
    }

    /** Shape of the matrix: [vocab, candidates]. */
    public Shape adjacencyShape() {
      return Shape.of(vocab, candidates);
    }
  }

  /**
   * What a call reads and writes, all I32 and, but for the matrix, dense. Make it once and use it
   * for every call.
   *
   * @param adjacency [vocab, candidates], any row stride
   * @param roots [B]: the last decided token of each request
   * @param parent [N]: −1 for node 0, else less than the node
   * @param rank [N]: which candidate a node takes; the root's is not read
   * @param offsets [B + 1]: where each request begins, and where the last one ends
   * @param tokens [N], out
   * @param status [B], out
   */
  public record Operands(
      Buffer adjacency,
      Buffer roots,
      Buffer parent,
      Buffer rank,
      Buffer offsets,
      Buffer tokens,
      Buffer status) {}

  private final Device device;
  private final Spec spec;
  private final AdjacencyFillKernel kernel;

  private AdjacencyFill(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).adjacencyFill().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static AdjacencyFill plan(Device device, Spec spec) {
    return new AdjacencyFill(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan reads. */
  public Spec spec() {
    return spec;
  }

  /**
   * Fills the trees.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for an unknown token under {@link
   *     IndexPolicy#FAIL}
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(Objects.requireNonNull(operands, "operands"));
    queue.begin();
    try {
      queue.hold(operands.adjacency);
      queue.hold(operands.roots);
      queue.hold(operands.parent);
      queue.hold(operands.rank);
      queue.hold(operands.offsets);
      queue.hold(operands.tokens);
      queue.hold(operands.status);
      if (operands.status.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands of) {
    Check.operand(OP, "adjacency", of.adjacency, DType.I32, device);
    if (of.adjacency.shape().rank() != 2
        || of.adjacency.shape().dim(0) != spec.vocab
        || of.adjacency.shape().dim(1) != spec.candidates) {
      Check.shape(OP, "adjacency", of.adjacency, spec.adjacencyShape());
    }
    Check.operand(OP, "tokens", of.tokens, DType.I32, device);
    Check.operand(OP, "status", of.status, DType.I32, device);
    long nodes = of.tokens.shape().size();
    long requests = of.status.shape().size();
    Check.vector(OP, "tokens", of.tokens, nodes);
    Check.vector(OP, "status", of.status, requests);
    Check.writable(OP, "tokens", of.tokens);
    Check.writable(OP, "status", of.status);
    input("adjacency", of.adjacency, of);
    vector("roots", of.roots, requests, of);
    vector("parent", of.parent, nodes, of);
    vector("rank", of.rank, nodes, of);
    vector("offsets", of.offsets, requests + 1, of);
    Check.disjoint(OP, "tokens", of.tokens, "status", of.status);
  }

  private void vector(String name, Buffer buffer, long size, Operands of) {
    Check.operand(OP, name, buffer, DType.I32, device);
    Check.vector(OP, name, buffer, size);
    input(name, buffer, of);
  }

  private static void input(String name, Buffer buffer, Operands of) {
    Check.disjoint(OP, "tokens", of.tokens, name, buffer);
    Check.disjoint(OP, "status", of.status, name, buffer);
  }
}

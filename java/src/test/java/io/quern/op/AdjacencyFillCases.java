package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link AdjacencyFill} that are tested and timed. */
public final class AdjacencyFillCases {
  private AdjacencyFillCases() {}

  /** How the nodes of a tree hang together. */
  public enum Form {
    /** Any node before it. */
    RANDOM,
    /** The node before it. */
    CHAIN,
    /** The root. */
    STAR,
    /** One of the eight nodes before it, so that pieces of 32 are deep and wide. */
    NEAR
  }

  /**
   * A call.
   *
   * @param sizes nodes of each request
   * @param traits BAD_IDS puts unknown tokens and −1 into the matrix and the roots, and bad ranks;
   *     BAD_OFFSETS spoils offsets, BAD_PARENTS parents
   */
  public record Case(
      String id,
      AdjacencyFill.Spec spec,
      List<Integer> sizes,
      Form form,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      sizes = List.copyOf(sizes);
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      SplittableRandom random = new SplittableRandom(seed);
      int requests = sizes.size();
      long[] offsets = new long[requests + 1];
      for (int b = 0; b < requests; b++) {
        offsets[b + 1] = offsets[b] + sizes.get(b);
      }
      int nodes = (int) offsets[requests];
      long[] parent = new long[nodes];
      long[] rank = new long[nodes];
      for (int b = 0; b < requests; b++) {
        for (int i = 0; i < sizes.get(b); i++) {
          int at = (int) offsets[b] + i;
          parent[at] = i == 0 ? -1 : parent(i, random);
          rank[at] = random.nextInt((int) Math.max(1, spec.candidates()));
        }
      }
      int bound = (int) Math.max(1, spec.vocab());
      long[] adjacency = random.longs(spec.adjacencyShape().size(), 0, bound).toArray();
      long[] roots = random.longs(requests, 0, bound).toArray();
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(adjacency, spec.vocab(), DType.I32, random);
        BadIndices.amongIds(roots, spec.vocab(), DType.I32, random);
        BadIndices.among(rank, spec.candidates(), DType.I32, random);
      }
      if (traits.contains(Trait.BAD_PARENTS)) {
        for (int i = 0; i < nodes; i++) {
          if (random.nextInt(40) == 0) {
            parent[i] = random.nextInt(-2, nodes + 1);
          }
        }
      }
      if (traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, nodes + 1L, DType.I32, random);
      }
      return new Inputs(adjacency, roots, parent, rank, offsets);
    }

    private int parent(int i, SplittableRandom random) {
      return switch (form) {
        case RANDOM -> random.nextInt(i);
        case CHAIN -> i - 1;
        case STAR -> 0;
        case NEAR -> random.nextInt(Math.max(0, i - 8), i);
      };
    }

    @Override
    public Outcome expected() {
      Inputs in = inputs();
      int nodes = in.parent.length;
      int[] tokens = new int[nodes];
      byte[] poison = PreparedCase.poison((long) nodes * Integer.BYTES);
      MemorySegment.copy(MemorySegment.ofArray(poison), JAVA_INT_UNALIGNED, 0, tokens, 0, nodes);
      int[] status = new int[sizes.size()];
      InvalidDataException fault = null;
      for (int b = 0; b < status.length; b++) {
        int begin = (int) in.offsets[b];
        int end = (int) in.offsets[b + 1];
        boolean ascends = begin >= 0 && begin <= end && end <= nodes;
        for (int a = 0; a < b; a++) {
          ascends &= in.offsets[a] <= begin;
        }
        status[b] = ascends ? status(in.parent, begin, end) : TreeStatus.OFFSETS.ordinal();
        for (int i = begin; ascends && i < end; i++) {
          if (status[b] != 0) {
            tokens[i] = -1;
            continue;
          }
          if (i == begin) {
            tokens[i] = (int) in.roots[b];
            continue;
          }
          int position = begin + (int) in.parent[i];
          int token = tokens[position];
          long rank = in.rank[i];
          boolean known = token >= 0 && token < spec.vocab();
          tokens[i] = -1;
          if (token == -1 || rank < 0 || rank >= spec.candidates()) {
            continue;
          }
          if (known) {
            tokens[i] = (int) in.adjacency[(int) (token * spec.candidates() + rank)];
          } else if (spec.policy() == IndexPolicy.ZERO) {
            tokens[i] = 0;
          } else if (spec.policy() == IndexPolicy.CLAMP) {
            long nearest = token < 0 ? 0 : spec.vocab() - 1;
            tokens[i] =
                spec.vocab() == 0
                    ? 0
                    : (int) in.adjacency[(int) (nearest * spec.candidates() + rank)];
          } else if (spec.policy() == IndexPolicy.FAIL
              && (fault == null || position < fault.position())) {
            fault =
                new InvalidDataException(
                    "AdjacencyFill",
                    InvalidDataException.Kind.INDEX,
                    position,
                    token,
                    spec.vocab());
          }
        }
      }
      return new Outcome(
          List.of(
              new Outcome.Output("tokens", DType.I32, bytes(tokens)),
              new Outcome.Output("status", DType.I32, bytes(status))),
          fault);
    }

    private static int status(long[] parent, int begin, int end) {
      if (begin < end && parent[begin] != -1) {
        return TreeStatus.ROOT.ordinal();
      }
      for (int i = begin + 1; i < end; i++) {
        if (parent[i] < 0 || parent[i] >= i - begin) {
          return TreeStatus.PARENT.ordinal();
        }
      }
      return TreeStatus.OK.ordinal();
    }

    private static byte[] bytes(long[] values) {
      return bytes(Arrays.stream(values).mapToInt(value -> (int) value).toArray());
    }

    private static byte[] bytes(int[] values) {
      byte[] bytes = new byte[values.length * Integer.BYTES];
      MemorySegment.copy(
          values, 0, MemorySegment.ofArray(bytes), JAVA_INT_UNALIGNED, 0, values.length);
      return bytes;
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "fill %s %s %s %s %s seed %d"
          .formatted(
              id,
              spec,
              sizes.size() <= 16 ? sizes.toString() : sizes.size() + " requests",
              form,
              traits,
              seed);
    }
  }

  /** What a case reads. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  public record Inputs(
      long[] adjacency, long[] roots, long[] parent, long[] rank, long[] offsets) {}

  private static final class Prepared extends PreparedCase {
    private final AdjacencyFill plan;
    private final AdjacencyFill.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      Inputs in = of.inputs();
      Shape nodes = Shape.of(in.parent.length);
      Shape requests = Shape.of(in.roots.length);
      operands =
          new AdjacencyFill.Operands(
              matrix("adjacency", DType.I32, of.spec.adjacencyShape(), Case.bytes(in.adjacency)),
              indices("roots", DType.I32, requests, in.roots),
              indices("parent", DType.I32, nodes, in.parent),
              indices("rank", DType.I32, nodes, in.rank),
              indices("offsets", DType.I32, Shape.of(in.offsets.length), in.offsets),
              denseOutput("tokens", DType.I32, nodes),
              denseOutput("status", DType.I32, requests));
      plan = AdjacencyFill.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    int n = 0;
    for (IndexPolicy policy : IndexPolicy.values()) {
      for (Form form : Form.values()) {
        for (int size : new int[] {0, 1, 2, 31, 32, 33, 81, 200}) {
          add(cases, 50, 8, policy, List.of(size), form, Set.of(Trait.BAD_IDS));
        }
        add(cases, 50, 3, policy, List.of(5, 0, 1, 40, 64, 0, 3), form, traits(n++));
        add(cases, 1000, 8, policy, List.of(81, 81, 81), form, Set.of());
      }
      for (int i = 0; i < 6; i++) {
        List<Integer> sizes = List.of(3, 40, 1, 0, 7, 70, 2);
        add(cases, 20, 4, policy, sizes, Form.RANDOM, Set.of(Trait.BAD_OFFSETS, Trait.STRIDED));
        add(cases, 20, 4, policy, sizes, Form.NEAR, Set.of(Trait.BAD_PARENTS, Trait.BAD_OFFSETS));
        add(cases, 20, 4, policy, sizes, Form.RANDOM, Set.of(Trait.BAD_PARENTS, Trait.BAD_IDS));
      }
      add(cases, 0, 8, policy, List.of(4, 1), Form.CHAIN, Set.of());
      add(cases, 9, 0, policy, List.of(4, 1), Form.CHAIN, Set.of());
      add(cases, 9, 2, policy, List.of(), Form.CHAIN, Set.of());
      add(cases, 9, 2, policy, List.of(0, 0), Form.CHAIN, Set.of());
      // Enough work for a CPU device to share it among its threads.
      Integer[] many = new Integer[100];
      Arrays.fill(many, 81);
      add(cases, 300, 8, policy, List.of(many), Form.NEAR, Set.of(Trait.STRIDED));
    }
    return List.copyOf(cases);
  }

  /** The right call for {@link MisuseTest}. */
  static List<MisuseCall> misuses() {
    MisuseCall.Operand perNode = MisuseCall.Operand.in(DType.I32, 6);
    MisuseCall.Operand perRequest = MisuseCall.Operand.in(DType.I32, 2);
    return List.of(
        new MisuseCall(
            "fill",
            "AdjacencyFill",
            MisuseCall.operands(
                "adjacency",
                MisuseCall.Operand.in(DType.I32, 5, 4),
                "roots",
                perRequest,
                "parent",
                perNode,
                "rank",
                perNode,
                "offsets",
                MisuseCall.Operand.in(DType.I32, 3),
                "tokens",
                MisuseCall.Operand.out(DType.I32, 6),
                "status",
                MisuseCall.Operand.out(DType.I32, 2)),
            device -> {
              var plan = AdjacencyFill.plan(device, new AdjacencyFill.Spec(5, 4, IndexPolicy.FAIL));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new AdjacencyFill.Operands(
                          of.get("adjacency"),
                          of.get("roots"),
                          of.get("parent"),
                          of.get("rank"),
                          of.get("offsets"),
                          of.get("tokens"),
                          of.get("status")));
            }));
  }

  private static Set<Trait> traits(int n) {
    return n % 2 == 0 ? Set.of(Trait.BAD_IDS, Trait.STRIDED) : Set.of(Trait.STRIDED);
  }

  private static void add(
      List<Case> cases,
      long vocab,
      long candidates,
      IndexPolicy policy,
      List<Integer> sizes,
      Form form,
      Set<Trait> traits) {
    cases.add(
        new Case(
            Integer.toString(cases.size()),
            new AdjacencyFill.Spec(vocab, candidates, policy),
            sizes,
            form,
            traits,
            cases.size()));
  }
}

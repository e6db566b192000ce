package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.PonetPoolingCases.Case;
import io.quern.op.PonetPoolingCases.Ids;
import io.quern.op.PonetPoolingCases.Option;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The documents that are pooled chunk by chunk in tests. */
public final class PonetChunksCases {
  private PonetChunksCases() {}

  /**
   * A document, which is expected to become what {@link PonetPooling} makes of it.
   *
   * @param of its rows, one sequence
   * @param cuts where it is cut is decided by this, for each pass anew
   */
  public record Document(Case of, long cuts) implements OperatorCase {
    @Override
    public String id() {
      return of.id();
    }

    private int length() {
      return of.lengths().get(0);
    }

    /** The first tokens of chunks, and the length; an empty chunk here and there. */
    private int[] cuts(int pass) {
      if (pass == 2 && of.traits().contains(Trait.BAD_IDS)) {
        return new int[] {0, length()}; // every chunk reports what is bad in it
      }
      SplittableRandom random = new SplittableRandom(cuts * 3 + pass);
      List<Integer> starts = new ArrayList<>(List.of(0));
      for (int at = 0; at < length(); at += 64 * random.nextInt(4)) {
        starts.add(at);
      }
      starts.add(length());
      return starts.stream().mapToInt(i -> i).toArray();
    }

    @Override
    public Outcome expected() {
      return new PonetPoolingCases.Expected("PonetChunks", of).outcome();
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final PonetChunks plan;
    private final Buffer state;
    private final Buffer segmentMax;
    private final List<PonetChunks.Queries> queries = new ArrayList<>();
    private final List<PonetChunks.Keys> keys = new ArrayList<>();
    private final List<PonetChunks.Fusion> fusions = new ArrayList<>();

    Prepared(Document document, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, document.of.strided());
      Case of = document.of;
      PonetPooling.Spec spec = of.spec();
      int count = of.count();
      int lead = of.lead();
      int length = document.length();
      int reach = spec.window() / 2;
      plan = PonetChunks.plan(device, spec);
      state = workspace(plan.stateBytes());
      segmentMax = scratch(DType.F32, spec.rowsShape(length));
      Buffer workspace = workspace(plan.workspaceBytes(length));
      Buffer q = matrix("q", of.rows(0));
      Buffer k = matrix("k", of.rows(1));
      Buffer o = matrix("o", of.rows(2));
      Buffer local = matrix("local", of.rows(3));
      Buffer segment = matrix("segment", of.rows(4));
      Buffer ids = indices("segmentIds", DType.I32, Shape.of(count), of.segmentIds());
      Buffer valid = of.hasValid() ? flags("valid", of.valid()) : null;
      Buffer special =
          of.options().contains(Option.SPECIAL) ? flags("special", of.special()) : null;
      Buffer out = output(spec.out(), spec.rowsShape(count));
      Buffer p =
          of.options().contains(Option.PROBABILITIES)
              ? denseOutput("probabilities", DType.F32, Shape.of(count, spec.heads()))
              : null;
      int[] cuts = document.cuts(0);
      for (int i = 0; i + 1 < cuts.length; i++) {
        int at = lead + cuts[i];
        int n = cuts[i + 1] - cuts[i];
        queries.add(
            new PonetChunks.Queries(
                cuts[i], rows(q, at, n), elements(valid, at, n), state, workspace));
      }
      cuts = document.cuts(1);
      for (int i = 0; i + 1 < cuts.length; i++) {
        int at = lead + cuts[i];
        int n = cuts[i + 1] - cuts[i];
        keys.add(
            new PonetChunks.Keys(
                cuts[i],
                rows(k, at, n),
                rows(segment, at, n),
                elements(ids, at, n),
                elements(valid, at, n),
                rows(p, at, n),
                state,
                segmentMax,
                workspace));
      }
      cuts = document.cuts(2);
      for (int i = cuts.length - 2; i >= 0; i--) {
        int at = lead + cuts[i];
        int n = cuts[i + 1] - cuts[i];
        int before = Math.min(reach, cuts[i]);
        int context = before + n + Math.min(reach, length - cuts[i + 1]);
        fusions.add(
            new PonetChunks.Fusion(
                cuts[i],
                before,
                rows(o, at, n),
                rows(local, at - before, context),
                elements(ids, at, n),
                elements(valid, at - before, context),
                elements(special, at - before, context),
                state,
                segmentMax,
                rows(out, at, n),
                rows(p, at, n)));
      }
    }

    private static Buffer rows(Buffer of, long at, long n) {
      return of == null
          ? null
          : of.view(at * of.rowStride(), Shape.of(n, of.shape().last()), of.rowStride());
    }

    private static Buffer elements(Buffer of, long at, long n) {
      return of == null ? null : of.view(at, Shape.of(n), n);
    }

    @Override
    public void run() {
      plan.start(stream(), state, segmentMax);
      for (int i = 0; i < queries.size(); i++) {
        plan.queries(stream(), queries.get(i));
      }
      for (int i = 0; i < keys.size(); i++) {
        plan.keys(stream(), keys.get(i));
      }
      for (int i = 0; i < fusions.size(); i++) {
        plan.fuse(stream(), fusions.get(i));
      }
    }
  }

  /** Documents of no, one and several chunks. */
  public static List<Document> small() {
    List<Document> cases = new ArrayList<>();
    int[][] heads = {{1, 1}, {3, 16}, {7, 5}, {2, 64}};
    int[] lengths = {0, 1, 64, 130, 321};
    for (int[] head : heads) {
      for (int length : lengths) {
        int i = cases.size();
        Set<Option> options = EnumSet.noneOf(Option.class);
        for (Option option : Option.values()) {
          if ((i * 5 / 2 >> option.ordinal() & 1) == 1) {
            options.add(option);
          }
        }
        Set<Trait> traits = EnumSet.noneOf(Trait.class);
        if (i % 3 == 0) {
          traits.add(Trait.STRIDED);
        } else if (i % 4 == 2) {
          traits.add(Trait.BAD_IDS);
        }
        PonetPooling.Spec spec =
            new PonetPooling.Spec(
                EmbeddingGatherCases.FLOATS.get(i % 3),
                EmbeddingGatherCases.FLOATS.get(i / 2 % 3),
                DType.I32,
                head[0],
                head[1],
                new int[] {3, 5, 7, 1}[i % 4],
                PonetPooling.Flavour.values()[i / 2 % 2]);
        ValueSet values = i % 7 == 5 ? ValueSet.SPECIAL : ValueSet.values()[i % 2];
        Case of =
            new Case(
                "chunks-" + i,
                spec,
                List.of(length),
                Ids.values()[i / 5 % 4],
                options,
                values,
                traits,
                i);
        cases.add(new Document(of, i));
      }
    }
    return cases;
  }

  /** Any document, cut anyhow. */
  static Document random(SplittableRandom random) {
    List<Integer> lengths = List.of(random.nextInt(400));
    return new Document(
        PonetPoolingCases.random(
            random, lengths, random.nextInt(1, 4), random.nextInt(1, 40), null),
        random.nextLong());
  }
}

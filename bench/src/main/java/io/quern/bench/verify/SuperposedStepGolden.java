package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.BeamExpand;
import io.quern.op.TopK;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Superposed decoding, step by step {@code in.probs_top_values_i, in.probs_top_index_i →
 * out.alive_tokens_i, alive_logprob_i, superpose_weight_of_draft_token_i}: the candidates by {@link
 * TopK}, the drafts by {@link BeamExpand} with n-gram probabilities, which this class counts, as
 * its bias.
 */
final class SuperposedStepGolden implements GoldenOp {
  @Override
  public String name() {
    return "superposed_step";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    for (String output : golden.outputs()) {
      if (output.startsWith("alive_logprob")) {
        GoldenTensor scores = golden.output(output);
        for (long i = 0; i < scores.shape().size(); i++) {
          if (scores.asDouble(i) == Double.NEGATIVE_INFINITY) {
            return Optional.of(
                "drafts of probability 0, whose tokens are what torch.topk makes of equal values");
          }
        }
      }
    }
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int prompts = integer(golden, "n_prompts");
    int drafts = integer(golden, "n_drafts");
    Ngrams ngrams = golden.params().get("smoothing") == null ? null : new Ngrams(golden);
    List<List<long[]>> alive = new ArrayList<>();
    GoldenTensor prompt = golden.input("prompt");
    for (int p = 0; p < prompts; p++) {
      alive.add(List.of(row(prompt, p)));
    }
    float[] scores = new float[prompts];
    Map<String, GoldenTensor> results = new HashMap<>();
    for (int step = 0; golden.outputs().contains("alive_logprob_" + step); step++) {
      Step done = new Step(golden, operands, step, alive, scores, ngrams);
      alive = done.alive;
      scores = done.scores;
      long length = prompt.shape().last() + step + 1;
      results.put(
          "alive_tokens_" + step,
          new GoldenTensor(
              DType.I64,
              Shape.of(prompts, drafts, length),
              MemorySegment.ofArray(
                  alive.stream().flatMap(List::stream).flatMapToLong(Arrays::stream).toArray())));
      results.put("alive_logprob_" + step, floats(Shape.of(prompts, drafts), scores));
      results.put(
          "superpose_weight_of_draft_token_" + step,
          floats(Shape.of(prompts, drafts), done.weights));
    }
    return results;
  }

  /** One step of all prompts. */
  private static final class Step {
    private final List<List<long[]>> alive = new ArrayList<>();
    private final float[] scores;
    private final float[] weights;

    Step(
        GoldenCase golden,
        Operands operands,
        int step,
        List<List<long[]>> before,
        float[] scoresBefore,
        Ngrams ngrams) {
      GoldenTensor probabilities = golden.input("probs_top_values_" + step);
      GoldenTensor index = golden.input("probs_top_index_" + step);
      int prompts = before.size();
      int beams = before.getFirst().size();
      int drafts = integer(golden, "n_drafts");
      int candidates = integer(golden, "n_token_sample");

      var topK = new TopK.Spec(DType.F32, probabilities.shape().last(), candidates);
      Buffer values = operands.output(DType.F32, topK.outputShape(prompts));
      Buffer places = operands.output(DType.I32, topK.outputShape(prompts));
      TopK.plan(operands.device(), topK)
          .run(operands.stream(), operands.input(probabilities), values, places);
      GoldenTensor found = operands.result(places);
      int[] tokens = new int[prompts * candidates];
      for (int i = 0; i < tokens.length; i++) {
        long prompt = i / candidates;
        tokens[i] = (int) index.asLong(prompt * index.shape().last() + found.asLong(i));
      }

      var spec =
          BeamExpand.Spec.of(BeamExpand.Mode.SUM, beams, candidates, drafts)
              .withSharedCandidates()
              .withProbabilities()
              .withScale(ngrams == null ? 1 : (float) (1 - ngrams.alpha));
      Buffer bias = null;
      if (ngrams != null) {
        float[] added = new float[prompts * beams * candidates];
        for (int p = 0; p < prompts; p++) {
          for (int b = 0; b < beams; b++) {
            ngrams.addTo(
                added, (p * beams + b) * candidates, before.get(p).get(b), tokens, p, candidates);
          }
        }
        bias = operands.input(floats(Shape.of((long) prompts * beams, candidates), added));
      }
      Shape out = spec.outputShape(prompts);
      Buffer parents = operands.output(DType.I32, out);
      Buffer outTokens = operands.output(DType.I32, out);
      Buffer outScores = operands.output(DType.F32, out);
      Buffer outWeights = operands.output(DType.F32, out);
      BeamExpand.plan(operands.device(), spec)
          .run(
              operands.stream(),
              BeamExpand.Operands.sum(
                      operands.input(
                          new GoldenTensor(
                              DType.I32,
                              Shape.of(prompts, candidates),
                              MemorySegment.ofArray(tokens))),
                      values,
                      operands.input(floats(Shape.of(prompts, beams), scoresBefore)),
                      parents,
                      outTokens,
                      outScores)
                  .with(bias, outWeights));

      GoldenTensor parent = operands.result(parents);
      GoldenTensor token = operands.result(outTokens);
      scores = array(operands.result(outScores));
      float[] ofDraft = array(operands.result(outWeights));
      weights = new float[ofDraft.length];
      for (int p = 0; p < prompts; p++) {
        List<long[]> extended = new ArrayList<>();
        for (int d = 0; d < drafts; d++) {
          int i = p * drafts + d;
          long[] longer = before.get(p).get((int) parent.asLong(i));
          longer = Arrays.copyOf(longer, longer.length + 1);
          longer[longer.length - 1] = token.asLong(i);
          extended.add(longer);
          for (int other = p * drafts; other < (p + 1) * drafts; other++) {
            weights[i] += token.asLong(other) == token.asLong(i) ? ofDraft[other] : 0;
          }
        }
        alive.add(extended);
      }
    }
  }

  /** The n-gram model of a case: interpolated relative frequencies. */
  private static final class Ngrams {
    private final double alpha;
    private final double penalty;
    private final List<Double> weights = new ArrayList<>();
    private final List<Integer> lengths = new ArrayList<>();
    private final Map<List<Long>, Map<Long, Double>> counts = new HashMap<>();

    Ngrams(GoldenCase golden) {
      alpha = ((Number) golden.params().get("alpha")).doubleValue();
      penalty = ((Number) golden.params().get("penalty")).doubleValue();
      for (Object weight : (List<?>) golden.params().get("i_weights")) {
        weights.add(((Number) weight).doubleValue());
      }
      for (Object length : (List<?>) golden.params().get("i_length")) {
        lengths.add(((Number) length).intValue());
      }
      for (String name : List.of("bigram", "trigram")) {
        GoldenTensor grams = golden.input(name);
        for (long g = 0; g < grams.shape().dim(0); g++) {
          long[] gram = row(grams, g);
          int n = gram.length - 2; // the context; then the token and its count
          counts
              .computeIfAbsent(list(gram, 0, n), context -> new HashMap<>())
              .put(gram[n], (double) gram[n + 1]);
        }
      }
    }

    /** Writes α log p of a draft's candidates; the penalty where it has none. */
    void addTo(float[] added, int at, long[] draft, int[] tokens, int prompt, int candidates) {
      boolean any = false;
      for (int c = 0; c < candidates; c++) {
        double p = probability(draft, tokens[prompt * candidates + c]);
        any |= p > 0;
        added[at + c] = (float) (alpha * Math.log(p));
      }
      if (!any) {
        Arrays.fill(added, at, at + candidates, (float) -penalty);
      }
    }

    private double probability(long[] draft, long token) {
      double p = 0;
      for (int i = 0; i < lengths.size(); i++) {
        Map<Long, Double> next =
            counts.getOrDefault(
                list(draft, draft.length - lengths.get(i), lengths.get(i)), Map.of());
        double total = next.values().stream().mapToDouble(count -> count).sum();
        p += total == 0 ? 0 : weights.get(i) * next.getOrDefault(token, 0.0) / total;
      }
      return p;
    }

    private static List<Long> list(long[] tokens, int from, int n) {
      return Arrays.stream(tokens, from, from + n).boxed().toList();
    }
  }

  private static int integer(GoldenCase golden, String parameter) {
    return ((Number) golden.params().get(parameter)).intValue();
  }

  private static long[] row(GoldenTensor tensor, long row) {
    long[] values = new long[(int) tensor.shape().last()];
    for (int i = 0; i < values.length; i++) {
      values[i] = tensor.asLong(row * values.length + i);
    }
    return values;
  }

  private static float[] array(GoldenTensor tensor) {
    float[] values = new float[(int) tensor.shape().size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) tensor.asDouble(i);
    }
    return values;
  }

  private static GoldenTensor floats(Shape shape, float[] values) {
    return new GoldenTensor(DType.F32, shape, MemorySegment.ofArray(values));
  }
}

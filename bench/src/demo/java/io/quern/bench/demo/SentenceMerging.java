package io.quern.bench.demo;

import ai.onnxruntime.OrtException;
import io.quern.Device;
import io.quern.bench.report.LineChart;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * What merging does to sentence embeddings: tokens are merged behind some layer, the layers behind
 * it go on with what is left, and the result is compared with the embedding of all tokens.
 */
final class SentenceMerging {
  /** A number of layers that means all: merging is then followed by pooling only. */
  private static final int ALL = MiniLmEncoder.LAYERS;

  private static final List<Integer> CUTS = List.of(1, 3, 5);
  private static final int[] PERCENT = {10, 20, 30, 40, 50};
  private static final int SENTENCES = 60;
  private static final int LEAST_TOKENS = 24;
  private static final int MOST_TOKENS = 120;
  private static final int LEAST_WORDS = 18;
  private static final Pattern SENTENCE_END = Pattern.compile("(?<=[.!?])\\s+(?=[A-Z])");

  /** The sentence of the picture: recognisable, and of few enough tokens. */
  private static final String SHOWN = "She had been forced into prudence in her youth";

  private static final int SHOWN_CUT = 1;

  private final List<Device> devices;
  private final MiniLmEncoder encoder;
  private final List<String> disagreements = new ArrayList<>();

  SentenceMerging(List<Device> devices, MiniLmEncoder encoder) {
    this.devices = devices;
    this.encoder = encoder;
  }

  static List<Integer> cuts() {
    return CUTS;
  }

  /** Back ends that gave other bits. */
  List<String> disagreements() {
    return disagreements;
  }

  /** Sentences of a text, spread over it, neither short nor long. */
  static List<String> sentences(List<String> lines) {
    List<String> all =
        Arrays.stream(SENTENCE_END.split(String.join(" ", lines)))
            .map(sentence -> sentence.strip().replaceAll("\\s+", " "))
            .filter(sentence -> sentence.split(" ").length >= LEAST_WORDS)
            .toList();
    List<String> some = new ArrayList<>();
    for (int i = 0; i < SENTENCES; i++) {
      some.add(all.get((int) ((long) i * all.size() / SENTENCES)));
    }
    return some;
  }

  /** The sentence that is drawn. */
  static String shown(List<String> lines) {
    return Arrays.stream(SENTENCE_END.split(String.join(" ", lines)))
        .map(sentence -> sentence.strip().replaceAll("\\s+", " "))
        .filter(sentence -> sentence.startsWith(SHOWN))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException("no sentence begins with " + SHOWN));
  }

  /** Cosines to the embedding of all tokens. */
  private static final class Cosines {
    private double sum;
    private double least = 1;
    private int count;

    void add(double cosine) {
      sum += cosine;
      least = Math.min(least, cosine);
      count++;
    }

    double mean() {
      return sum / count;
    }
  }

  /** Prints the table and returns the chart. */
  String compare(List<String> sentences, PrintStream out) throws IOException, OrtException {
    List<MiniLmEncoder.Pass> passes = new ArrayList<>();
    for (long[] ids : MiniLm.tokenize(sentences)) {
      if (ids.length + 2 >= LEAST_TOKENS && ids.length + 2 <= MOST_TOKENS) {
        passes.add(encoder.run(ids));
      }
    }
    LineChart chart =
        new LineChart(
            "MiniLM sentence embeddings after merging tokens once",
            "tokens saved in the layers that follow, %",
            "mean cosine to the embedding of all tokens");
    out.printf(
        "%d sentences of %d to %d tokens, %.1f on average; cosine to the embedding of all tokens%n",
        passes.size(),
        LEAST_TOKENS,
        MOST_TOKENS,
        passes.stream().mapToInt(MiniLmEncoder.Pass::tokens).average().orElse(0));
    out.println("merged behind  tokens saved   mean     least    sizes ignored: mean");
    List<Integer> cuts = new ArrayList<>(CUTS);
    cuts.add(ALL);
    for (int cut : cuts) {
      List<double[]> line = new ArrayList<>(List.of(new double[] {0, 1}));
      List<double[]> ignoring = new ArrayList<>(List.of(new double[] {0, 1}));
      for (int percent : PERCENT) {
        Cosines cosines = new Cosines();
        Cosines withoutSizes = new Cosines();
        double saved = 0;
        for (MiniLmEncoder.Pass pass : passes) {
          saved += 100.0 * merge(pass, cut, percent, cosines, withoutSizes) / pass.tokens();
        }
        saved /= passes.size();
        line.add(new double[] {saved, cosines.mean()});
        ignoring.add(new double[] {saved, withoutSizes.mean()});
        out.printf(
            Locale.ROOT,
            "layer %d of %d       %4.1f %%   %.5f  %.5f  %.5f%n",
            cut,
            ALL,
            saved,
            cosines.mean(),
            cosines.least,
            withoutSizes.mean());
      }
      String name = cut == ALL ? "pooled only" : "behind layer %d".formatted(cut);
      chart.line(name, line);
      if (cut != ALL) {
        chart.dashed(name + ", sizes ignored", ignoring);
      }
    }
    return chart.svg();
  }

  /** Merges a share of a sentence's tokens; returns how many are gone. */
  private int merge(
      MiniLmEncoder.Pass pass, int cut, int percent, Cosines cosines, Cosines withoutSizes)
      throws OrtException {
    float[] states = cut == ALL ? pass.last() : pass.states().get(cut);
    float[] metric = cut == ALL ? pass.last() : pass.keys().get(cut);
    int r = pass.tokens() * percent / 100;
    float[] first = null;
    for (Device device : devices) {
      try (DeviceMerge merge = new DeviceMerge(device, states, metric, pass.tokens())) {
        merge.merge(r, true);
        if (first != null) {
          if (!Arrays.equals(first, merge.states())) {
            disagreements.add("%s merges a sentence otherwise".formatted(device.name()));
          }
          continue;
        }
        first = merge.states();
        float[] sizes = merge.sizes();
        float[] ones = new float[sizes.length];
        Arrays.fill(ones, 1);
        float[] whole = ones(pass.tokens());
        float[] wanted = pooled(pass.last(), whole);
        float[] last = first;
        float[] lastWithout = first;
        if (cut != ALL) {
          float[] bias = new float[sizes.length]; // proportional attention
          for (int n = 0; n < bias.length; n++) {
            bias[n] = (float) Math.log(sizes[n]);
          }
          last = encoder.rest(cut, first, bias);
          lastWithout = encoder.rest(cut, first, new float[bias.length]);
        }
        cosines.add(cosine(wanted, pooled(last, sizes)));
        withoutSizes.add(cosine(wanted, pooled(lastWithout, ones)));
      }
    }
    return pass.tokens() - first.length / MiniLmEncoder.DIM;
  }

  private static float[] ones(int count) {
    float[] ones = new float[count];
    Arrays.fill(ones, 1);
    return ones;
  }

  private static float[] pooled(float[] states, float[] sizes) {
    float[] sum = new float[MiniLmEncoder.DIM];
    for (int n = 0; n < sizes.length; n++) {
      for (int k = 0; k < sum.length; k++) {
        sum[k] += sizes[n] * states[n * sum.length + k];
      }
    }
    return sum; // its length does not matter to a cosine
  }

  private static double cosine(float[] a, float[] b) {
    double dot = 0;
    double normA = 0;
    double normB = 0;
    for (int k = 0; k < a.length; k++) {
      dot += (double) a[k] * b[k];
      normA += (double) a[k] * a[k];
      normB += (double) b[k] * b[k];
    }
    return dot / Math.sqrt(normA * normB);
  }

  /** Merges one sentence twice and returns the picture of it. */
  String picture(String sentence) throws IOException, OrtException {
    MiniLmEncoder.Pass pass = encoder.run(MiniLm.tokenize(List.of(sentence)).getFirst());
    List<String> words = new ArrayList<>(List.of("[CLS]"));
    words.addAll(List.of(MiniLm.tokens(List.of(sentence)).getFirst()));
    words.add("[SEP]");
    try (DeviceMerge merge =
        new DeviceMerge(
            devices.getLast(),
            pass.states().get(SHOWN_CUT),
            pass.keys().get(SHOWN_CUT),
            pass.tokens())) {
      int before = merge.tokens();
      merge.merge(before * 30 / 100, true);
      int[] once = merge.groups();
      int between = merge.tokens();
      merge.merge(between * 30 / 100, true);
      return MergePictures.sentence(
          words,
          List.of(once, merge.groups()),
          List.of(
              "%d tokens, of which %d are left".formatted(before, between),
              "and then %d".formatted(merge.tokens())));
    }
  }
}

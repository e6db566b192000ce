package io.quern.bench.demo;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.quern.bench.onnx.OnnxModel;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * The published all-MiniLM-L6-v2 sentence embedding model: its word embeddings, its tokenizer, and
 * the node that looks words up. Both files are resources of a Maven artifact.
 */
final class MiniLm {
  private static final String MODEL = "/all-minilm-l6-v2.onnx";
  private static final String TOKENIZER = "/all-minilm-l6-v2-tokenizer.json";
  private static final String TABLE = "embeddings.word_embeddings.weight";

  private final OnnxModel model;
  private final OnnxModel.Tensor weight;

  private MiniLm(OnnxModel model, OnnxModel.Tensor weight) {
    this.model = model;
    this.weight = weight;
  }

  static MiniLm load() throws IOException {
    try (InputStream in = resource(MODEL)) {
      OnnxModel model = OnnxModel.read(MemorySegment.ofArray(in.readAllBytes()));
      OnnxModel.Tensor weight = model.initializer(TABLE);
      if (weight.dataType() != OnnxModel.FLOAT || weight.dims().size() != 2) {
        throw new IOException("%s is no matrix of floats: %s".formatted(TABLE, weight));
      }
      return new MiniLm(model, weight);
    }
  }

  long vocabulary() {
    return weight.dims().get(0);
  }

  int dimension() {
    return Math.toIntExact(weight.dims().get(1));
  }

  /** The word embeddings, copied out of the file into aligned native memory. */
  MemorySegment table(Arena arena) {
    MemorySegment table = arena.allocate(weight.data().byteSize(), 64);
    return table.copyFrom(weight.data());
  }

  /** A model that is the lookup alone, for a runtime to execute. */
  byte[] lookup() {
    return model.extract(node());
  }

  OnnxModel.Gather node() {
    return model.gather(TABLE);
  }

  /** A part of the model, for a runtime to execute: {@link OnnxModel#part}. */
  byte[] part(List<String> given, List<String> wanted) {
    return model.part(given, wanted);
  }

  /** The token ids of each line, without the marks that the model wants around a sentence. */
  static List<long[]> tokenize(List<String> lines) throws IOException {
    return encode(lines, Encoding::getIds);
  }

  /** The tokens of each line as text, likewise. */
  static List<String[]> tokens(List<String> lines) throws IOException {
    return encode(lines, Encoding::getTokens);
  }

  private static <T> List<T> encode(List<String> lines, Function<Encoding, T> part)
      throws IOException {
    // Nothing is downloaded, not even on a machine with a GPU: the library in the jar will do.
    System.setProperty("ai.djl.offline", "true");
    System.setProperty("OPT_OUT_TRACKING", "true");
    System.setProperty("RUST_FLAVOR", "cpu");
    // It would look for GPUs with a CUDA runtime of its own, whose symbols it makes global; there
    // is to be one runtime in this process, so let it look in another.
    System.setProperty("ai.djl.util.cuda.fork", "true");
    try (InputStream in = resource(TOKENIZER);
        HuggingFaceTokenizer tokenizer =
            HuggingFaceTokenizer.newInstance(
                in,
                Map.of("addSpecialTokens", "false", "padding", "false", "truncation", "false"))) {
      return lines.stream().map(line -> part.apply(tokenizer.encode(line))).toList();
    }
  }

  private static InputStream resource(String name) throws IOException {
    InputStream in = MiniLm.class.getResourceAsStream(name);
    if (in == null) {
      throw new IOException(name + " is not on the class path");
    }
    return in;
  }
}

package io.quern.bench.demo;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * MiniLM executed by ONNX Runtime, cut open behind some of its layers, so that what goes on to the
 * next one can be changed.
 */
final class MiniLmEncoder implements AutoCloseable {
  static final int LAYERS = 6;
  static final int DIM = 384;
  private static final int HEADS = 12;
  private static final long CLS = 101;
  private static final long SEP = 102;

  /** What the attention of every layer adds to its scores: [1, 1, 1, tokens]. */
  private static final String BIAS = "/Mul_output_0";

  private static final String LAST = "last_hidden_state";

  private final OrtEnvironment environment =
      OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "quern");
  private final List<Integer> cuts;
  private final OrtSession whole;
  private final Map<Integer, OrtSession> rests = new HashMap<>();

  /**
   * What one pass leaves behind.
   *
   * @param last states behind the last layer, [tokens, DIM]
   * @param states behind the first layers, by their number, likewise
   * @param keys of the last of these layers, [tokens, DIM / HEADS]: means over its heads
   */
  record Pass(int tokens, float[] last, Map<Integer, float[]> states, Map<Integer, float[]> keys) {}

  /**
   * Opens the model.
   *
   * @param cuts numbers of first layers, 1 to LAYERS − 1
   */
  MiniLmEncoder(MiniLm model, List<Integer> cuts) throws OrtException {
    this.cuts = cuts;
    List<String> wanted = new ArrayList<>(List.of(LAST));
    for (int cut : cuts) {
      wanted.add(state(cut));
      wanted.add(key(cut));
    }
    whole = session(model.part(List.of(), wanted));
    for (int cut : cuts) {
      rests.put(cut, session(model.part(List.of(state(cut), BIAS), List.of(LAST))));
    }
  }

  private static String state(int layers) {
    return "/encoder/layer.%d/output/LayerNorm/Add_1_output_0".formatted(layers - 1);
  }

  private static String key(int layers) {
    return "/encoder/layer.%d/attention/self/key/Add_output_0".formatted(layers - 1);
  }

  private OrtSession session(byte[] model) throws OrtException {
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      options.setInterOpNumThreads(1);
      return environment.createSession(model, options);
    }
  }

  /** Runs all layers over a sentence, the model's marks around it. */
  Pass run(long[] ids) throws OrtException {
    int tokens = ids.length + 2;
    long[] marked = new long[tokens];
    marked[0] = CLS;
    System.arraycopy(ids, 0, marked, 1, ids.length);
    marked[tokens - 1] = SEP;
    long[] ones = new long[tokens];
    Arrays.fill(ones, 1);
    long[] shape = {1, tokens};
    try (OnnxTensor input = OnnxTensor.createTensor(environment, LongBuffer.wrap(marked), shape);
        OnnxTensor mask = OnnxTensor.createTensor(environment, LongBuffer.wrap(ones), shape);
        OnnxTensor types =
            OnnxTensor.createTensor(environment, LongBuffer.wrap(new long[tokens]), shape);
        OrtSession.Result result =
            whole.run(
                Map.of("input_ids", input, "attention_mask", mask, "token_type_ids", types))) {
      Map<Integer, float[]> states = new HashMap<>();
      Map<Integer, float[]> keys = new HashMap<>();
      for (int cut : cuts) {
        states.put(cut, floats(result, state(cut)));
        keys.put(cut, meanOverHeads(floats(result, key(cut)), tokens));
      }
      return new Pass(tokens, floats(result, LAST), states, keys);
    }
  }

  /**
   * Runs the layers behind a cut.
   *
   * @param bias added to every score of a token's key
   */
  float[] rest(int cut, float[] states, float[] bias) throws OrtException {
    int tokens = bias.length;
    try (OnnxTensor input =
            OnnxTensor.createTensor(
                environment, FloatBuffer.wrap(states), new long[] {1, tokens, DIM});
        OnnxTensor added =
            OnnxTensor.createTensor(
                environment, FloatBuffer.wrap(bias), new long[] {1, 1, 1, tokens});
        OrtSession.Result result = rests.get(cut).run(Map.of(state(cut), input, BIAS, added))) {
      return floats(result, LAST);
    }
  }

  private static float[] floats(OrtSession.Result result, String name) {
    FloatBuffer buffer = ((OnnxTensor) result.get(name).orElseThrow()).getFloatBuffer();
    float[] values = new float[buffer.remaining()];
    buffer.get(values);
    return values;
  }

  private static float[] meanOverHeads(float[] keys, int tokens) {
    int headDim = DIM / HEADS;
    float[] mean = new float[tokens * headDim];
    for (int n = 0; n < tokens; n++) {
      for (int k = 0; k < DIM; k++) {
        mean[n * headDim + k % headDim] += keys[n * DIM + k] / HEADS;
      }
    }
    return mean;
  }

  @Override
  public void close() throws OrtException {
    whole.close();
    for (OrtSession rest : rests.values()) {
      rest.close();
    }
  }
}

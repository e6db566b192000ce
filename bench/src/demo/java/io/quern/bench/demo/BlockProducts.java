package io.quern.bench.demo;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import io.quern.bench.onnx.OnnxModel;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * The matrix products of a transformer's block, executed by ONNX Runtime on one thread. What is
 * between them (norms, softmax, GELU) is left out, so that a block takes longer.
 */
final class BlockProducts implements AutoCloseable {
  /** Of more tokens a matrix of scores is large, and one head's time stands for the others'. */
  private static final int MANY_TOKENS = 1024;

  /** A product is repeated so often, or until it took so long; the least time counts. */
  private static final int REPEATS = 5;

  private static final long PATIENCE = 400_000_000;

  private final OrtEnvironment environment =
      OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "quern");
  private final OrtSession matMul;
  private final long dim;
  private final long heads;
  private final Map<String, Double> measured = new LinkedHashMap<>();

  BlockProducts(int dim, int heads) throws OrtException {
    this.dim = dim;
    this.heads = heads;
    Map<String, Integer> inputs = new LinkedHashMap<>();
    inputs.put("a", OnnxModel.FLOAT);
    inputs.put("b", OnnxModel.FLOAT);
    byte[] model = OnnxModel.ofNode("MatMul", inputs, Map.of("y", OnnxModel.FLOAT));
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      options.setInterOpNumThreads(1);
      matMul = environment.createSession(model, options);
    }
  }

  /** Multiplications of a block with so many tokens in its attention, and in its MLP. */
  double macs(long tokens, long left) {
    return 4.0 * tokens * dim * dim + 2.0 * tokens * tokens * dim + 8.0 * left * dim * dim;
  }

  /** Seconds of a block with so many tokens in its attention, and in its MLP. */
  double seconds(int batch, int tokens, int left) throws OrtException {
    return projections(batch, tokens) + scores(batch, tokens) + mlp(batch, left);
  }

  /** Seconds of queries, keys, values and output of a block's attention. */
  double projections(int batch, int tokens) throws OrtException {
    long rows = (long) batch * tokens;
    return product(new long[] {rows, dim}, new long[] {dim, 3 * dim})
        + product(new long[] {rows, dim}, new long[] {dim, dim});
  }

  /** Seconds of a block's scores and of the values they weigh; of some heads, the others alike. */
  double scores(int batch, int tokens) throws OrtException {
    long measured = tokens > MANY_TOKENS ? 1 : heads;
    long headDim = dim / heads;
    return (double) batch
        * heads
        / measured
        * (product(new long[] {measured, tokens, headDim}, new long[] {measured, headDim, tokens})
            + product(
                new long[] {measured, tokens, tokens}, new long[] {measured, tokens, headDim}));
  }

  /** Seconds of a block's MLP. */
  double mlp(int batch, int tokens) throws OrtException {
    long rows = (long) batch * tokens;
    return product(new long[] {rows, dim}, new long[] {dim, 4 * dim})
        + product(new long[] {rows, 4 * dim}, new long[] {4 * dim, dim});
  }

  private double product(long[] a, long[] b) throws OrtException {
    String shape = Arrays.toString(a) + Arrays.toString(b);
    Double known = measured.get(shape);
    if (known != null) {
      return known;
    }
    long[] c = a.clone();
    c[c.length - 1] = b[b.length - 1];
    double least = Double.POSITIVE_INFINITY;
    try (OnnxTensor left = tensor(a);
        OnnxTensor right = tensor(b);
        OnnxTensor out = tensor(c)) {
      long begin = System.nanoTime();
      for (int i = 0; i < REPEATS && (i < 2 || System.nanoTime() - begin < PATIENCE); i++) {
        long start = System.nanoTime();
        matMul.run(Map.of("a", left, "b", right), Map.of("y", out)).close();
        least = Math.min(least, (System.nanoTime() - start) * 1e-9);
      }
    }
    measured.put(shape, least);
    return least;
  }

  private OnnxTensor tensor(long[] shape) throws OrtException {
    long elements = Arrays.stream(shape).reduce(1, Math::multiplyExact);
    FloatBuffer values =
        ByteBuffer.allocateDirect(Math.toIntExact(elements * Float.BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    SplittableRandom random = new SplittableRandom(elements);
    for (int i = 0; i < elements; i++) {
      values.put(i, random.nextFloat() - 0.5f);
    }
    return OnnxTensor.createTensor(environment, values, shape);
  }

  @Override
  public void close() throws OrtException {
    matMul.close();
  }
}

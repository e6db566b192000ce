package io.quern.bench.demo;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import io.quern.bench.measure.Contender;
import io.quern.bench.measure.Output;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Map;

/**
 * ONNX Runtime executing a model's own Gather node: one thread, ids and output in memory that it
 * uses as it is, so that it copies no more than anybody else.
 */
final class OnnxRuntimeGather implements Contender {
  private final OrtSession session;
  private final OnnxTensor ids;
  private final OnnxTensor out;
  private final Output shared;
  private final Map<String, OnnxTensor> inputs;
  private final Map<String, OnnxTensor> outputs;

  /**
   * Opens a session on the part of a model that looks embeddings up.
   *
   * @param ids the ids to look up
   * @param shared where the rows go: {@code ids.length × dimension} floats
   */
  OnnxRuntimeGather(MiniLm model, int[] ids, Output shared) throws OrtException {
    OrtEnvironment environment =
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "quern");
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      options.setInterOpNumThreads(1);
      this.session = environment.createSession(model.lookup(), options);
    }
    LongBuffer wide =
        ByteBuffer.allocateDirect(ids.length * Long.BYTES)
            .order(ByteOrder.nativeOrder())
            .asLongBuffer();
    for (int id : ids) {
      wide.put(id);
    }
    FloatBuffer rows =
        shared.memory().asByteBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer();
    this.ids = OnnxTensor.createTensor(environment, wide.flip(), new long[] {1, ids.length});
    this.out =
        OnnxTensor.createTensor(environment, rows, new long[] {1, ids.length, model.dimension()});
    this.shared = shared;
    this.inputs = Map.of(model.node().ids(), this.ids);
    this.outputs = Map.of(model.node().output(), this.out);
  }

  @Override
  public String name() {
    return "onnxruntime";
  }

  /** Always all ids: there is nothing to warm up with a few. */
  @Override
  public void run(int set) {
    if (set == FEW) {
      return;
    }
    try {
      session.run(inputs, outputs).close();
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void poison() {
    shared.reset();
  }

  @Override
  public Map<String, MemorySegment> results() {
    return Map.of("out", shared.memory());
  }

  @Override
  public void close() {
    out.close();
    ids.close();
    try {
      session.close();
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }
}

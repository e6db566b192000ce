package io.quern.bench.peers;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import io.quern.DType;
import io.quern.Shape;
import io.quern.bench.measure.Contender;
import io.quern.bench.measure.Input;
import io.quern.bench.measure.Output;
import io.quern.bench.measure.Peer;
import io.quern.bench.measure.PeerEngine;
import io.quern.bench.measure.Workload;
import io.quern.bench.onnx.OnnxModel;
import io.quern.bench.verify.Tolerance;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Single ONNX operators in ONNX Runtime, on the memory that everybody else uses. */
public final class OnnxRuntime implements PeerEngine {
  private static final Map<DType, Type> TYPES =
      Map.of(
          DType.F32, new Type(OnnxJavaType.FLOAT, OnnxModel.FLOAT),
          DType.U8, new Type(OnnxJavaType.UINT8, 2),
          DType.I8, new Type(OnnxJavaType.INT8, 3),
          DType.I32, new Type(OnnxJavaType.INT32, 6),
          DType.I64, new Type(OnnxJavaType.INT64, 7),
          DType.BOOL, new Type(OnnxJavaType.BOOL, 9),
          DType.F16, new Type(OnnxJavaType.FLOAT16, 10),
          DType.BF16, new Type(OnnxJavaType.BFLOAT16, 16));

  /**
   * An element type.
   *
   * @param java as the runtime's Java classes name it
   * @param number its {@code TensorProto.DataType}
   */
  private record Type(OnnxJavaType java, int number) {}

  @Override
  public String name() {
    return Peer.ONNX;
  }

  @Override
  public Contender open(Peer peer, Workload workload, int threads) {
    try {
      return new Node(peer, workload, threads);
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }

  private static final class Node implements Contender {
    private final Peer peer;
    private final Workload workload;
    private final OrtEnvironment environment =
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "quern");
    private final OrtSession session;
    private final List<OnnxTensor> tensors = new ArrayList<>();
    private final List<Map<String, OnnxTensor>> inputs = new ArrayList<>(); // by input set
    private final Map<String, OnnxTensor> outputs = new LinkedHashMap<>();

    Node(Peer peer, Workload workload, int threads) throws OrtException {
      this.peer = peer;
      this.workload = workload;
      Map<String, Integer> inputTypes = new LinkedHashMap<>();
      Map<String, Integer> outputTypes = new LinkedHashMap<>();
      for (Object argument : peer.arguments()) {
        String name = (String) argument;
        if (workload.outputs().containsKey(name)) {
          Output output = workload.outputs().get(name);
          outputTypes.put(name, TYPES.get(output.dtype()).number());
          outputs.put(name, tensor(output.memory(), output.dtype(), output.shape()));
        } else {
          inputTypes.put(name, TYPES.get(workload.inputs().get(name).dtype()).number());
        }
      }
      for (int set = 0; set < workload.inputSets(); set++) {
        Map<String, OnnxTensor> placed = new LinkedHashMap<>();
        for (String name : inputTypes.keySet()) {
          Input input = workload.inputs().get(name);
          placed.put(name, tensor(input.of(set), input.dtype(), input.shape()));
        }
        inputs.add(placed);
      }
      try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
        options.setIntraOpNumThreads(threads);
        options.setInterOpNumThreads(1);
        byte[] model = OnnxModel.ofNode(peer.program(), inputTypes, outputTypes);
        this.session = environment.createSession(model, options);
      }
    }

    /** The memory itself, not a copy. */
    private OnnxTensor tensor(MemorySegment memory, DType dtype, Shape shape) throws OrtException {
      long[] dims = new long[shape.rank()];
      Arrays.setAll(dims, shape::dim);
      OnnxTensor tensor =
          OnnxTensor.createTensor(
              environment,
              memory.asByteBuffer().order(ByteOrder.nativeOrder()),
              dims,
              TYPES.get(dtype).java());
      tensors.add(tensor);
      return tensor;
    }

    @Override
    public String name() {
      return peer.name();
    }

    @Override
    public Tolerance tolerance() {
      return peer.tolerance();
    }

    /** Always all rows: a peer is compiled already. */
    @Override
    public void run(int set) {
      try {
        session.run(inputs.get(Math.max(0, set)), outputs).close();
      } catch (OrtException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public void poison() {
      workload.outputs().values().forEach(Output::reset);
    }

    @Override
    public Map<String, MemorySegment> results() {
      Map<String, MemorySegment> results = new LinkedHashMap<>();
      outputs.keySet().forEach(name -> results.put(name, workload.outputs().get(name).memory()));
      return results;
    }

    @Override
    public void close() {
      tensors.forEach(OnnxTensor::close);
      try {
        session.close();
      } catch (OrtException e) {
        throw new IllegalStateException(e);
      }
    }
  }
}

package io.quern.bench.peers;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.JniUtils;
import io.quern.DType;
import io.quern.bench.measure.Contender;
import io.quern.bench.measure.Input;
import io.quern.bench.measure.Output;
import io.quern.bench.measure.Peer;
import io.quern.bench.measure.PeerEngine;
import io.quern.bench.measure.Workload;
import io.quern.bench.verify.Tolerance;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * TorchScript programs in libtorch, called through DJL on the memory that everybody else uses. A
 * call costs 2 to 9 µs before anything is computed.
 */
public final class Libtorch implements PeerEngine {
  private static final Map<DType, DataType> TYPES =
      Map.of(
          DType.F32, DataType.FLOAT32,
          DType.F16, DataType.FLOAT16,
          DType.BF16, DataType.BFLOAT16,
          DType.F64, DataType.FLOAT64,
          DType.I8, DataType.INT8,
          DType.U8, DataType.UINT8,
          DType.I32, DataType.INT32,
          DType.I64, DataType.INT64,
          DType.BOOL, DataType.BOOLEAN);

  @Override
  public String name() {
    return Peer.TORCH;
  }

  @Override
  public Contender open(Peer peer, Workload workload, int threads) {
    System.setProperty("ai.djl.offline", "true"); // read when the engine is loaded
    PtNDManager manager =
        (PtNDManager) Engine.getEngine("PyTorch").newBaseManager(Device.cpu()).newSubManager();
    JniUtils.setNumThreads(threads);
    return new Program(peer, workload, manager);
  }

  private static final class Program implements Contender {
    private final Peer peer;
    private final Workload workload;
    private final PtNDManager manager;
    private final PtSymbolBlock program;
    private final IValue[][] arguments; // by input set
    private IValue last;

    Program(Peer peer, Workload workload, PtNDManager manager) {
      this.peer = peer;
      this.workload = workload;
      this.manager = manager;
      String archive = peer.program() + ".pt";
      try (InputStream in = Libtorch.class.getResourceAsStream(archive)) {
        if (in == null) {
          throw new IllegalArgumentException("no archive is called " + archive);
        }
        this.program = JniUtils.loadModule(manager, in, false, false);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      this.arguments = new IValue[workload.inputSets()][];
      for (int set = 0; set < arguments.length; set++) {
        int chosen = set;
        arguments[set] =
            peer.arguments().stream().map(a -> argument(a, chosen)).toArray(IValue[]::new);
      }
    }

    private IValue argument(Object argument, int set) {
      return switch (argument) {
        case Long number -> IValue.from(number);
        case Double number -> IValue.from(number);
        case Boolean flag -> IValue.from(flag);
        case String name when workload.inputs().containsKey(name) -> {
          Input input = workload.inputs().get(name);
          yield tensor(input.of(set), input.dtype(), input.shape());
        }
        case String name when workload.outputs().containsKey(name) -> {
          Output output = workload.outputs().get(name);
          yield tensor(output.memory(), output.dtype(), output.shape());
        }
        default -> throw new IllegalArgumentException(peer.name() + ": no argument " + argument);
      };
    }

    /** The memory itself, not a copy. */
    private IValue tensor(MemorySegment memory, DType dtype, io.quern.Shape shape) {
      long[] dims = new long[shape.rank()];
      Arrays.setAll(dims, shape::dim);
      return IValue.from(
          manager.create(
              memory.asByteBuffer().order(ByteOrder.nativeOrder()),
              new Shape(dims),
              TYPES.get(dtype)));
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
      if (last != null) {
        last.close();
      }
      last = program.forward(arguments[Math.max(0, set)]);
    }

    @Override
    public void poison() {
      workload.outputs().values().forEach(Output::reset);
    }

    @Override
    public Map<String, MemorySegment> results() {
      Map<String, MemorySegment> results = new LinkedHashMap<>();
      workload
          .outputs()
          .forEach(
              (name, output) -> {
                if (peer.arguments().contains(name)) {
                  results.put(name, output.memory());
                }
              });
      if (peer.outputs().isEmpty()) {
        return results;
      }
      List<NDArray> returned = new ArrayList<>(last.toNDList(manager));
      for (int i = 0; i < returned.size(); i++) {
        String name = peer.outputs().get(i);
        results.put(name, values(returned.get(i), workload.outputs().get(name)));
        returned.get(i).close();
      }
      return results;
    }

    /** A result as the workload's output has it: libtorch's indices are int64. */
    private static MemorySegment values(NDArray array, Output output) {
      ByteBuffer bytes = array.toByteBuffer();
      if (array.getDataType() == DataType.INT64 && output.dtype() == DType.I32) {
        long[] wide = MemorySegment.ofBuffer(bytes).toArray(ValueLayout.JAVA_LONG_UNALIGNED);
        return MemorySegment.ofArray(Arrays.stream(wide).mapToInt(Math::toIntExact).toArray());
      }
      if (array.getDataType() != TYPES.get(output.dtype())) {
        throw new IllegalStateException(
            "%s where %s is expected".formatted(array.getDataType(), output.dtype()));
      }
      return MemorySegment.ofBuffer(bytes);
    }

    @Override
    public void close() {
      if (last != null) {
        last.close();
      }
      program.close();
      manager.close();
    }
  }
}

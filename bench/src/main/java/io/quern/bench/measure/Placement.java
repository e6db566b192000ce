package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.HostBuffer;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A workload's operands where one device wants them: wrapped for a CPU, copied for a GPU. */
public final class Placement implements AutoCloseable {
  private final Device device;
  private final Stream stream;
  private final Workload workload;
  private final List<Buffer> buffers = new ArrayList<>();
  private final Map<String, List<Buffer>> inputs = new HashMap<>();
  private final Map<String, Buffer> outputs = new HashMap<>();

  Placement(Device device, Workload workload) {
    this.device = device;
    this.stream = device.openStream();
    this.workload = workload;
  }

  public Device device() {
    return device;
  }

  /** What the runs are queued on. */
  public Stream stream() {
    return stream;
  }

  /** An input that is the same for all runs. */
  public Buffer input(String name) {
    return inputs(name).getFirst();
  }

  /** An input, set by set. */
  public List<Buffer> inputs(String name) {
    return inputs.computeIfAbsent(
        name,
        missing -> {
          Input input = workload.inputs().get(missing);
          return input.sets().stream()
              .map(set -> place(set, input.dtype(), input.shape()))
              .toList();
        });
  }

  /** An output. */
  public Buffer output(String name) {
    return outputs.computeIfAbsent(
        name,
        missing -> {
          Output output = workload.outputs().get(missing);
          return place(output.memory(), output.dtype(), output.shape());
        });
  }

  /** Memory that is neither input nor output. */
  public Buffer scratch(DType dtype, Shape shape) {
    return kept(device.allocate(dtype, shape));
  }

  private Buffer place(MemorySegment segment, DType dtype, Shape shape) {
    if (device instanceof CpuDevice) {
      return kept(HostBuffer.wrap(segment, dtype, shape));
    }
    Buffer buffer = kept(device.allocate(dtype, shape));
    buffer.copyFrom(segment, stream);
    return buffer;
  }

  private Buffer kept(Buffer buffer) {
    buffers.add(buffer);
    return buffer;
  }

  @Override
  public void close() {
    stream.close();
    buffers.forEach(Buffer::close);
  }
}

package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.CudaDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.Event;
import io.quern.HostBuffer;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** A back end of Quern computing a workload on operands that lie where its device wants them. */
abstract class DeviceContender implements Contender {
  protected final Device device;
  protected final Stream stream;
  private final List<Buffer> operands = new ArrayList<>();
  private final Event start;
  private final Event end;
  private final Buffer out;
  private final MemorySegment result;

  /**
   * Opens a stream on a device.
   *
   * @param result where {@link #result} puts the output; a CPU device computes right into it
   */
  DeviceContender(Device device, MemorySegment result, Shape shape) {
    this.device = device;
    this.stream = device.openStream();
    this.start = device.openEvent();
    this.end = device.openEvent();
    this.result = result;
    this.out = place(result, DType.F32, shape);
  }

  /** Wraps host memory for a CPU device, copies it for a GPU. */
  protected final Buffer place(MemorySegment segment, DType dtype, Shape shape) {
    Buffer buffer;
    if (device instanceof CpuDevice) {
      buffer = HostBuffer.wrap(segment, dtype, shape);
    } else {
      buffer = device.allocate(dtype, shape);
      buffer.copyFrom(segment, stream);
    }
    operands.add(buffer);
    return buffer;
  }

  protected final Buffer out() {
    return out;
  }

  @Override
  public final String name() {
    return device.backend().id();
  }

  @Override
  public final MemorySegment result() {
    stream.synchronize();
    if (!(device instanceof CpuDevice)) {
      out.copyTo(result, stream);
    }
    return result;
  }

  @Override
  public final void poison() {
    result.fill((byte) -1);
    if (!(device instanceof CpuDevice)) {
      out.copyFrom(result, stream);
    }
  }

  /** On a GPU the time between two events around the queued runs, on the device's own clock. */
  @Override
  public final double seconds(int first, int runs, int sets) {
    if (!(device instanceof CudaDevice)) {
      return Contender.super.seconds(first, runs, sets);
    }
    stream.record(start);
    for (int i = 0; i < runs; i++) {
      run((first + i) % sets);
    }
    stream.record(end);
    end.synchronize();
    return end.millisSince(start) * 1e-3;
  }

  @Override
  public final void close() {
    stream.close();
    start.close();
    end.close();
    operands.forEach(Buffer::close);
  }
}

package io.quern.internal.cpu;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.DeviceBuffer;
import io.quern.HostBuffer;
import io.quern.PinnedBuffer;
import io.quern.Shape;
import io.quern.internal.device.HostMemory;
import io.quern.internal.device.Resources;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.KernelSet;
import java.lang.foreign.MemorySegment;

/** The CPU with one set of kernels. */
public final class HostDevice implements CpuDevice, KernelProvider {
  private final Backend backend;
  private final String name;
  private final KernelSet kernels;
  private final int parallelism;
  private final Resources resources;
  private final WorkerTeam team;

  public HostDevice(Backend backend, String name, KernelSet kernels, int parallelism) {
    if (parallelism < 1) {
      throw new IllegalArgumentException("parallelism is " + parallelism + ", expected at least 1");
    }
    this.backend = backend;
    this.name = name;
    this.kernels = kernels;
    this.parallelism = parallelism;
    this.resources = new Resources("device " + name);
    this.team = new WorkerTeam("quern " + backend.id(), parallelism);
  }

  @Override
  public Backend backend() {
    return backend;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public KernelSet kernels() {
    resources.requireOpen();
    return kernels;
  }

  @Override
  public int parallelism() {
    return parallelism;
  }

  /** The host memory of a buffer that was checked to be usable on a CPU device. */
  public static MemorySegment segment(TypedMemory buffer) {
    return switch ((Buffer) buffer) {
      case HostBuffer host -> host.segment();
      case PinnedBuffer pinned -> pinned.segment();
      case DeviceBuffer device ->
          throw new IllegalArgumentException(device + " is not memory of a CPU device");
    };
  }

  WorkerTeam team() {
    return team;
  }

  Resources resources() {
    return resources;
  }

  @Override
  public HostBuffer allocate(DType dtype, Shape shape) {
    return HostMemory.allocate(dtype, shape, resources);
  }

  @Override
  public HostStream openStream() {
    return resources.add(new HostStream(this));
  }

  @Override
  public HostEvent openEvent() {
    return resources.add(new HostEvent(this));
  }

  @Override
  public long allocatedBytes() {
    return resources.bytes();
  }

  @Override
  public boolean isClosed() {
    return resources.isClosed();
  }

  @Override
  public void close() {
    try {
      resources.close();
    } finally {
      team.close();
    }
  }
}

package io.quern.internal.cuda;

import io.quern.*;
import io.quern.internal.kernel.*;

public final class RuntimeDevice implements CudaDevice, KernelProvider {
  public RuntimeDevice(Backend backend, int ordinal) { throw new UnsupportedOperationException(); }
  public Stream wrapStream(long s) { throw new UnsupportedOperationException(); }
  public DeviceBuffer wrapBuffer(long a, DType d, Shape s) { throw new UnsupportedOperationException(); }
  @Override public int ordinal() { return 0; }
  @Override public DeviceBuffer allocate(DType d, Shape s) { return null; }
  @Override public PinnedBuffer allocatePinned(DType d, Shape s) { return null; }
  @Override public Backend backend() { return Backend.CUDA; }
  @Override public String name() { return ""; }
  @Override public Stream openStream() { return null; }
  @Override public Event openEvent() { return null; }
  @Override public long allocatedBytes() { return 0; }
  @Override public boolean isClosed() { return true; }
  @Override public void close() {}
  @Override public KernelSet kernels() { return null; }
}

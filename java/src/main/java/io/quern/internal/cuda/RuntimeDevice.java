package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.cudaDevAttrL2CacheSize;
import static io.quern.bindings.cudart.CudaRuntime.cudaDevAttrPciBusId;
import static io.quern.bindings.cudart.CudaRuntime.cudaDevAttrPciDeviceId;
import static io.quern.bindings.cudart.CudaRuntime.cudaDevAttrPciDomainId;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventCreateWithFlags;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventDefault;

import io.quern.Backend;
import io.quern.CudaDevice;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.DeviceBuffer;
import io.quern.PinnedBuffer;
import io.quern.Shape;
import io.quern.internal.device.Resources;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.KernelSet;
import io.quern.timing.GpuState;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** A GPU through the CUDA runtime, or through the emulation that has its functions. */
public final class RuntimeDevice implements CudaDevice, KernelProvider {
  private final Backend backend;
  private final PrimaryContext context;
  private final String name;
  private final Resources resources;
  private final Set<RuntimeStream> streams = ConcurrentHashMap.newKeySet();
  private final Object cublasLock = new Object();

  /** Made by the first plan that wants it. */
  private CublasHandle cublas;

  /**
   * Opens a device of a back end that the probe found available.
   *
   * @throws IllegalArgumentException if there is no such device, or libquern has no code for it
   * @throws io.quern.CudaException if it was lost before
   */
  public RuntimeDevice(Backend backend, int ordinal) {
    this.backend = backend;
    this.context = PrimaryContext.of(ordinal);
    this.name = "%s device %d: %s".formatted(backend.id(), ordinal, context.properties());
    this.resources = new Resources(name);
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
  public int ordinal() {
    return context.ordinal();
  }

  /** Bytes of the L2 cache. */
  public long l2Bytes() {
    return context.attribute(cudaDevAttrL2CacheSize());
  }

  /** See {@link GpuState#of}. */
  public GpuState state() {
    if (backend != Backend.CUDA) {
      return new GpuState.Unknown("the emulation has no clocks");
    }
    try {
      return Nvml.state(
          "%08x:%02x:%02x.0"
              .formatted(
                  context.attribute(cudaDevAttrPciDomainId()),
                  context.attribute(cudaDevAttrPciBusId()),
                  context.attribute(cudaDevAttrPciDeviceId())));
    } catch (CudaException e) {
      return new GpuState.Unknown(e.getMessage());
    }
  }

  @Override
  public KernelSet kernels() {
    resources.requireOpen();
    return CudaKernels.all();
  }

  PrimaryContext context() {
    return context;
  }

  Resources resources() {
    return resources;
  }

  @Override
  public DeviceBuffer allocate(DType dtype, Shape shape) {
    return DeviceMemory.allocate(this, dtype, shape);
  }

  @Override
  public PinnedBuffer allocatePinned(DType dtype, Shape shape) {
    return PinnedMemory.allocate(this, dtype, shape);
  }

  /** See {@link DeviceBuffer#wrap}. */
  public DeviceBuffer wrapBuffer(long address, DType dtype, Shape shape) {
    return DeviceMemory.wrap(this, address, dtype, shape);
  }

  @Override
  public RuntimeStream openStream() {
    resources.requireOpen();
    return added(RuntimeStream.open(this));
  }

  /** See {@link io.quern.Stream#wrap}. */
  public RuntimeStream wrapStream(long cudaStream) {
    resources.requireOpen();
    return added(RuntimeStream.wrap(this, cudaStream));
  }

  private RuntimeStream added(RuntimeStream stream) {
    streams.add(stream);
    return resources.add(stream);
  }

  void forget(RuntimeStream stream) {
    streams.remove(stream);
  }

  @Override
  public RuntimeEvent openEvent() {
    resources.requireOpen();
    return resources.add(
        new RuntimeEvent(
            this,
            context.create(
                "cudaEventCreateWithFlags",
                out -> cudaEventCreateWithFlags(out, cudaEventDefault()))));
  }

  /**
   * cuBLAS on this device.
   *
   * @throws CublasHandle.UnusableException with the reason why there is none
   * @throws IllegalStateException if the device is closed
   */
  CublasHandle cublas() throws CublasHandle.UnusableException {
    synchronized (cublasLock) {
      resources.requireOpen();
      if (cublas == null) {
        cublas = CublasHandle.open(context);
      }
      return cublas;
    }
  }

  /** Waits for what is queued on the open streams, so that memory it uses can be released. */
  void drain() {
    streams.forEach(RuntimeStream::drain);
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
    resources.close();
    synchronized (cublasLock) {
      if (cublas != null) {
        cublas.close();
        cublas = null;
      }
    }
  }
}

package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.cudaDeviceGetAttribute;
import static io.quern.bindings.cudart.CudaRuntime.cudaFree;
import static io.quern.bindings.cudart.CudaRuntime.cudaFreeAsync;
import static io.quern.bindings.cudart.CudaRuntime.cudaFreeHost;
import static io.quern.bindings.cudart.CudaRuntime.cudaGetLastError;
import static io.quern.bindings.cudart.CudaRuntime.cudaHostAlloc;
import static io.quern.bindings.cudart.CudaRuntime.cudaHostAllocMapped;
import static io.quern.bindings.cudart.CudaRuntime.cudaHostAllocPortable;
import static io.quern.bindings.cudart.CudaRuntime.cudaMalloc;
import static io.quern.bindings.cudart.CudaRuntime.cudaMallocAsync;
import static io.quern.bindings.cudart.CudaRuntime.cudaSetDevice;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamCreateWithFlags;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamNonBlocking;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamSynchronize;
import static io.quern.bindings.cudart.CudaRuntime.cudaSuccess;

import io.quern.CudaException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntSupplier;
import java.util.function.ToIntFunction;

/**
 * CUDA's primary context of one GPU, as this JVM uses it: calls with the device set, statuses
 * turned into exceptions, memory. There is one per ordinal; it lives as long as the JVM and is
 * never reset, since others may use it too.
 */
final class PrimaryContext {
  private static final Logger LOG = System.getLogger("io.quern");
  private static final Map<Integer, PrimaryContext> CONTEXTS = new ConcurrentHashMap<>();

  private final int ordinal;
  private final DeviceProperties properties;

  /** Where memory is allocated and freed; null where the device has no stream-ordered allocator. */
  private final MemorySegment allocations;

  /** What lost the context. */
  private final AtomicReference<CudaException> loss = new AtomicReference<>();

  private PrimaryContext(int ordinal, DeviceProperties properties) {
    this.ordinal = ordinal;
    this.properties = properties;
    this.allocations =
        properties.memoryPools()
            ? create(
                "cudaStreamCreateWithFlags",
                out -> cudaStreamCreateWithFlags(out, cudaStreamNonBlocking()))
            : null;
  }

  /**
   * The context of an ordinal.
   *
   * @throws IllegalArgumentException if there is no such device, or libquern has no code for it
   * @throws CudaException if it is lost
   */
  static PrimaryContext of(int ordinal) {
    PrimaryContext context =
        CONTEXTS.computeIfAbsent(
            ordinal, missing -> new PrimaryContext(missing, DeviceQuery.requireUsable(missing)));
    CudaException lost = context.loss.get();
    if (lost != null) {
      throw context.failure(lost.code(), "open", "lost before");
    }
    return context;
  }

  int ordinal() {
    return ordinal;
  }

  DeviceProperties properties() {
    return properties;
  }

  /**
   * Makes a CUDA call with this device current.
   *
   * <p>The current device and the last error belong to the OS thread. A virtual thread can change
   * its OS thread only where it blocks, and there is no such point from the first to the last of
   * these downcalls. The device stays set: setting another one back could create that one's
   * context.
   *
   * @param call for messages
   * @throws CudaException unless it succeeds
   */
  void call(String call, IntSupplier body) {
    int status = status(body);
    if (status != cudaSuccess()) {
      throw failure(status, call, "");
    }
  }

  /** The same, giving the status back. */
  int status(IntSupplier body) {
    int status = cudaSetDevice(ordinal);
    if (status == cudaSuccess()) {
      status = body.getAsInt();
    }
    if (status != cudaSuccess()) {
      cudaGetLastError(); // or somebody else would take it for the error of a later call
    }
    return status;
  }

  /**
   * Makes this device current for what another library is asked next, with nothing in between that
   * can block.
   */
  void makeCurrent() {
    int status = cudaSetDevice(ordinal);
    if (status != cudaSuccess()) {
      cudaGetLastError();
      throw failure(status, "cudaSetDevice", "");
    }
  }

  /** A {@code cudaDeviceAttr} of the device. */
  int attribute(int name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      call("cudaDeviceGetAttribute", () -> cudaDeviceGetAttribute(out, name, ordinal));
      return out.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /** The same for a call that writes an address or a handle. */
  MemorySegment create(String call, ToIntFunction<MemorySegment> body) {
    return create(call, "", body);
  }

  private MemorySegment create(String call, String detail, ToIntFunction<MemorySegment> body) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      int status = status(() -> body.applyAsInt(out));
      if (status != cudaSuccess()) {
        throw failure(status, call, detail);
      }
      return out.get(ValueLayout.ADDRESS, 0);
    }
  }

  /**
   * The same for a call on the way to closing something, which goes on whatever happens: trouble is
   * logged, and what became of a lost context is of no interest.
   */
  void release(String call, IntSupplier body) {
    int status = cudaSetDevice(ordinal);
    if (status != cudaSuccess()) {
      cudaGetLastError(); // the context is lost, or about to be found so
    }
    status = body.getAsInt();
    if (status != cudaSuccess()) {
      cudaGetLastError();
      boolean lostBefore = loss.get() != null;
      CudaException failure = failure(status, call, "");
      if (!lostBefore) {
        LOG.log(Level.WARNING, "while closing: " + failure.getMessage());
      }
    }
  }

  /**
   * The exception for a status; the first one that loses the context becomes the cause of all later
   * ones.
   */
  CudaException failure(int status, String call, String detail) {
    CudaException failure = CudaStatus.exception(status, call, detail, loss.get());
    if (CudaStatus.isSticky(status)) {
      loss.compareAndSet(null, failure);
    }
    return failure;
  }

  /** Device memory that any stream may use at once. */
  MemorySegment allocate(long bytes) {
    if (allocations == null) {
      return create("cudaMalloc", asked(bytes), out -> cudaMalloc(out, bytes));
    }
    return create(
        "cudaMallocAsync",
        asked(bytes),
        out -> {
          int status = cudaMallocAsync(out, bytes, allocations);
          if (status != cudaSuccess()) {
            return status;
          }
          // Other streams are not ordered after this one.
          status = cudaStreamSynchronize(allocations);
          if (status != cudaSuccess()) {
            cudaFreeAsync(out.get(ValueLayout.ADDRESS, 0), allocations);
          }
          return status;
        });
  }

  /** Gives device memory back that no work uses any more. */
  void free(MemorySegment address) {
    if (allocations == null) {
      release("cudaFree", () -> cudaFree(address));
    } else {
      release("cudaFreeAsync", () -> cudaFreeAsync(address, allocations));
    }
  }

  /**
   * Page-locked host memory at an address that is the device's as well; its contents are undefined.
   */
  MemorySegment allocatePinned(long bytes) {
    return create(
        "cudaHostAlloc",
        asked(bytes),
        out -> cudaHostAlloc(out, bytes, cudaHostAllocMapped() | cudaHostAllocPortable()));
  }

  /** Gives page-locked memory back that no work uses any more. */
  void freePinned(MemorySegment address) {
    release("cudaFreeHost", () -> cudaFreeHost(address));
  }

  private static String asked(long bytes) {
    return bytes + " bytes asked for";
  }
}

package io.quern.internal.cuda;

import static io.quern.bindings.cublas.Cublas.CUBLAS_GEMM_DEFAULT;
import static io.quern.bindings.cublas.Cublas.CUBLAS_OP_N;
import static io.quern.bindings.cublas.Cublas.CUBLAS_OP_T;
import static io.quern.bindings.cublas.Cublas.CUBLAS_STATUS_SUCCESS;
import static io.quern.bindings.cublas.Cublas.CUDA_R_32F;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.CudaException;
import io.quern.bindings.cublas.Cublas;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.internal.load.LibraryLoader;
import io.quern.internal.load.LoadResult;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * cuBLAS on one device. Its handle is bound to a stream and a workspace and so belongs to one
 * caller at a time: who uses it holds its monitor from {@link #bind} to the last product.
 *
 * <p>Every caller brings a workspace. So nothing is allocated, not even in a capture, and streams
 * at the same time cannot change what cuBLAS chooses: its results are the same bits in every run.
 * What else that takes, no atomics, is its default.
 */
final class CublasHandle {
  /** What cuBLAS wants for itself, at most, on any GPU so far. */
  static final long WORKSPACE_BYTES = 32L << 20;

  static final long WORKSPACE_ALIGNMENT = 256;

  private static final Logger LOG = System.getLogger("io.quern");

  /** Whose interface the bindings know. */
  private static final int MAJOR = 13;

  private final PrimaryContext context;
  private final MemorySegment handle;
  private final int version;

  /** Why there is no cuBLAS. */
  static final class UnusableException extends Exception {
    private static final long serialVersionUID = 1L;

    UnusableException(String reason) {
      super(reason);
    }
  }

  /** Looked up after the library was loaded. */
  private static final class Functions {
    static final MethodHandle SET_STREAM =
        Downcalls.withLongs(
            Cublas.cublasSetStream_v2$address(), Cublas.cublasSetStream_v2$descriptor());
    static final MethodHandle SET_WORKSPACE =
        Downcalls.withLongs(
            Cublas.cublasSetWorkspace_v2$address(), Cublas.cublasSetWorkspace_v2$descriptor());
    static final MethodHandle PRODUCTS =
        Downcalls.withLongs(
            Cublas.cublasGemmStridedBatchedEx$address(),
            Cublas.cublasGemmStridedBatchedEx$descriptor());

    /** Factors, read when a product is queued. */
    static final long ONE = Arena.global().allocateFrom(JAVA_FLOAT, 1).address();

    static final long ZERO = Arena.global().allocateFrom(JAVA_FLOAT, 0).address();

    /** Now and not in the first run. */
    static void lookUp() {}
  }

  private CublasHandle(PrimaryContext context, MemorySegment handle, int version) {
    this.context = context;
    this.handle = handle;
    this.version = version;
  }

  /** Loads the library if need be and makes a handle, which takes memory and may wait. */
  static CublasHandle open(PrimaryContext context) throws UnusableException {
    if (LibraryLoader.loadCublas() instanceof LoadResult.Failed why) {
      throw new UnusableException("%s (%s)".formatted(why.reason(), why.hint()));
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      context.makeCurrent();
      requireUsable(Cublas.cublasCreate_v2(out), "cublasCreate_v2");
      MemorySegment handle = out.get(ADDRESS, 0);
      try {
        MemorySegment number = arena.allocate(JAVA_INT);
        requireUsable(Cublas.cublasGetVersion_v2(handle, number), "cublasGetVersion_v2");
        int version = number.get(JAVA_INT, 0);
        if (version / 10_000 != MAJOR) {
          throw new UnusableException(
              "this is cuBLAS %s, expected %d".formatted(describe(version), MAJOR));
        }
        Functions.lookUp();
        return new CublasHandle(context, handle, version);
      } catch (UnusableException | LinkageError e) {
        context.makeCurrent();
        Cublas.cublasDestroy_v2(handle);
        throw e;
      }
    } catch (LinkageError e) {
      throw new UnusableException("the cuBLAS library lacks a function: " + e);
    }
  }

  private static void requireUsable(int status, String call) throws UnusableException {
    if (status != CUBLAS_STATUS_SUCCESS()) {
      throw new UnusableException(failure(status, call).getMessage());
    }
  }

  /** The library's version. */
  String version() {
    return describe(version);
  }

  private static String describe(int version) {
    return "%d.%d.%d".formatted(version / 10_000, version / 100 % 100, version % 100);
  }

  /**
   * Makes the device current, and the products to come those of a stream.
   *
   * @param workspace address of {@link #WORKSPACE_BYTES} of device memory
   */
  void bind(long stream, long workspace) {
    context.makeCurrent();
    try {
      require(
          (int) Functions.SET_STREAM.invokeExact(handle.address(), stream), "cublasSetStream_v2");
      // Second: setting the stream takes the workspace away.
      require(
          (int) Functions.SET_WORKSPACE.invokeExact(handle.address(), workspace, WORKSPACE_BYTES),
          "cublasSetWorkspace_v2");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }

  /**
   * Queues, for each of {@code batches}, {@code out[i, j] = Σ_k left[i, k] right[j, k]} in F32.
   * Rows of both are {@code depth} elements, one after the other.
   *
   * @param type of both, a {@code cudaDataType}
   * @param compute a {@code cublasComputeType_t}
   * @param stride elements from one batch's left, or right, to the next one's
   */
  void products(
      int type,
      int compute,
      long left,
      int rows,
      long right,
      int columns,
      int depth,
      long stride,
      long out,
      int outRow,
      long outStride,
      int batches) {
    int status;
    try {
      // It counts columns first: out is the transpose of a matrix of `columns` rows.
      status =
          (int)
              Functions.PRODUCTS.invokeExact(
                  handle.address(),
                  CUBLAS_OP_T(),
                  CUBLAS_OP_N(),
                  columns,
                  rows,
                  depth,
                  Functions.ONE,
                  right,
                  type,
                  depth,
                  stride,
                  left,
                  type,
                  depth,
                  stride,
                  Functions.ZERO,
                  out,
                  CUDA_R_32F(),
                  outRow,
                  outStride,
                  batches,
                  compute,
                  CUBLAS_GEMM_DEFAULT());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
    require(status, "cublasGemmStridedBatchedEx");
  }

  private static void require(int status, String call) {
    if (status != CUBLAS_STATUS_SUCCESS()) {
      throw failure(status, call);
    }
  }

  private static CudaException failure(int status, String call) {
    return new CudaException(
        status,
        Cublas.cublasGetStatusName(status).getString(0),
        call,
        Cublas.cublasGetStatusString(status).getString(0),
        null);
  }

  /** Gives it back; no stream uses it any more. */
  synchronized void close() {
    context.release(
        "cublasDestroy_v2",
        () -> {
          int status = Cublas.cublasDestroy_v2(handle);
          if (status != CUBLAS_STATUS_SUCCESS()) {
            LOG.log(
                Level.WARNING,
                "while closing: " + failure(status, "cublasDestroy_v2").getMessage());
          }
          return CudaRuntime.cudaSuccess();
        });
  }
}

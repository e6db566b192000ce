package io.quern;

/**
 * A CUDA call failed. A sticky error (a fault inside a kernel) poisons the device: every later call
 * on it throws an exception whose cause is the first one.
 */
public final class CudaException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int code;
  private final String name;
  private final String call;

  /**
   * For the library's own use.
   *
   * @param code the {@code cudaError_t}, a negative {@code quern_status}, or of a call of cuBLAS
   *     its {@code cublasStatus_t}
   * @param name its symbolic name
   * @param call the function that returned it
   * @param detail what it means, may be empty
   * @param cause the first failure of a poisoned device, or null
   */
  public CudaException(int code, String name, String call, String detail, Throwable cause) {
    super(
        "%s: %s (%d)%s".formatted(call, name, code, detail.isEmpty() ? "" : ": " + detail), cause);
    this.code = code;
    this.name = name;
    this.call = call;
  }

  /**
   * The {@code cudaError_t}, a negative {@code quern_status}, or of a call of cuBLAS its {@code
   * cublasStatus_t}.
   */
  public int code() {
    return code;
  }

  /** The symbolic name of the code, such as {@code cudaErrorMemoryAllocation}. */
  public String name() {
    return name;
  }

  /** The function that returned it. */
  public String call() {
    return call;
  }
}

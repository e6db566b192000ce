package io.quern.internal.cuda;

import io.quern.CudaException;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.bindings.quern.QuernAbi;

/**
 * Statuses of CUDA functions ({@code cudaError_t}, positive) and of Quern's own ({@code
 * quern_status}, negative).
 */
final class CudaStatus {
  private CudaStatus() {}

  /**
   * Whether the context is lost: CUDA's documentation says of these that all further work returns
   * the same error until the process ends. The numbers are cudaErrorECCUncorrectable,
   * NvlinkUncorrectable, Contained, IllegalAddress, LaunchTimeout, Assert, HardwareStackError,
   * IllegalInstruction, MisalignedAddress, InvalidAddressSpace, InvalidPc, LaunchFailure,
   * TensorMemoryLeak, MpsClientTerminated and ExternalDevice.
   */
  static boolean isSticky(int status) {
    return switch (status) {
      case 214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911 -> true;
      default -> false;
    };
  }

  /** The symbolic name. */
  static String name(int status) {
    if (status >= 0) {
      return CudaRuntime.cudaGetErrorName(status).getString(0);
    }
    if (status == QuernAbi.QUERN_INVALID_DESCRIPTOR()) {
      return "QUERN_INVALID_DESCRIPTOR";
    }
    if (status == QuernAbi.QUERN_INVALID_ARGUMENT()) {
      return "QUERN_INVALID_ARGUMENT";
    }
    if (status == QuernAbi.QUERN_UNSUPPORTED()) {
      return "QUERN_UNSUPPORTED";
    }
    if (status == QuernAbi.QUERN_MISALIGNED()) {
      return "QUERN_MISALIGNED";
    }
    return "unknown quern_status";
  }

  /** What it means. */
  static String meaning(int status) {
    if (status >= 0) {
      return CudaRuntime.cudaGetErrorString(status).getString(0);
    }
    if (status == QuernAbi.QUERN_UNSUPPORTED()) {
      return "the kernels do not have this combination of dtypes, options or sizes";
    }
    return "the library refused what passed the checks of this Quern; please report it";
  }

  /** Name, number and meaning. */
  static String describe(int status) {
    return "%s (%d): %s".formatted(name(status), status, meaning(status));
  }

  /**
   * @param detail what is known beyond the status, may be empty
   * @param cause the failure that lost the device, or null
   */
  static CudaException exception(int status, String call, String detail, Throwable cause) {
    return new CudaException(
        status,
        name(status),
        call,
        detail.isEmpty() ? meaning(status) : meaning(status) + "; " + detail,
        cause);
  }
}

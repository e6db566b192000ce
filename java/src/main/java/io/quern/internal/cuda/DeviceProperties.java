package io.quern.internal.cuda;

import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_device_info;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * What a GPU is.
 *
 * @param major the compute capability's first number
 * @param minor its second one
 * @param memoryPools whether it has the stream-ordered allocator
 */
record DeviceProperties(String name, int major, int minor, long memoryBytes, boolean memoryPools) {
  /**
   * Asks the library.
   *
   * @throws io.quern.CudaException if there is no such device
   */
  static DeviceProperties of(int ordinal) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = quern_device_info.allocate(arena);
      quern_device_info.size(info, (int) quern_device_info.sizeof());
      int status = QuernAbi.quern_describe_device(ordinal, info);
      if (status != QuernAbi.QUERN_OK()) {
        throw CudaStatus.exception(status, "quern_describe_device", "", null);
      }
      return new DeviceProperties(
          quern_device_info.name(info).getString(0),
          quern_device_info.compute_major(info),
          quern_device_info.compute_minor(info),
          quern_device_info.memory_bytes(info),
          quern_device_info.memory_pools(info) != 0);
    }
  }

  @Override
  public String toString() {
    return "%s, compute capability %d.%d, %.1f GiB"
        .formatted(name, major, minor, memoryBytes / (double) (1L << 30));
  }
}

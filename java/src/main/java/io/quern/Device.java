package io.quern;

/**
 * Where operators run: the CPU with one of its back ends, or a GPU. Thread-safe.
 *
 * <p>Closing a device closes everything opened from it; what was still open is reported in the log.
 */
public sealed interface Device extends AutoCloseable permits CpuDevice, CudaDevice {
  /** The back end that runs here. */
  Backend backend();

  /** What the device is, for people. */
  String name();

  /**
   * Allocates a dense buffer; its contents are undefined.
   *
   * @throws IllegalArgumentException if the size in bytes exceeds 2^63 − 1
   * @throws OutOfMemoryError if the host has not that much memory
   * @throws CudaException if the device has not that much memory; the device stays usable
   * @throws IllegalStateException if the device is closed
   */
  Buffer allocate(DType dtype, Shape shape);

  /** Opens a queue for work. A stream is used by one thread at a time. */
  Stream openStream();

  /** Opens a marker that can be recorded in a stream. */
  Event openEvent();

  /** Bytes of all open buffers allocated from this device (wrapped ones do not count). */
  long allocatedBytes();

  /** Whether {@link #close()} was called. */
  boolean isClosed();

  /**
   * Waits for the device's streams, then closes them and all buffers, events and graphs.
   * Idempotent.
   */
  @Override
  void close();
}

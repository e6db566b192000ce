package io.quern;

import io.quern.internal.cuda.RuntimeDevice;
import io.quern.internal.cuda.RuntimeStream;
import io.quern.internal.device.QueueStream;

/**
 * A queue of work on one device. Calls on a stream run in order. Used by one thread at a time; with
 * {@code -Dquern.checked=true} a second one is detected.
 */
public sealed interface Stream extends AutoCloseable permits QueueStream {
  /** The device this stream belongs to. */
  Device device();

  /**
   * Waits until all work is done.
   *
   * @throws InvalidDataException if a launch since the last wait met bad data under {@code
   *     IndexPolicy.FAIL}
   * @throws CudaException if the work failed
   * @throws IllegalStateException while capturing, or if the stream is closed
   */
  void synchronize();

  /**
   * Records what {@code work} runs on this stream, without running it, as a graph. Operators and
   * buffer-to-buffer copies can be captured; what waits, events and other graphs cannot. Waits for
   * earlier work first.
   *
   * @throws IllegalStateException if this stream is capturing already
   * @throws CudaException if the capture was broken by a call that cannot be captured
   */
  Graph capture(Runnable work);

  /** Marks this point of the queue. */
  void record(Event event);

  /** Makes later work of this stream wait for the event, without blocking the caller. */
  void await(Event event);

  /**
   * Waits for the work, then releases the stream; a wrapped stream itself is left to its owner.
   * Idempotent.
   */
  @Override
  void close();

  /**
   * The {@code cudaStream_t} of a stream of a GPU, on which others can launch kernels of their own,
   * between Quern's. Quern does not know what those use: memory is the caller's to keep until they
   * are done. The handle is valid until the stream is closed, and is not to be destroyed.
   *
   * @throws IllegalArgumentException if it is a stream of a CPU
   */
  static long unwrap(Stream stream) {
    if (stream instanceof RuntimeStream queue) {
      return queue.handle();
    }
    throw new IllegalArgumentException(
        "unwrap: stream is of %s, expected one of a GPU".formatted(stream.device().name()));
  }

  /**
   * Uses a {@code cudaStream_t} that the caller owns and keeps alive until the returned stream is
   * closed. Opening allocates a page of page-locked memory, for the stream's error record and the
   * arguments of its calls; the first copy from or to a heap segment a megabyte for staging.
   *
   * <p>If you capture the stream into a graph of your own, that graph holds nothing open: keep the
   * buffers it uses and the returned stream, whose error record it writes, until you no longer
   * launch it. While you capture, closing the returned stream, or a buffer or graph of the device,
   * throws {@link IllegalStateException}.
   *
   * @param device the device the stream was created on
   * @param cudaStream the handle; 0 is the default stream
   */
  static Stream wrap(CudaDevice device, long cudaStream) {
    return ((RuntimeDevice) device).wrapStream(cudaStream);
  }
}

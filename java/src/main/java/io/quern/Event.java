package io.quern;

import io.quern.internal.cpu.HostEvent;
import io.quern.internal.cuda.RuntimeEvent;

/** A point in a stream's queue. */
public sealed interface Event extends AutoCloseable permits HostEvent, RuntimeEvent {
  /** Whether all work before the last {@link Stream#record} is done; true if never recorded. */
  boolean isDone();

  /** Waits until it is. */
  void synchronize();

  /**
   * Milliseconds between two recorded points, on the device's clock.
   *
   * @param earlier an event recorded before this one
   * @throws IllegalStateException if either was not recorded, or is not done yet
   */
  double millisSince(Event earlier);

  /** Releases the event. Idempotent. */
  @Override
  void close();
}

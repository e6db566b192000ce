package io.quern.internal.cpu;

import io.quern.Event;
import io.quern.internal.device.Resource;

/** A time: CPU streams have always finished. */
public final class HostEvent extends Resource implements Event {
  private static final double NANOS_PER_MILLI = 1e6;

  private final HostDevice device;
  private volatile boolean recorded;
  private volatile long nanos;

  HostEvent(HostDevice device) {
    super(device.resources(), "event of " + device.name(), 0);
    this.device = device;
  }

  HostDevice device() {
    return device;
  }

  void record() {
    requireOpen();
    nanos = System.nanoTime();
    recorded = true;
  }

  @Override
  public boolean isDone() {
    requireOpen();
    return true;
  }

  @Override
  public void synchronize() {
    requireOpen();
  }

  @Override
  public double millisSince(Event earlier) {
    requireOpen();
    if (!(earlier instanceof HostEvent start) || start.device != device) {
      throw new IllegalArgumentException("the earlier event belongs to another device");
    }
    start.requireOpen();
    if (!recorded || !start.recorded) {
      throw new IllegalStateException("an event that was not recorded has no time");
    }
    return (nanos - start.nanos) / NANOS_PER_MILLI;
  }

  @Override
  protected void free() {}
}

package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;

/** A loop in the calling thread that writes to a fixed place. */
abstract class PlainContender implements Contender {
  private final String name;
  private final MemorySegment result;

  PlainContender(String name, MemorySegment result) {
    this.name = name;
    this.result = result;
  }

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final MemorySegment result() {
    return result;
  }

  @Override
  public final void close() {}
}

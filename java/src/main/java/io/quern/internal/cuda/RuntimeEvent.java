package io.quern.internal.cuda;

import io.quern.*;

public final class RuntimeEvent implements Event {
  @Override public boolean isDone() { return true; }
  @Override public void synchronize() {}
  @Override public double millisSince(Event e) { return 0; }
  @Override public void close() {}
}

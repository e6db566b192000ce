package io.quern.internal.cuda;

import io.quern.*;
import io.quern.internal.device.*;
import java.lang.foreign.MemorySegment;

public final class RuntimeStream extends QueueStream {
  RuntimeStream(Device d) { super(d, null, ""); }
  @Override public void synchronize() {}
  @Override public void record(Event e) {}
  @Override public void await(Event e) {}
  @Override protected void free() {}
  @Override protected void beginCapture() {}
  @Override protected Graph endCapture(Resource[] m) { return null; }
  @Override protected void abandonCapture(Throwable t) {}
  @Override protected void copyIn(MemorySegment s, TypedMemory t) {}
  @Override protected void copyOut(TypedMemory s, MemorySegment t) {}
  @Override protected void copy(TypedMemory s, TypedMemory t) {}
}

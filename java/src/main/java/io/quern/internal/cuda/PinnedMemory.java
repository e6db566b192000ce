package io.quern.internal.cuda;

import io.quern.*;
import io.quern.internal.device.*;
import java.lang.foreign.MemorySegment;

public final class PinnedMemory extends TypedMemory implements PinnedBuffer {
  private PinnedMemory(PinnedMemory p, Shape s, long r) { super(p, s, r); }
  @Override public PinnedBuffer view(long f, Shape s, long r) { return new PinnedMemory(this, s, r); }
  @Override public long address() { return 0; }
  @Override public boolean usableOn(io.quern.Device d) { return false; }
  @Override public MemorySegment segment() { return null; }
}

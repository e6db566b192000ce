package io.quern.internal.simd;

import io.quern.internal.cpu.HostSourceMap;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** Slots of tokens, a vector at a time. */
final class SlotLookup {
  private static final int LANES = Species.INT.length();

  /** Narrower vectors have no gathers everywhere; in software they are slow. */
  private static final int LEAST_BITS = 256;

  private SlotLookup() {}

  /** As {@link HostSourceMap.Lookup} says. */
  static void look(int[] slots, int tokens, int merged, int[] chunk, int count) {
    int done = Species.bits() < LEAST_BITS ? 0 : gather(slots, tokens, merged, chunk, count);
    HostSourceMap.lookEach(slots, tokens, merged, chunk, done, count);
  }

  private static int gather(int[] slots, int tokens, int merged, int[] chunk, int count) {
    IntVector none = IntVector.broadcast(Species.INT, -1);
    IntVector zero = IntVector.zero(Species.INT);
    int i = 0;
    for (; i <= count - LANES; i += LANES) {
      IntVector token = IntVector.fromArray(Species.INT, chunk, i);
      VectorMask<Integer> known = token.compare(VectorOperators.ULT, tokens);
      zero.blend(token, known)
          .intoArray(chunk, i); // indices of lanes that are masked are checked too
      IntVector group = IntVector.fromArray(Species.INT, slots, 0, chunk, i);
      VectorMask<Integer> kept = group.compare(VectorOperators.ULT, merged).and(known);
      none.blend(group, kept).intoArray(chunk, i);
    }
    return i;
  }
}

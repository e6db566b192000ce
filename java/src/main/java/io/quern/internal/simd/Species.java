package io.quern.internal.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The vector shape of all kernels: the one this JVM prefers, never a fixed one. */
public final class Species {
  static final VectorSpecies<Float> FLOAT = FloatVector.SPECIES_PREFERRED;

  private Species() {}

  /** Bits of a vector. */
  public static int bits() {
    return FLOAT.vectorBitSize();
  }
}

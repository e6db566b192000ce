package io.quern.internal.simd;

import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vector shape of all kernels: the one this JVM prefers. A fixed shape wider than the JVM's
 * largest would run in software.
 */
public final class Species {
  /**
   * The smallest vector there is; where the preferred one is no larger, no kernel runs, but the
   * probe asks.
   */
  private static final int LEAST_BITS = 64;

  static final VectorSpecies<Float> FLOAT = FloatVector.SPECIES_PREFERRED;
  static final VectorSpecies<Integer> INT = IntVector.SPECIES_PREFERRED;
  static final VectorSpecies<Long> LONG = LongVector.SPECIES_PREFERRED;
  static final VectorSpecies<Byte> BYTE = ByteVector.SPECIES_PREFERRED;

  /** Of elements in memory. */
  static final ByteOrder ORDER = ByteOrder.nativeOrder();

  /**
   * As many shorts as there are floats in a vector; at 128 bit, whose half is too narrow to load
   * well, 64 bit.
   */
  static final VectorSpecies<Short> HALF_SHORT =
      ShortVector.SPECIES_PREFERRED.withShape(
          VectorShape.forBitSize(Math.max(LEAST_BITS, FLOAT.vectorBitSize() / 2)));

  /** Floats in a vector. */
  static final int LANES = FLOAT.length();

  private Species() {}

  /** Bits of a vector. */
  public static int bits() {
    return FLOAT.vectorBitSize();
  }
}

package io.quern.op;

import io.quern.Availability.Available;
import io.quern.Backend;
import io.quern.Backends;
import org.opentest4j.TestAbortedException;

/** The width of vectors that a test run was started to force. */
final class VectorWidth {
  private VectorWidth() {}

  /**
   * Skips where the property {@code quern.test.bits} names another width than this JVM has; prints
   * what it has.
   */
  static void requireForced() {
    String found =
        Backends.probe().of(Backend.SIMD) instanceof Available available
            ? available.detail()
            : "no vectors";
    String bits = System.getProperty("quern.test.bits");
    if (bits != null && !found.startsWith(bits + " bit")) {
      throw new TestAbortedException(
          "this machine cannot force vectors of %s bit: it has %s".formatted(bits, found));
    }
    System.out.println("simd in this run: " + found);
  }
}

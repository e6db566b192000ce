package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Handles for functions that are called often, with addresses as numbers: no object is made for a
 * call.
 */
final class Downcalls {
  private Downcalls() {}

  /**
   * A handle for the function at {@code address}, taking {@code long} wherever it takes an address.
   */
  static MethodHandle withLongs(MemorySegment address, FunctionDescriptor generated) {
    FunctionDescriptor longs =
        FunctionDescriptor.of(
            generated.returnLayout().orElseThrow(),
            generated.argumentLayouts().stream()
                .map(layout -> layout instanceof AddressLayout ? JAVA_LONG : layout)
                .toArray(MemoryLayout[]::new));
    return Linker.nativeLinker().downcallHandle(address, longs);
  }
}

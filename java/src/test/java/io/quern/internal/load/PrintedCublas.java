package io.quern.internal.load;

import io.quern.bindings.cublas.Cublas;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A main class that prints what became of loading cuBLAS, and the version that the bindings see.
 */
public final class PrintedCublas {
  private PrintedCublas() {}

  public static void main(String[] arguments) {
    LoadResult result = LibraryLoader.loadCublas();
    System.out.println(result);
    if (result instanceof LoadResult.Loaded) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment version = arena.allocate(ValueLayout.JAVA_INT);
        Cublas.cublasGetVersion_v2(MemorySegment.NULL, version);
        System.out.println("version " + version.get(ValueLayout.JAVA_INT, 0));
      }
    }
  }
}

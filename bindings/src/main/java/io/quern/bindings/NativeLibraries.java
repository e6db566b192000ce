package io.quern.bindings;

import java.nio.file.Path;

/**
 * Loads native libraries for the bindings. Generated code looks its symbols up in the libraries of
 * its own class loader, so the loading has to happen in that loader too.
 */
public final class NativeLibraries {
  private NativeLibraries() {}

  /**
   * Loads a library into the class loader of the bindings.
   *
   * @param library its absolute path
   * @throws UnsatisfiedLinkError if the dynamic linker refuses it
   */
  public static void load(Path library) {
    System.load(library.toString());
  }
}

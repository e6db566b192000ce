package io.quern.internal.load;

import io.quern.Backend;

/** What became of loading the native libraries of this JVM. */
public sealed interface LoadResult {
  /** The back end whose libraries were looked for. */
  Backend backend();

  /**
   * They are loaded, and of the ABI that the bindings were made from.
   *
   * @param backend {@link Backend#CUDA} or {@link Backend#EMULATED}
   */
  record Loaded(Backend backend) implements LoadResult {}

  /**
   * They are not; the bindings must not be touched.
   *
   * @param backend {@link Backend#CUDA} or {@link Backend#EMULATED}
   * @param reason what is missing or broken
   * @param hint what would change it
   */
  record Failed(Backend backend, String reason, String hint) implements LoadResult {}
}

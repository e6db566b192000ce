package io.quern;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** A way of running the operators. All of them give the same bits. */
public enum Backend {
  /** Plain Java loops: the specification that the others are held to. Always available. */
  SCALAR,
  /** The Vector API on the CPU. */
  SIMD,
  /** CUDA kernels on an NVIDIA GPU. */
  CUDA,
  /**
   * The CUDA kernels executed on the CPU by a test-only library. It exists where the system
   * property {@code quern.emulation} names that library, is never chosen by {@link
   * Preference#fastest()}, and says nothing about speed.
   */
  EMULATED;

  /** The name used by properties, command lines and reports: the constant's, in lower case. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * The back end of that {@link #id()}.
   *
   * @throws IllegalArgumentException if there is none, naming those there are
   */
  public static Backend of(String id) {
    for (Backend backend : values()) {
      if (backend.id().equals(id)) {
        return backend;
      }
    }
    throw new IllegalArgumentException(
        "unknown back end '%s': one of %s"
            .formatted(
                id, Arrays.stream(values()).map(Backend::id).collect(Collectors.joining(", "))));
  }
}

package io.quern;

import java.util.List;

/**
 * Which back end to open: the first available of a list, or one and no other. The system property
 * {@code quern.backend} overrides either and acts as {@link #require}.
 */
public sealed interface Preference {
  /**
   * The first available back end is opened; the refusal of each earlier one is logged with its
   * reason.
   *
   * @param backends best first; at least one
   */
  record Prefer(List<Backend> backends) implements Preference {
    public Prefer {
      backends = List.copyOf(backends);
      if (backends.isEmpty()) {
        throw new IllegalArgumentException("no back end named");
      }
    }
  }

  /**
   * This back end is opened, or {@link UnavailableBackendException} is thrown.
   *
   * @param backend the only one accepted
   */
  record Require(Backend backend) implements Preference {}

  /** CUDA, else SIMD, else scalar. */
  static Preference fastest() {
    return prefer(Backend.CUDA, Backend.SIMD, Backend.SCALAR);
  }

  /** The first of these that is available. */
  static Preference prefer(Backend... backends) {
    return new Prefer(List.of(backends));
  }

  /** This one or an exception. */
  static Preference require(Backend backend) {
    return new Require(backend);
  }
}

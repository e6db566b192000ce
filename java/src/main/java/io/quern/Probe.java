package io.quern;

import io.quern.Availability.Available;
import io.quern.Availability.Unavailable;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * What {@link Backends#probe()} found: each back end with the reason why it can or cannot be used.
 *
 * @param availability one entry per back end that exists in this JVM, in the order of {@link
 *     Backend}
 */
public record Probe(Map<Backend, Availability> availability) {
  public Probe {
    availability = Collections.unmodifiableMap(new EnumMap<>(availability));
  }

  /** The state of one back end. */
  public Availability of(Backend backend) {
    return availability.getOrDefault(
        backend,
        new Unavailable(
            "not part of this JVM",
            "the emulation is for tests: set quern.emulation to the path of its library"));
  }

  /** Whether {@link Backends#open} can open it. */
  public boolean isAvailable(Backend backend) {
    return of(backend) instanceof Available;
  }

  /** One line per back end, for logs and command lines. */
  public List<String> lines() {
    return availability.entrySet().stream()
        .map(
            entry ->
                entry.getKey().id()
                    + switch (entry.getValue()) {
                      case Available(String detail) -> ": available: " + detail;
                      case Unavailable(String reason, String hint) ->
                          ": unavailable: " + reason + " (" + hint + ")";
                    })
        .toList();
  }
}

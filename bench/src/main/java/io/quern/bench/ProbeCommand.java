package io.quern.bench;

import io.quern.Backends;
import java.util.List;

/** Says which back ends this machine has, and why it lacks the others. */
final class ProbeCommand implements Command {
  @Override
  public String name() {
    return "probe";
  }

  @Override
  public String summary() {
    return "which back ends this machine has, and why it lacks the others";
  }

  @Override
  public String details() {
    return """
    One line for each back end: what it runs on, or the reason why it is unavailable and what would
    help. Nothing is launched on a GPU and nothing fails: the exit code is 0 whatever is found.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("probe");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) {
    Backends.probe().lines().forEach(terminal.out()::println);
    return Outcome.OK;
  }
}

package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.util.List;

public final class ReportCommand implements Command {
  @Override
  public String name() {
    return "report";
  }

  @Override
  public String summary() {
    return "";
  }

  @Override
  public String details() {
    return "";
  }

  @Override
  public List<String> examples() {
    return List.of("report");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) {
    return Outcome.OK;
  }
}

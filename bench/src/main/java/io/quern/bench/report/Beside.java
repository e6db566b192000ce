package io.quern.bench.report;

import io.quern.bench.BadArgumentsException;
import io.quern.timing.Statistics;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What one result file says of two builds that were measured beside one another. */
final class Beside {
  private final Map<Figure.Key, List<Figure>> figures = new LinkedHashMap<>();
  private final List<String> broken = new ArrayList<>();

  /**
   * Reads it.
   *
   * @throws BadArgumentsException if the file is broken, or has no two builds in it
   */
  Beside(String name) throws IOException {
    ResultFile file = ResultFile.read(List.of(name));
    for (Figure figure : file.figures()) {
      if (figure.timesFaster().containsKey(CompareCommand.BEFORE + figure.by())) {
        figures.computeIfAbsent(figure.key(), missing -> new ArrayList<>()).add(figure);
      }
    }
    for (Line refused : file.refused()) {
      broken.add(
          "%s: %s (%s)"
              .formatted(refused.text("id"), refused.text("difference", ""), refused.where()));
    }
    if (figures.isEmpty() && broken.isEmpty()) {
      throw new BadArgumentsException(
          "%s has no case of two builds, as bench --against measures them".formatted(name));
    }
  }

  /** The cases that both builds have. */
  List<Compared> compared() {
    return figures.entrySet().stream()
        .map(
            one ->
                new Compared(one.getKey(), change(one.getValue()), Compared.lines(one.getValue())))
        .toList();
  }

  /** Runs have been paired by samples; an unstable one is as good as any. */
  private static Change change(List<Figure> figures) {
    return Change.beside(
        figures.stream()
            .map(figure -> figure.timesFaster().get(CompareCommand.BEFORE + figure.by()))
            .mapToDouble(Statistics.Interval::median)
            .map(timesFaster -> 1 / timesFaster)
            .toArray());
  }

  /** Cases that were refused, since the builds differ from one another or from a plain loop. */
  List<String> broken() {
    return broken;
  }
}

package io.quern.bench.report;

import io.quern.bench.BadArgumentsException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What people wrote beside the results: why something is slower than hoped for. Lines of schema
 * {@code quern-note/1} explain the figures of a case, those of {@code quern-target/1} say what was
 * aimed at; what was reached is taken from the results.
 */
record Notes(List<Note> notes, List<Target> targets) {
  /**
   * A reason.
   *
   * @param id the id of a case, or what it begins with
   * @param by the implementation, or null for all
   * @param against the baseline that it loses to, or null for all
   */
  record Note(Line line, String id, String by, String against, String text) {
    boolean explains(Figure figure, String baseline) {
      return figure.id().startsWith(id)
          && (by == null || by.equals(figure.by()))
          && (against == null || against.equals(baseline));
    }
  }

  /**
   * An aim.
   *
   * @param what people call it
   * @param against the baseline, or {@code copy} or {@code fma} for a share of it in percent
   * @param atLeast times faster, or percent
   * @param why it was missed, or the empty string
   */
  record Target(
      Line line,
      String what,
      String id,
      String by,
      int threads,
      String against,
      double atLeast,
      String why) {}

  static Notes none() {
    return new Notes(List.of(), List.of());
  }

  static Notes read(String file) throws IOException {
    List<Note> notes = new ArrayList<>();
    List<Target> targets = new ArrayList<>();
    for (Line line : ResultFile.lines(file)) {
      switch (line.text("schema")) {
        case "quern-note/1" ->
            notes.add(
                new Note(
                    line,
                    line.text("case"),
                    line.text("by", null),
                    line.text("against", null),
                    line.text("text")));
        case "quern-target/1" ->
            targets.add(
                new Target(
                    line,
                    line.text("what"),
                    line.text("case"),
                    line.text("by"),
                    (int) line.maybe("threads").orElse(1),
                    line.text("against"),
                    line.number("at_least"),
                    line.text("why", "")));
        default -> throw line.wrong("not a note: schema '%s'".formatted(line.text("schema")));
      }
    }
    if (notes.isEmpty() && targets.isEmpty()) {
      throw new BadArgumentsException("no notes in " + file);
    }
    return new Notes(notes, targets);
  }

  /** Why a figure is what it is against a baseline. */
  Optional<Note> on(Figure figure, String baseline) {
    return notes.stream().filter(note -> note.explains(figure, baseline)).findFirst();
  }
}

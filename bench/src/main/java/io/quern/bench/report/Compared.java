package io.quern.bench.report;

import java.util.Collection;
import java.util.Locale;

/**
 * A case of which there are two times.
 *
 * @param how the times were read, and where they stand
 */
record Compared(Figure.Key key, Change change, String how) {
  /** The lines of a case, shortly. */
  static String lines(Collection<Figure> figures) {
    int more = figures.size() - 1;
    return figures.iterator().next().line().where()
        + (more == 0 ? "" : " and %d more".formatted(more));
  }

  /** As it is printed. */
  String line(double margin) {
    return String.format(
        Locale.ROOT,
        "%-9s %.3f %s  %s (%s)",
        change.verdict(margin),
        change.ratio(),
        change.hasInterval()
            ? String.format(Locale.ROOT, "[%.3f, %.3f]", change.low(), change.high())
            : "[too few runs]",
        key,
        how);
  }
}

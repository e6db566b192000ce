package io.quern.bench.report;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * What two result files say of the same cases.
 *
 * @param before figures of a case by the run that they are of
 * @param after the same of the other file
 * @param broken cases that had figures and are refused now
 * @param remarks for the reader, on what was left out
 */
record Sides(
    Map<Figure.Key, Map<String, Figure>> before,
    Map<Figure.Key, Map<String, Figure>> after,
    List<String> broken,
    List<String> remarks) {

  private static final String COPY = "a copy";
  private static final String ITSELF = "";

  static Sides of(String before, String after) throws IOException {
    ResultFile earlier = ResultFile.read(List.of(before));
    ResultFile later = ResultFile.read(List.of(after));
    List<String> remarks = new ArrayList<>();
    return new Sides(
        times(earlier, "before", remarks),
        times(later, "after", remarks),
        broken(earlier, later),
        remarks);
  }

  /** Names of the runs that have figures. */
  private static Set<String> runs(ResultFile file) {
    return file.figures().stream().map(Figure::run).collect(Collectors.toSet());
  }

  /** The figures of a file's stable runs, or of all where none is. */
  private static Map<Figure.Key, Map<String, Figure>> times(
      ResultFile file, String side, List<String> remarks) {
    Set<String> runs = runs(file);
    Set<String> unstable =
        file.runs().stream()
            .filter(run -> run.flag("unstable", false))
            .map(run -> run.text("run", run.file()))
            .filter(runs::contains)
            .collect(Collectors.toSet());
    boolean all = unstable.size() == runs.size();
    if (!unstable.isEmpty()) {
      remarks.add(
          all
              ? "%s: every run is unstable, since its rooflines changed".formatted(side)
              : "%s: %d of %d runs left out, since their rooflines changed"
                  .formatted(side, unstable.size(), runs.size()));
    }
    Map<Figure.Key, Map<String, Figure>> times = new LinkedHashMap<>();
    for (Figure figure : file.figures()) {
      if (all || !unstable.contains(figure.run())) {
        times
            .computeIfAbsent(figure.key(), missing -> new LinkedHashMap<>())
            .put(figure.run(), figure);
      }
    }
    return times;
  }

  private static List<String> broken(ResultFile before, ResultFile after) {
    List<String> broken = new ArrayList<>();
    for (Line refused : after.refused()) {
      String id = refused.text("id");
      if (before.figures().stream().anyMatch(figure -> figure.id().equals(id))) {
        broken.add("%s: %s (%s)".formatted(id, refused.text("difference", ""), refused.where()));
      }
    }
    return broken;
  }

  /** What both sides have: of Quern, or of plain loops and peers as well. */
  List<Compared> compared(boolean all) {
    return wanted(all).stream().filter(after::containsKey).map(this::reading).toList();
  }

  /** What only the first side has. */
  List<Figure.Key> missing(boolean all) {
    return wanted(all).stream().filter(key -> !after.containsKey(key)).toList();
  }

  private List<Figure.Key> wanted(boolean all) {
    return before.keySet().stream().filter(key -> all || quern(key)).toList();
  }

  private boolean quern(Figure.Key key) {
    return before.get(key).values().iterator().next().quern();
  }

  /**
   * The change of a case that both sides have: of all ways to read the times the one with the
   * narrowest interval, whatever it says.
   */
  private Compared reading(Figure.Key key) {
    Map<String, Change> readings = new LinkedHashMap<>();
    for (String yardstick : yardsticks(key)) {
      change(key, yardstick).ifPresent(change -> readings.put("against " + yardstick, change));
    }
    if (readings.isEmpty()) {
      change(key, ITSELF).ifPresent(change -> readings.put("as it is", change));
    }
    String lines =
        Compared.lines(before.get(key).values()) + ", " + Compared.lines(after.get(key).values());
    return readings.entrySet().stream()
        .map(one -> new Compared(key, one.getValue(), one.getKey() + "; " + lines))
        .min(Comparator.comparingDouble(one -> one.change().width()))
        .orElseThrow();
  }

  private Optional<Change> change(Figure.Key key, String yardstick) {
    double[] earlier = times(before, key, yardstick);
    double[] later = times(after, key, yardstick);
    return earlier.length == 0 || later.length == 0
        ? Optional.empty()
        : Optional.of(Change.between(earlier, later));
  }

  /** Of all runs that have both. */
  private static double[] times(
      Map<Figure.Key, Map<String, Figure>> side, Figure.Key key, String yardstick) {
    return side.get(key).keySet().stream()
        .mapToDouble(run -> time(side, run, key, yardstick))
        .filter(time -> time > 0)
        .toArray();
  }

  /** The time of a run over that of a yardstick in that run; 0 where it has not both. */
  private static double time(
      Map<Figure.Key, Map<String, Figure>> side, String run, Figure.Key key, String yardstick) {
    Figure figure = side.get(key).get(run);
    double over =
        switch (yardstick) {
          case ITSELF -> 1;
          case COPY -> figure.line().maybe("memcpy_cpu_us.p05").orElse(0);
          default ->
              side.entrySet().stream()
                  .filter(
                      other ->
                          other.getKey().id().equals(key.id())
                              && other.getKey().by().equals(yardstick)
                              && other.getKey().pages().equals(key.pages())
                              && other.getValue().containsKey(run))
                  .mapToDouble(other -> low(other.getValue().get(run)))
                  .findFirst()
                  .orElse(0);
        };
    return over > 0 ? low(figure) / over : 0;
  }

  /** What is not Quern's and was timed at the same case; sorted, so that ties are stable. */
  private Set<String> yardsticks(Figure.Key key) {
    TreeSet<String> names = new TreeSet<>();
    names.add(COPY);
    for (Figure.Key other : before.keySet()) {
      if (!quern(other) && other.id().equals(key.id()) && !other.by().equals(key.by())) {
        names.add(other.by());
      }
    }
    return names;
  }

  /** The time of a run that interference has least to do with. */
  private static double low(Figure figure) {
    OptionalDouble onCore =
        figure.threads() == 1 ? figure.line().maybe("cpu_us.p05") : OptionalDouble.empty();
    if (onCore.isPresent() && onCore.getAsDouble() > 0) {
      return onCore.getAsDouble();
    }
    return figure.line().maybe("us.p05").orElse(figure.micros().median());
  }
}

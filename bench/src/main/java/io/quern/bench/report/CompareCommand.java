package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** Says case by case whether something became slower between two result files. */
public final class CompareCommand implements Command {
  private static final Option MARGIN =
      new Option("--margin", "PERCENT", "the least change that matters; default 10");
  private static final Option ALL =
      new Option("--all", "", "judge plain loops and peers as well, not Quern alone");
  private static final int DEFAULT_MARGIN = 10;
  private static final int MOST_MARGIN = 100;

  private static final String COPY = "a copy";

  /** What one implementation took at one case, run by run, in several readings. */
  private record Times(Map<String, Figure> byRun) {}

  @Override
  public String name() {
    return "compare";
  }

  @Override
  public String summary() {
    return "says what became slower or faster between two result files";
  }

  @Override
  public List<String> operands() {
    return List.of("BEFORE", "AFTER");
  }

  @Override
  public List<Option> options() {
    return List.of(MARGIN, ALL);
  }

  @Override
  public String details() {
    return """
    For each case that both files have: SAME, FASTER, SLOWER or AMBIGUOUS, the ratio of the times
    (above 1 is slower) and its 95 % interval. The exit code is 1 if anything is SLOWER, or was
    verified before and is refused now. Measure each side in several JVMs, best in turns:
      bench --preset quick --forks 5 --json before.jsonl
    With four runs and more on each side the interval is that of Hodges, Lehmann and Moses over
    all pairs of runs. With fewer it holds all pairs, and at least 7 % on both sides for what
    differs from JVM to JVM; of a single run also what lies between its time and its median.

    Runs whose rooflines changed are left out, unless there are no others.

    A run's time is the 5th percentile of its samples, on a CPU of the time that the thread had a
    core: interference only ever adds. It is read against a copy of as many bytes, and against
    each plain loop and peer, of the same run, so that a slower hour of the machine is no change;
    of these readings the one with the narrowest interval is taken, whatever it says. Without any
    of them it is read as it is.

    SLOWER and FASTER: the interval leaves out everything within 2 % of no change, and the estimate
    is at least half the margin. SAME: the estimate is less than that, in an interval that reaches
    no further from it than the margin. AMBIGUOUS: measure longer, in more JVMs, or when the
    machine is quieter.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of(
        "compare before.jsonl after.jsonl", "compare before.jsonl after.jsonl --margin 5");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws IOException {
    double margin = arguments.integer(MARGIN, DEFAULT_MARGIN, 1, MOST_MARGIN) / 100.0;
    ResultFile before = ResultFile.read(List.of(arguments.operand(0)));
    ResultFile after = ResultFile.read(List.of(arguments.operand(1)));
    PrintStream out = terminal.out();
    Map<Figure.Key, Times> earlier = times(before, "before", out);
    Map<Figure.Key, Times> later = times(after, "after", out);
    EnumMap<Change.Verdict, Integer> counts = new EnumMap<>(Change.Verdict.class);
    int few = 0;
    for (Map.Entry<Figure.Key, Times> one : earlier.entrySet()) {
      Times now = later.get(one.getKey());
      Figure figure = one.getValue().byRun().values().iterator().next();
      if (now == null || (!figure.quern() && !arguments.has(ALL))) {
        continue;
      }
      Reading reading = reading(one.getKey(), earlier, later);
      Change change = reading.change();
      Change.Verdict verdict = change.verdict(margin);
      counts.merge(verdict, 1, Integer::sum);
      if (!Change.enough(one.getValue().byRun().size(), now.byRun().size())) {
        few++;
      }
      out.println(
          String.format(
              Locale.ROOT,
              "%-9s %.3f [%.3f, %.3f]  %s (%s; %s, %s)",
              verdict,
              change.ratio(),
              change.low(),
              change.high(),
              one.getKey(),
              reading.against(),
              lines(one.getValue()),
              lines(now)));
    }
    if (counts.isEmpty()) {
      throw new BadArgumentsException("the files have no case in common");
    }
    List<String> broken = broken(before, after);
    broken.forEach(line -> out.println("REFUSED   " + line));
    missing(earlier, later, arguments.has(ALL)).forEach(key -> out.println("MISSING   " + key));
    out.println(
        "%d SAME, %d FASTER, %d SLOWER, %d AMBIGUOUS"
            .formatted(
                counts.getOrDefault(Change.Verdict.SAME, 0),
                counts.getOrDefault(Change.Verdict.FASTER, 0),
                counts.getOrDefault(Change.Verdict.SLOWER, 0),
                counts.getOrDefault(Change.Verdict.AMBIGUOUS, 0)));
    if (few > 0) {
      out.println(
          "%d of them from fewer than four runs a side: bench --forks 5 tells more".formatted(few));
    }
    boolean regression = counts.containsKey(Change.Verdict.SLOWER) || !broken.isEmpty();
    return regression ? Outcome.FAILED : Outcome.OK;
  }

  /** A change, and against what the times were read. */
  private record Reading(Change change, String against) {}

  private static Reading reading(
      Figure.Key key, Map<Figure.Key, Times> earlier, Map<Figure.Key, Times> later) {
    Map<String, Change> readings = new LinkedHashMap<>();
    double within = Math.max(within(earlier.get(key)), within(later.get(key)));
    for (String against : yardsticks(earlier, key)) {
      double[] before = read(key, earlier, against);
      double[] after = read(key, later, against);
      if (before.length > 0 && after.length > 0) {
        readings.put("against " + against, Change.between(before, after, within));
      }
    }
    if (readings.isEmpty()) {
      readings.put(
          "as it is",
          Change.between(
              earlier.get(key).byRun().values().stream().mapToDouble(CompareCommand::low).toArray(),
              later.get(key).byRun().values().stream().mapToDouble(CompareCommand::low).toArray(),
              within));
    }
    Change narrowest = Change.narrowest(List.copyOf(readings.values()));
    String against =
        readings.entrySet().stream()
            .filter(one -> one.getValue().equals(narrowest))
            .map(Map.Entry::getKey)
            .findFirst()
            .orElseThrow();
    return new Reading(narrowest, against);
  }

  /** By how much a run may be off: how far its own middle is above what is taken as its time. */
  private static double within(Times times) {
    return times.byRun().values().stream()
        .mapToDouble(one -> Math.log(Math.max(1, middle(one) / low(one))))
        .max()
        .orElse(0);
  }

  private static double middle(Figure figure) {
    OptionalDouble onCore =
        figure.threads() == 1 ? figure.line().maybe("cpu_us.p50") : OptionalDouble.empty();
    return onCore.orElse(figure.micros().median());
  }

  /** What is not Quern's and was timed at the same case; sorted, so that ties are stable. */
  private static List<String> yardsticks(Map<Figure.Key, Times> times, Figure.Key key) {
    TreeSet<String> names = new TreeSet<>();
    names.add(COPY);
    times.forEach(
        (other, figures) -> {
          boolean quern = figures.byRun().values().iterator().next().quern();
          if (!quern && other.id().equals(key.id()) && !other.by().equals(key.by())) {
            names.add(other.by());
          }
        });
    return new ArrayList<>(names);
  }

  /** Times of each run over those of the yardstick in that run, of the runs that have both. */
  private static double[] read(Figure.Key key, Map<Figure.Key, Times> times, String against) {
    List<Double> read = new ArrayList<>();
    for (Map.Entry<String, Figure> one : times.get(key).byRun().entrySet()) {
      OptionalDouble yardstick =
          against.equals(COPY)
              ? one.getValue().line().maybe("memcpy_cpu_us.p05")
              : times.entrySet().stream()
                  .filter(
                      other ->
                          other.getKey().id().equals(key.id())
                              && other.getKey().by().equals(against)
                              && other.getKey().pages().equals(key.pages())
                              && other.getValue().byRun().containsKey(one.getKey()))
                  .mapToDouble(other -> low(other.getValue().byRun().get(one.getKey())))
                  .findFirst();
      if (yardstick.isPresent() && yardstick.getAsDouble() > 0) {
        read.add(low(one.getValue()) / yardstick.getAsDouble());
      }
    }
    return read.stream().mapToDouble(d -> d).toArray();
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

  /** The times of a file's stable runs, or of all where none is. */
  private static Map<Figure.Key, Times> times(ResultFile file, String side, PrintStream out) {
    Set<String> runs = file.figures().stream().map(Figure::run).collect(Collectors.toSet());
    Set<String> unstable =
        file.runs().stream()
            .filter(run -> run.flag("unstable", false))
            .map(run -> run.text("run", run.file()))
            .filter(runs::contains)
            .collect(Collectors.toSet());
    boolean all = unstable.size() == runs.size();
    if (!unstable.isEmpty()) {
      out.println(
          all
              ? "%s: every run is unstable, since its rooflines changed".formatted(side)
              : "%s: %d of %d runs left out, since their rooflines changed"
                  .formatted(side, unstable.size(), runs.size()));
    }
    Map<Figure.Key, Times> times = new LinkedHashMap<>();
    for (Figure figure : file.figures()) {
      if (all || !unstable.contains(figure.run())) {
        times
            .computeIfAbsent(figure.key(), missing -> new Times(new LinkedHashMap<>()))
            .byRun()
            .put(figure.run(), figure);
      }
    }
    return times;
  }

  private static String lines(Times times) {
    Figure first = times.byRun().values().iterator().next();
    int more = times.byRun().size() - 1;
    return first.line().where() + (more == 0 ? "" : " and %d more".formatted(more));
  }

  /** Cases that had figures and are refused now. */
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

  private static List<Figure.Key> missing(
      Map<Figure.Key, Times> earlier, Map<Figure.Key, Times> later, boolean all) {
    return earlier.entrySet().stream()
        .filter(one -> all || one.getValue().byRun().values().iterator().next().quern())
        .map(Map.Entry::getKey)
        .filter(key -> !later.containsKey(key))
        .toList();
  }
}

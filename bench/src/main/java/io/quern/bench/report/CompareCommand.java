package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.io.PrintStream;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Says case by case whether something became slower between two result files. */
public final class CompareCommand implements Command {
  private static final Option MARGIN =
      new Option("--margin", "PERCENT", "the least change that matters; default 10");
  private static final Option ALL =
      new Option("--all", "", "judge plain loops and peers as well, not Quern alone");
  private static final int DEFAULT_MARGIN = 10;
  private static final int MOST_MARGIN = 100;

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
    (above 1 is slower) and its interval. The exit code is 1 if anything is SLOWER, or was
    verified before and is refused now. Best let one command measure and compare:
      bench --preset quick --against before.jar --json after.jsonl
    Where both sides were measured in turns, as there, four JVMs of each or more, run i of one is
    paired with run i of the other: the ratio is the mean of all pairs but a fifth at each end,
    its interval of 99 % that of Yuen; 99, since --against looks up to five times.

    Otherwise, with four runs and more on each side, the interval of 95 % is that of Hodges, Lehmann
    and Moses over all pairs of runs. With fewer it holds all of them, and at least 7 % on both sides
    for what differs from JVM to JVM; of a single run also what lies between its time and its
    median. Runs whose rooflines changed are left out then, unless there are no others.

    A run's time is the 5th percentile of its samples, on a CPU of the time that the thread had a
    core: interference only ever adds. It is read against a copy of as many bytes, and against
    each plain loop and peer, of the same run, so that a slower hour of the machine is no change;
    of these readings the one with the narrowest interval is taken, whatever it says. Without any
    of them it is read as it is.

    SLOWER and FASTER: the interval leaves out everything within 2 % of no change, and the estimate
    is at least half the margin. SAME: the estimate is less than that, in an interval that reaches
    no further from it than the margin; of pairs, that leaves out every change of the margin.
    AMBIGUOUS: measure longer, in more JVMs, or when the machine is quieter.
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
    Sides sides = Sides.of(arguments.operand(0), arguments.operand(1));
    PrintStream out = terminal.out();
    sides.remarks().forEach(out::println);
    EnumMap<Change.Verdict, Integer> counts = new EnumMap<>(Change.Verdict.class);
    int few = 0;
    for (Figure.Key key : sides.common(arguments.has(ALL))) {
      Sides.Reading reading = sides.reading(key);
      Change change = reading.change();
      Change.Verdict verdict = change.verdict(margin);
      counts.merge(verdict, 1, Integer::sum);
      Map<String, Figure> before = sides.before().get(key);
      Map<String, Figure> after = sides.after().get(key);
      if (!Change.enough(before.size(), after.size())) {
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
              key,
              reading.how(),
              lines(before),
              lines(after)));
    }
    if (counts.isEmpty()) {
      throw new BadArgumentsException("the files have no case in common");
    }
    List<String> broken = sides.broken();
    broken.forEach(line -> out.println("REFUSED   " + line));
    sides.missing(arguments.has(ALL)).forEach(key -> out.println("MISSING   " + key));
    out.println(
        "%d SAME, %d FASTER, %d SLOWER, %d AMBIGUOUS"
            .formatted(
                counts.getOrDefault(Change.Verdict.SAME, 0),
                counts.getOrDefault(Change.Verdict.FASTER, 0),
                counts.getOrDefault(Change.Verdict.SLOWER, 0),
                counts.getOrDefault(Change.Verdict.AMBIGUOUS, 0)));
    if (few > 0) {
      out.println(
          "%d of them from fewer than four runs a side: bench --against tells more".formatted(few));
    }
    boolean regression = counts.containsKey(Change.Verdict.SLOWER) || !broken.isEmpty();
    return regression ? Outcome.FAILED : Outcome.OK;
  }

  /**
   * The ids of Quern's cases of which two result files tell too little.
   *
   * @throws BadArgumentsException if a file is broken
   */
  public static List<String> undecided(String before, String after) throws IOException {
    Sides sides = Sides.of(before, after);
    return sides.common(false).stream()
        .filter(
            key ->
                sides.reading(key).change().verdict(DEFAULT_MARGIN / 100.0)
                    == Change.Verdict.AMBIGUOUS)
        .map(Figure.Key::id)
        .distinct()
        .toList();
  }

  private static String lines(Map<String, Figure> byRun) {
    Figure first = byRun.values().iterator().next();
    int more = byRun.size() - 1;
    return first.line().where() + (more == 0 ? "" : " and %d more".formatted(more));
  }
}

package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.stream.Collectors;

/** Says case by case whether something became slower between two result files. */
public final class CompareCommand implements Command {
  /** Begins the name of what an earlier build has beside this one: {@code before:simd}. */
  public static final String BEFORE = "before:";

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
    return "says what became slower or faster between two builds";
  }

  @Override
  public List<String> operands() {
    return List.of("RESULTS" + AND_MORE);
  }

  @Override
  public List<Option> options() {
    return List.of(MARGIN, ALL);
  }

  @Override
  public String details() {
    return """
    For each case SAME, FASTER, SLOWER or AMBIGUOUS, the ratio of the times (above 1 is slower) and
    its interval. The exit code is 1 if anything is SLOWER, or was verified before and is refused
    now. Best let one command measure and compare:
      bench --preset quick --against before.jar --json after.jsonl
    One file is read so: each of its JVMs has measured both builds, in turns on the same operands.
    The ratio is the mean over the JVMs but a fifth at each end, its interval of 99 % that of Yuen;
    99, since --against looks up to five times.

    Two files, BEFORE and AFTER, are two sides, of four runs or more each (bench --forks 4). The
    interval of 95 % is that of Hodges, Lehmann and Moses over all pairs of runs. Runs whose
    rooflines changed are left out, unless there are no others. A run's time is the 5th percentile
    of its samples, on a CPU of the time that the thread had a core: interference only ever adds. It
    is read against a copy of as many bytes, and against each plain loop and peer, of the same run,
    so that a slower hour of the machine is no change; of these readings the one with the narrowest
    interval is taken, whatever it says. Without any of them it is read as it is.

    SLOWER and FASTER: the interval leaves out everything within 2 % of no change, and the estimate
    is at least half the margin. SAME: the estimate is less than that, and the interval leaves out
    every change of the margin. AMBIGUOUS: neither, or fewer than four runs; measure in more JVMs,
    or when the machine is quieter.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of(
        "compare after.jsonl",
        "compare before.jsonl after.jsonl",
        "compare before.jsonl after.jsonl --margin 5");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws IOException {
    double margin = arguments.integer(MARGIN, DEFAULT_MARGIN, 1, MOST_MARGIN) / 100.0;
    boolean all = arguments.has(ALL);
    PrintStream out = terminal.out();
    List<String> files = arguments.operands();
    return switch (files.size()) {
      case 1 -> {
        if (all) {
          throw new BadArgumentsException("--all is for two files");
        }
        Beside beside = new Beside(files.getFirst());
        yield print(beside.compared(), beside.broken(), List.of(), margin, out);
      }
      case 2 -> {
        Sides sides = Sides.of(files.getFirst(), files.getLast());
        List<Compared> compared = sides.compared(all);
        if (compared.isEmpty()) {
          throw new BadArgumentsException("the files have no case in common");
        }
        sides.remarks().forEach(out::println);
        yield print(compared, sides.broken(), sides.missing(all), margin, out);
      }
      default -> throw new BadArgumentsException("compare takes one file, or two");
    };
  }

  private static Outcome print(
      List<Compared> compared,
      List<String> broken,
      List<Figure.Key> missing,
      double margin,
      PrintStream out) {
    EnumMap<Change.Verdict, Integer> counts = new EnumMap<>(Change.Verdict.class);
    for (Compared one : compared) {
      counts.merge(one.change().verdict(margin), 1, Integer::sum);
      out.println(one.line(margin));
    }
    broken.forEach(line -> out.println("REFUSED   " + line));
    missing.forEach(key -> out.println("MISSING   " + key));
    out.println(
        Arrays.stream(Change.Verdict.values())
            .map(verdict -> "%d %s".formatted(counts.getOrDefault(verdict, 0), verdict))
            .collect(Collectors.joining(", ")));
    boolean regression = counts.containsKey(Change.Verdict.SLOWER) || !broken.isEmpty();
    return regression ? Outcome.FAILED : Outcome.OK;
  }

  /**
   * The ids of the cases of which a file with two builds tells too little.
   *
   * @throws BadArgumentsException if the file is broken
   */
  public static List<String> undecided(String file) throws IOException {
    return new Beside(file)
        .compared().stream()
            .filter(one -> one.change().verdict(DEFAULT_MARGIN / 100.0) == Change.Verdict.AMBIGUOUS)
            .map(one -> one.key().id())
            .distinct()
            .toList();
  }
}

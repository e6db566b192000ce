package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * What a report shows: machine by machine and operator by operator one figure of each thing. Of
 * several runs of one thing in a file that of the middle run is shown, of several files that of the
 * last one.
 *
 * @param machines in the order of the files
 * @param refused cases that were not timed
 * @param targets what was aimed at, with what was reached
 */
record Report(List<Machine> machines, List<Line> refused, List<Reached> targets) {
  /**
   * Where figures were measured.
   *
   * @param name CPU, cores and GPU
   * @param environment a line of a figure measured there
   * @param operators by name
   * @param runs the last lines of the runs there
   */
  record Machine(String name, Line environment, List<Operator> operators, List<Line> runs) {
    /** Roofline of a copy in GB/s, of the first run that has it. */
    OptionalDouble copy(boolean gpu, int threads) {
      String name = gpu ? "gpu_copy_gb_per_s" : "copy_gb_per_s";
      return runs.stream()
          .filter(run -> gpu || run.maybe("rooflines_first.threads").orElse(1) == threads)
          .map(run -> run.maybe("rooflines_first." + name))
          .flatMapToDouble(OptionalDouble::stream)
          .filter(rate -> rate > 0)
          .findFirst();
    }

    boolean unstable() {
      return runs.stream().anyMatch(run -> run.flag("unstable", false));
    }
  }

  /** The figures of one operator, case by case. */
  record Operator(String name, List<Figure> figures) {
    /** The back ends that comparisons are about: the fast ones. */
    List<Figure> ours() {
      return figures.stream()
          .filter(one -> one.quern() && !one.by().equals("scalar") && !one.by().equals("emulated"))
          .toList();
    }

    /** Every implementation that a figure of ours is compared with. */
    List<String> baselines() {
      return new ArrayList<>(
          ours().stream()
              .flatMap(one -> ratios(one).keySet().stream())
              .collect(Collectors.toCollection(TreeSet::new)));
    }

    /**
     * How many times faster a figure is than each baseline: paired within its run, or, of
     * implementations that were timed on the same GPU by another process, from both intervals.
     */
    Map<String, Statistics.Interval> ratios(Figure ours) {
      Map<String, Statistics.Interval> ratios = new LinkedHashMap<>(ours.timesFaster());
      for (Figure other : figures) {
        if (ours.gpu() && other.gpu() && !other.quern() && other.id().equals(ours.id())) {
          ratios.putIfAbsent(
              other.by(),
              new Statistics.Interval(
                  other.micros().low() / ours.micros().high(),
                  other.micros().median() / ours.micros().median(),
                  other.micros().high() / ours.micros().low()));
        }
      }
      return ratios;
    }
  }

  /**
   * A target with what was reached.
   *
   * @param figure empty where it was not measured
   * @param value in the unit of the target
   */
  record Reached(Notes.Target target, Optional<Figure> figure, double value, String shown) {
    boolean met() {
      return figure.isPresent() && value >= target.atLeast();
    }
  }

  static Report of(ResultFile results, Notes notes) {
    Map<String, Map<Figure.Key, Map<String, List<Figure>>>> grouped = new LinkedHashMap<>();
    for (Figure figure : results.figures()) {
      grouped
          .computeIfAbsent(machine(figure.line()), missing -> new LinkedHashMap<>())
          .computeIfAbsent(figure.key(), missing -> new LinkedHashMap<>())
          .computeIfAbsent(figure.line().file(), missing -> new ArrayList<>())
          .add(figure);
    }
    List<Machine> machines = new ArrayList<>();
    grouped.forEach(
        (name, keys) -> {
          Map<String, List<Figure>> operators = new LinkedHashMap<>();
          keys.values()
              .forEach(
                  files -> {
                    Figure shown = middle(List.copyOf(files.values()).getLast());
                    operators
                        .computeIfAbsent(shown.operator(), missing -> new ArrayList<>())
                        .add(shown);
                  });
          machines.add(
              new Machine(
                  name,
                  operators.values().iterator().next().getFirst().line(),
                  operators.entrySet().stream()
                      .map(entry -> new Operator(entry.getKey(), List.copyOf(entry.getValue())))
                      .toList(),
                  results.runs().stream().filter(run -> machine(run).equals(name)).toList()));
        });
    return new Report(
        List.copyOf(machines),
        List.copyOf(results.refused()),
        notes.targets().stream().map(target -> reached(target, machines)).toList());
  }

  private static Figure middle(List<Figure> runs) {
    List<Figure> sorted =
        runs.stream().sorted(Comparator.comparing(one -> one.micros().median())).toList();
    return sorted.get(sorted.size() / 2);
  }

  private static Reached reached(Notes.Target target, List<Machine> machines) {
    for (Machine machine : machines) {
      for (Operator operator : machine.operators()) {
        for (Figure figure : operator.figures()) {
          if (figure.id().equals(target.id())
              && figure.by().equals(target.by())
              && figure.threads() == target.threads()) {
            Optional<Reached> reached = reached(target, operator, figure);
            if (reached.isPresent()) {
              return reached.get();
            }
          }
        }
      }
    }
    return new Reached(target, Optional.empty(), Double.NaN, "not measured");
  }

  private static Optional<Reached> reached(Notes.Target target, Operator operator, Figure figure) {
    return switch (target.against()) {
      case "copy" -> percent(target, figure, figure.percentOfCopy());
      case "fma" -> percent(target, figure, figure.percentOfFma());
      default ->
          Optional.ofNullable(operator.ratios(figure).get(target.against()))
              .map(
                  ratio ->
                      new Reached(
                          target, Optional.of(figure), ratio.median(), Tables.ratio(ratio)));
    };
  }

  private static Optional<Reached> percent(
      Notes.Target target, Figure figure, OptionalDouble percent) {
    return percent.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Reached(
                target,
                Optional.of(figure),
                percent.getAsDouble(),
                Scale.significant(percent.getAsDouble()) + " %"));
  }

  /** What tells machines apart. */
  private static String machine(Line line) {
    Map<String, Object> environment = line.map("environment");
    Object gpu = environment.get("gpu");
    return "%s, %s cores%s"
        .formatted(
            Objects.requireNonNullElse(environment.get("cpu"), "unknown CPU"),
            environment.get("cores") instanceof Number cores ? cores.intValue() : "?",
            gpu == null ? "" : ", " + gpu);
  }
}

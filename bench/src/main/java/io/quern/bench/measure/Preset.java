package io.quern.bench.measure;

import io.quern.bench.BadArgumentsException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Which cases a run times, and for how long. */
public enum Preset {
  /** A few cases of every operator, briefly: within three minutes. */
  QUICK(new Comparison.StopRule(7, 0.2, 1)) {
    @Override
    Stream<TimedCase> cases() {
      return TimedCase.all().stream().filter(TimedCase::quick);
    }
  },

  /** Every case of every operator. */
  FULL(new Comparison.StopRule(20, 3, 1.5)) {
    @Override
    Stream<TimedCase> cases() {
      return TimedCase.all().stream();
    }
  },

  /**
   * The sizes that others publish: cuEmbed's and NV Embedding Cache's tables, and those of the
   * papers, which the other operators' own cases have.
   */
  GRID(new Comparison.StopRule(10, 1, 1.5)) {
    @Override
    Stream<TimedCase> cases() {
      return Stream.concat(
          PublishedGrids.cases(),
          TimedCase.all().stream().filter(one -> !one.operator().startsWith("embedding_")));
    }
  };

  private final Comparison.StopRule rule;

  Preset(Comparison.StopRule rule) {
    this.rule = rule;
  }

  abstract Stream<TimedCase> cases();

  Comparison.StopRule rule() {
    return rule;
  }

  /** As it is written in arguments and results. */
  String id() {
    return name().toLowerCase(Locale.ROOT);
  }

  static Preset of(String id) {
    return Arrays.stream(values())
        .filter(preset -> preset.id().equals(id))
        .findFirst()
        .orElseThrow(
            () ->
                new BadArgumentsException(
                    "no preset is called '%s'; there are %s"
                        .formatted(
                            id,
                            List.of(values()).stream()
                                .map(Preset::id)
                                .collect(Collectors.joining(", ")))));
  }
}

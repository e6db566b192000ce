package io.quern.bench.demo;

import io.quern.Backends;
import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Progress;
import io.quern.bench.Terminal;
import io.quern.bench.measure.OpenDevices;
import io.quern.bench.speculate.SpeculationTable;
import java.util.Arrays;
import java.util.List;

/** Speculative decoding of a real text, from the draft tree to the compacted cache. */
public final class SpeculateCommand implements Command {
  private static final Option TOKENS =
      new Option("--tokens", "N", "tokens that each request generates, 1 to 1000 (default 50)");

  @Override
  public String name() {
    return "speculate";
  }

  @Override
  public String summary() {
    return "decodes with draft trees, and counts what each kind of tree and of verification saves";
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND, TOKENS);
  }

  @Override
  public String details() {
    return """
    Splits Jane Austen's Persuasion into tokens and learns two n-gram models from it: a target, and
    a smaller one that drafts. A few requests are then continued: each step drafts a tree, computes
    its topology, asks the target for all of its nodes at once, verifies, compacts a cache of keys
    and values, and, with Token Recycling, updates its matrix. All but the two models runs on every
    back end in turn, as graphs.

    With greedy verification every kind of tree has to give the text of plain decoding, token by
    token, and every back end the same numbers; if not, the command says which and ends with exit
    code 1. An n-gram model says nothing about the speed of a real one: the tables count how often
    the target model had to be asked.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("speculate", "speculate --backend simd --tokens 300");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    Backends.probe().lines().forEach(terminal.out()::println);
    try (OpenDevices devices = new OpenDevices(arguments.backends(), 2);
        Progress progress =
            terminal.progress(name(), 2 + SpeculationTable.ROWS * devices.all().size())) {
      progress.step("tokenizing");
      int[] text =
          MiniLm.tokenize(DemoCommand.text()).stream()
              .flatMapToLong(Arrays::stream)
              .mapToInt(Math::toIntExact)
              .toArray();
      progress.step("learning " + text.length + " tokens");
      int tokens = arguments.integer(TOKENS, 50, 1, 1000);
      SpeculationTable table = SpeculationTable.of(text, tokens, progress);
      devices.all().forEach(table::run);
      return table.print(terminal.out()) ? Outcome.OK : Outcome.FAILED;
    }
  }
}

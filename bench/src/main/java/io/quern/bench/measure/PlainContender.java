package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.IntConsumer;

/** A loop in the calling thread that writes to fixed places. */
final class PlainContender implements Contender {
  private final String name;
  private final Map<String, MemorySegment> results = new LinkedHashMap<>();
  private final Runnable reset;
  private final IntConsumer run;

  /** Writes the outputs that the contenders of a workload share. */
  PlainContender(String name, Map<String, Output> outputs, IntConsumer run) {
    this.name = name;
    this.run = run;
    this.reset = () -> outputs.values().forEach(Output::reset);
    outputs.forEach((output, shared) -> results.put(output, shared.memory()));
  }

  /** Writes an output of its own. */
  PlainContender(String name, String output, MemorySegment result, IntConsumer run) {
    this.name = name;
    this.run = run;
    this.reset = () -> result.fill((byte) -1);
    results.put(output, result);
  }

  private PlainContender(
      String name, Runnable reset, Map<String, MemorySegment> results, IntConsumer run) {
    this.name = name;
    this.reset = reset;
    this.run = run;
    this.results.putAll(results);
  }

  /** Writes several outputs of its own. */
  static PlainContender writing(String name, Map<String, MemorySegment> results, IntConsumer run) {
    return new PlainContender(
        name, () -> results.values().forEach(result -> result.fill((byte) -1)), results, run);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public void run(int set) {
    run.accept(set);
  }

  @Override
  public void poison() {
    reset.run();
  }

  @Override
  public Map<String, MemorySegment> results() {
    return results;
  }

  @Override
  public void close() {}
}

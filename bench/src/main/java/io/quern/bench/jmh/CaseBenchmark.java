package io.quern.bench.jmh;

import io.quern.bench.measure.TimedCase;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Any case of {@code bench}: one of every operator, others with {@code -p id=ID}, loops with {@code
 * -p by=java-segment}. {@code -prof gc} shows the heap memory of a call.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 2,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class CaseBenchmark {
  @Param({"scalar", "simd"})
  public String by;

  @Param({
    "embedding_gather/f32-table1GiB-row512-n65536-uniform",
    "embedding_gather/f16-table1GiB-row1536-n21845-uniform",
    "embedding_bag/f32-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
    "embedding_bag/f32-table1MiB-d128-mean-bags4096-hot20-uniform",
    "scatter_rows/f32-set-32768x128-of-16384",
    "kv_compaction/f16-rows5-layers32-heads8-d128-one-buffer",
    "tree_topology/levels-nodes64-requests64",
    "tree_verify/greedy-f32-v128256-b1",
    "top_k/f32-81x32000-top8",
    "ponet_pooling/ponet-l4096-b1"
  })
  public String id;

  private TimedContender contender;

  @Setup(Level.Trial)
  public void open() {
    contender = new TimedContender(TimedCase.named(id), by);
  }

  @TearDown(Level.Trial)
  public void close() {
    contender.close();
  }

  @Benchmark
  public double run() {
    return contender.run();
  }
}

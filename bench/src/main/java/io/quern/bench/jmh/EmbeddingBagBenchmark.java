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

/** Cases of {@code EmbeddingBagCases}; more with {@code -p shape=ID}. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 2,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class EmbeddingBagBenchmark {
  @Param({"java-segment", "java-array", "scalar", "simd"})
  public String by;

  @Param({
    "f32-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
    "f32-table1MiB-d128-weighted-sum-bags4096-hot20-uniform",
    "f32-table1MiB-d128-mean-bags4096-hot20-uniform",
    "f16-table1GiB-d128-weighted-sum-bags4096-hot20-uniform"
  })
  public String shape;

  private TimedContender contender;

  @Setup(Level.Trial)
  public void open() {
    contender = new TimedContender(TimedCase.named("embedding_bag/" + shape), by);
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

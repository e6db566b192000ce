package io.quern.bench.jmh;

import io.quern.DType;
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
 * Rows of a random table by uniform random ids, to f32; a call is described in {@link TimedCase}.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 2,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class EmbeddingGatherBenchmark {
  @Param({"java-segment", "java-array", "scalar", "simd"})
  public String by;

  @Param({"F32", "F16", "BF16"})
  public DType table;

  @Param({"16", "128", "768"})
  public int dim;

  @Param({"dram", "cache"})
  public String from;

  private TimedContender contender;

  @Setup(Level.Trial)
  public void open() {
    contender = new TimedContender(TimedCase.gather(table, dim, from.equals("cache")), by);
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

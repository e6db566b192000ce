package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.EmbeddingGatherCases;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A JVM without fast vectors says why, and runs the scalar back end. */
class SimdProbeTest {
  @ParameterizedTest
  @CsvSource({
    "'', jdk.incubator.vector is not loaded, --add-modules jdk.incubator.vector",
    "-Xint, only interprets, without -Xint",
    "-XX:TieredStopAtLevel=1, without the C2 compiler, TieredStopAtLevel at 4",
    "-XX:-UseFMA, no FMA hardware, UseFMA",
    "-XX:MaxVectorSize=8, fewer than 128, MaxVectorSize at 16",
  })
  void theReasonIsNamed(String flag, String reason, String hint) throws Exception {
    List<String> flags = new ArrayList<>();
    if (flag.isEmpty()) {
      flags.add("--enable-native-access=ALL-UNNAMED");
    } else {
      flags.addAll(ForkedJvm.MODULES);
      flags.add(flag);
    }
    ForkedJvm.Result result = ForkedJvm.run(flags, Prober.class);
    assertEquals(0, result.exitCode(), result::output);
    String line =
        result.output().lines().filter(each -> each.startsWith("simd: ")).findFirst().orElseThrow();
    assertTrue(line.startsWith("simd: unavailable: "), line);
    assertTrue(line.contains(reason), line);
    assertTrue(line.contains(hint), line);
    assertTrue(result.output().contains("scalar: available: "), result::output);
    assertTrue(result.output().contains("ran on scalar"), result::output);
  }

  /** Prints what can run here, and runs something on the best of the CPU's back ends. */
  static final class Prober {
    public static void main(String[] args) {
      Backends.probe().lines().forEach(System.out::println);
      try (Device device = Backends.open(Preference.prefer(Backend.SIMD, Backend.SCALAR))) {
        EmbeddingGatherCases.small().getFirst().runOn(device);
        System.out.println("ran on " + device.backend().id());
      }
    }
  }
}

package io.quern.internal.probe;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bindings.quern.QuernAbi;
import io.quern.internal.load.ForkedJvm;
import io.quern.internal.load.PrintedProbe;
import io.quern.internal.load.StubLibraries;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What drivers and devices answer, and what the probe makes of it; a stub of the CUDA runtime
 * answers.
 */
class CudaProbeTest {
  @TempDir private static Path folder;

  @BeforeAll
  static void compile() throws Exception {
    StubLibraries.compile(folder.resolve("libcudart.so.13"), StubLibraries.CUDART);
    StubLibraries.compile(
        folder.resolve("libquern.so"), StubLibraries.quern(QuernAbi.QUERN_ABI_VERSION()));
  }

  @Test
  void aDevice() throws Exception {
    assertProbe(
        Map.of("STUB_DRIVER", "13010"),
        "cuda: available: ",
        "compute capability 9.0",
        "driver for CUDA 13.1, runtime 13.0, quern stub");
  }

  @Test
  void noDriver() throws Exception {
    assertProbe(
        Map.of("STUB_STATUS", "35"),
        "cuda: unavailable: cudaErrorInsufficientDriver (35): ",
        "there is no driver (install");
  }

  @Test
  void aDriverThatIsTooOld() throws Exception {
    assertProbe(
        Map.of("STUB_STATUS", "35", "STUB_DRIVER", "12040"),
        "cuda: unavailable: cudaErrorInsufficientDriver (35): ",
        "the driver is for CUDA 12.4, the runtime 13.0 (install a driver for CUDA 13.0 or newer)");
  }

  @Test
  void noDevice() throws Exception {
    assertProbe(
        Map.of("STUB_STATUS", "100"),
        "cuda: unavailable: cudaErrorStub (100): ",
        "CUDA_VISIBLE_DEVICES");
  }

  @Test
  void anotherStatus() throws Exception {
    assertProbe(
        Map.of("STUB_STATUS", "804"), "cuda: unavailable: cudaErrorStub (804): ", "nvidia-smi");
  }

  @Test
  void aDeviceThatIsTooOld() throws Exception {
    assertProbe(
        Map.of("STUB_COMPUTE", "75"),
        "cuda: unavailable: ",
        "compute capability 7.5, 0.0 GiB; the kernels need compute capability 8.0",
        "quern.cuda.device");
  }

  @Test
  void anOrdinalThatDoesNotExist() throws Exception {
    assertProbe(
        Map.of("STUB_DEVICES", "2"),
        "cuda: unavailable: there is no device 2: CUDA shows 2, from 0 on",
        "quern.cuda.device");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "first", "1.5", "0x1", "4294967296"})
  void anOrdinalThatIsNoNumber(String value) throws Exception {
    String refused = "unavailable: quern.cuda.device is '" + value + "', expected a number";
    String lines =
        ForkedJvm.allowed("-Dquern.native.dir=" + folder, "-Dquern.cuda.device=" + value)
            .run(PrintedProbe.class);
    assertTrue(lines.contains("cuda: " + refused), lines);
    lines =
        ForkedJvm.allowed("-Dquern.emulation=", "-Dquern.cuda.device=" + value)
            .run(PrintedProbe.class);
    assertTrue(lines.contains("cuda: unavailable: the emulation takes its place"), lines);
    assertTrue(lines.contains("emulated: " + refused), lines);
  }

  /** The property decides for those alone who name no ordinal. */
  @Test
  void eachOrdinalIsProbedByItself() throws Exception {
    String lines =
        ForkedJvm.allowed("-Dquern.native.dir=" + folder, "-Dquern.cuda.device=7")
            .with(Map.of("STUB_DEVICES", "2"))
            .run(Ordinals.class);
    assertTrue(lines.contains("7: {CUDA=Unavailable[reason=there is no device 7"), lines);
    assertTrue(lines.contains("1: {CUDA=Available["), lines);
    assertTrue(lines.contains("2: {CUDA=Unavailable[reason=there is no device 2"), lines);
  }

  /** The main class of {@link #eachOrdinalIsProbedByItself}. */
  static final class Ordinals {
    public static void main(String[] arguments) {
      for (int ordinal : new int[] {CudaProbe.ordinal(), 1, 2}) {
        System.out.println(ordinal + ": " + CudaProbe.probe(ordinal));
      }
    }
  }

  private static void assertProbe(Map<String, String> answers, String... parts) throws Exception {
    String lines =
        ForkedJvm.allowed(
                "-Dquern.native.dir=" + folder,
                "-Dquern.cuda.device=" + (answers.containsKey("STUB_DEVICES") ? 2 : 0))
            .with(answers)
            .run(PrintedProbe.class);
    for (String part : parts) {
      assertTrue(lines.contains(part), lines);
    }
  }
}

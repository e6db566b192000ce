package io.quern.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Backends;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The example of the documentation compiles, and says why where there is no GPU. */
class OwnKernelExampleTest {
  private static final int UNAVAILABLE = 3;

  @Test
  void withoutAGpuThereIsAReason() throws Exception {
    String cubin = System.getProperty("quern.test.cubin", "none");
    boolean gpu = Backends.probe().isAvailable(Backend.CUDA) && !cubin.equals("none");
    Process example =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                "../docs/examples/own-kernel/OwnKernel.java",
                cubin)
            .redirectErrorStream(true)
            .start();
    String printed = new String(example.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (gpu) {
      assertEquals(0, example.waitFor(), printed);
      assertTrue(printed.contains("GB/s"), printed);
    } else if (!Backends.probe().isAvailable(Backend.CUDA)) {
      assertEquals(UNAVAILABLE, example.waitFor(), printed);
      assertTrue(printed.contains("no GPU to time on: "), printed);
    }
  }
}

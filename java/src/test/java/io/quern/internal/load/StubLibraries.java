package io.quern.internal.load;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Small native libraries made by the machine's C compiler, to be loaded in the place of the real
 * ones.
 */
public final class StubLibraries {
  /**
   * A runtime of CUDA 13.0 that answers what the environment says: STUB_STATUS, STUB_DRIVER,
   * STUB_DEVICES.
   */
  public static final String CUDART =
      """
      #include <stdlib.h>
      static int number(const char* name, int otherwise) {
        const char* text = getenv(name);
        return text ? atoi(text) : otherwise;
      }
      int cudaRuntimeGetVersion(int* version) { *version = number("STUB_RUNTIME", 13000); return 0; }
      int cudaDriverGetVersion(int* version) { *version = number("STUB_DRIVER", 0); return 0; }
      int cudaGetDeviceCount(int* count) {
        *count = number("STUB_DEVICES", 1);
        return number("STUB_STATUS", 0);
      }
      int cudaGetLastError(void) { return 0; }
      const char* cudaGetErrorName(int error) { return error == 35 ? "cudaErrorInsufficientDriver" : "cudaErrorStub"; }
      const char* cudaGetErrorString(int error) { return "as the stub says"; }
      """;

  private StubLibraries() {}

  /**
   * A libquern of an ABI version, whose device has the compute capability STUB_COMPUTE, such as 75,
   * and whose build information says in which folder it lies and who may enter that.
   */
  public static String quern(int abi) {
    return """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <libgen.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/stat.h>
    int32_t quern_abi_version(void) { return %d; }
    const char* quern_build_info(void) {
      static char text[1024];
      char path[512] = "";
      struct stat status = {0};
      Dl_info info = {0};
      dladdr((void*)&quern_build_info, &info);
      strncpy(path, info.dli_fname, sizeof(path) - 1);
      char* folder = dirname(path);
      stat(folder, &status);
      snprintf(text, sizeof(text), "quern stub in %%s, mode %%o", folder, status.st_mode & 0777);
      return text;
    }
    int32_t quern_describe_device(int32_t device, void* info) {
      const char* compute = getenv("STUB_COMPUTE");
      int32_t capability = compute ? atoi(compute) : 90;
      ((int32_t*)info)[1] = capability / 10;
      ((int32_t*)info)[2] = capability %% 10;
      return 0;
    }
    """
        .formatted(abi);
  }

  /** Compiles C source into a shared library; the test is skipped where there is no compiler. */
  public static void compile(Path library, String source, String... flags)
      throws IOException, InterruptedException {
    assumeTrue(
        Stream.of(System.getenv("PATH").split(":"))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, "cc"))),
        "no C compiler named cc on PATH");
    Path code = library.resolveSibling(library.getFileName() + ".c");
    Files.writeString(code, source);
    List<String> command =
        new ArrayList<>(
            List.of("cc", "-shared", "-fPIC", "-o", library.toString(), code.toString()));
    command.addAll(List.of(flags));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertEquals(0, process.waitFor(), output);
    Files.delete(code);
  }
}

package io.quern.bench.measure;

import io.quern.Availability.Available;
import io.quern.Backend;
import io.quern.Backends;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** Where a measurement was made: what a reader must know to compare it with another. */
final class Environment {
  private static final Path CPU_INFO = Path.of("/proc/cpuinfo");

  /** What the probe says after the name of a GPU, which alone is what other programs call it. */
  private static final String GPU_DETAILS = ", compute capability .*";

  private Environment() {}

  /** The machine, the JVM and its flags, and what each back end runs on. */
  static Map<String, Object> describe() {
    Map<String, Object> environment = new LinkedHashMap<>();
    environment.put("cpu", cpuInfo("model name"));
    environment.put("mhz", cpuInfo("cpu MHz"));
    environment.put("cores", Runtime.getRuntime().availableProcessors());
    environment.put("os", System.getProperty("os.name") + " " + System.getProperty("os.version"));
    environment.put("arch", System.getProperty("os.arch"));
    environment.put(
        "jdk", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"));
    environment.put("flags", ManagementFactory.getRuntimeMXBean().getInputArguments());
    Map<String, String> malloc = new TreeMap<>(System.getenv()); // slows peers down that allocate
    malloc.keySet().removeIf(name -> !name.startsWith("MALLOC_"));
    environment.put("malloc", malloc);
    if (Backends.probe().of(Backend.CUDA) instanceof Available cuda) {
      environment.put("gpu", cuda.detail().replaceFirst(GPU_DETAILS, ""));
    }
    environment.put("backends", Backends.probe().lines());
    return environment;
  }

  /** The commit that was built, with {@code -dirty} if it was not quite that, or "unknown". */
  static String commit() throws IOException {
    try (InputStream in = Environment.class.getResourceAsStream("/META-INF/quern-commit")) {
      return in == null ? "unknown" : new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
    }
  }

  private static String cpuInfo(String key) {
    try (Stream<String> lines = Files.lines(CPU_INFO)) {
      return lines
          .filter(line -> line.startsWith(key))
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .findFirst()
          .orElse("unknown");
    } catch (IOException e) {
      return "unknown";
    }
  }
}

package io.quern.bench.verify;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** The test library that runs the CUDA kernels on the CPU; it is never shipped, only built. */
final class EmulationLibrary {
  private static final String PROPERTY = "quern.emulation";
  private static final String FILE = "libquern_emulated.so";
  private static final Path BUILD = Path.of("native", "target", "cmake");

  private EmulationLibrary() {}

  /**
   * Turns the emulation on with the library of this build, unless the property names one. Has an
   * effect only before the first probe of the process. Where there is no library, the probe says
   * so.
   */
  static void use() throws IOException {
    if (System.getProperty(PROPERTY) == null) {
      find(List.of(codeSource(), Path.of("").toAbsolutePath()))
          .ifPresent(library -> System.setProperty(PROPERTY, library.toString()));
    }
  }

  /** The library in the build folder of the first of these paths, or of one of its parents. */
  static Optional<Path> find(List<Path> starts) throws IOException {
    for (Path start : starts) {
      for (Path dir = start; dir != null; dir = dir.getParent()) {
        Path build = dir.resolve(BUILD);
        if (Files.isDirectory(build)) {
          try (Stream<Path> files = Files.find(build, 3, (path, a) -> path.endsWith(FILE))) {
            Optional<Path> library = files.min(Path::compareTo);
            if (library.isPresent()) {
              return library;
            }
          }
        }
      }
    }
    return Optional.empty();
  }

  /** The jar or the folder of classes that this class is in. */
  private static Path codeSource() {
    try {
      return Path.of(
          EmulationLibrary.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException("classes are not in a file", e);
    }
  }
}

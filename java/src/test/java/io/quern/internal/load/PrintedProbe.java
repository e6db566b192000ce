package io.quern.internal.load;

import io.quern.Backends;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** A main class that prints the probe, twice: its outcome is kept. */
public final class PrintedProbe {
  private PrintedProbe() {}

  /**
   * @param arguments {@code loaders} to print it in two class loaders
   */
  public static void main(String[] arguments) throws Exception {
    if (arguments.length == 0) {
      print();
      print();
      return;
    }
    URL[] path =
        Stream.of(System.getProperty("java.class.path").split(":"))
            .map(PrintedProbe::url)
            .toArray(URL[]::new);
    ClassLoader platform = ClassLoader.getPlatformClassLoader();
    try (URLClassLoader first = new URLClassLoader(path, platform);
        URLClassLoader second = new URLClassLoader(path, platform)) {
      for (ClassLoader loader : List.of(first, second)) {
        loader.loadClass(PrintedProbe.class.getName()).getMethod("print").invoke(null);
      }
    }
  }

  /** Prints the probe's lines. */
  public static void print() {
    Backends.probe().lines().forEach(System.out::println);
  }

  private static URL url(String entry) {
    try {
      return Path.of(entry).toUri().toURL();
    } catch (MalformedURLException e) {
      throw new IllegalArgumentException(e);
    }
  }
}

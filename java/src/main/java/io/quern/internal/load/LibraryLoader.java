package io.quern.internal.load;

import io.quern.Backend;
import io.quern.bindings.NativeLibraries;
import io.quern.bindings.quern.QuernAbi;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Finds the native libraries, loads them and compares their ABI, once per JVM. In this order: the
 * emulation if {@code quern.emulation} is set (its path, or empty for the one in {@code
 * quern.native.dir}); the folder {@code quern.native.dir}; the class path.
 */
public final class LibraryLoader {
  private static final String EMULATION = "quern.emulation";
  private static final String FOLDER = "quern.native.dir";

  private static final String QUERN = "libquern.so";
  private static final String EMULATED = "libquern_emulated.so";

  /** Its soname: the file may have no other name, or libquern would load a second one. */
  private static final String CUDART = "libcudart.so.13";

  /** Optional, and never packaged: it is larger than all the rest by far. */
  private static final String CUBLAS = "libcublas.so.13";

  private static final String CUBLAS_FILE = "quern.cublas";
  private static final String EMULATED_CUBLAS = "libquern_emulated_cublas.so";

  /** The files that this process has mapped. */
  private static final Path MAPPED = Path.of("/proc/self/maps");

  private static final String PLATFORM = "linux-x86_64";
  private static final String RESOURCES = "META-INF/quern/" + PLATFORM + "/";
  private static final String JAR_HINT =
      "put io.quern:quern-native with classifier "
          + PLATFORM
          + " on the class path, or set "
          + FOLDER;

  /**
   * Nothing requires the jar's automatic module, so it has to be named, or its jar be on the class
   * path.
   */
  private static final String MODULE_HINT =
      JAR_HINT + "; on the module path add --add-modules io.quern.natives.linux.x86_64";

  private static LoadResult result;
  private static LoadResult cublas;

  private LibraryLoader() {}

  /** The outcome of the first call; never throws. */
  public static synchronized LoadResult load() {
    if (result == null) {
      result = attempt(System.getProperty(EMULATION) == null ? Backend.CUDA : Backend.EMULATED);
    }
    return result;
  }

  /**
   * The outcome of the first call for cuBLAS; never throws. It is the file that {@code
   * quern.cublas} names, or else {@code libcublas.so.13} in {@code quern.native.dir} or where the
   * dynamic linker finds it. The emulation has one by that property alone.
   */
  public static synchronized LoadResult loadCublas() {
    if (cublas == null) {
      cublas =
          load() instanceof LoadResult.Loaded runtime ? attemptCublas(runtime.backend()) : load();
    }
    return cublas;
  }

  private static LoadResult attemptCublas(Backend backend) {
    try {
      loadLibrary(findCublas(backend));
      return new LoadResult.Loaded(backend);
    } catch (Refusal refusal) {
      return new LoadResult.Failed(backend, refusal.getMessage(), refusal.hint);
    }
  }

  private static Path findCublas(Backend backend) throws Refusal {
    String property = System.getProperty(CUBLAS_FILE);
    if (property != null) {
      Path library = path(property, CUBLAS_FILE);
      if (!Files.isRegularFile(library)) {
        throw new Refusal(
            "no cuBLAS at " + library, "correct " + CUBLAS_FILE + ", or leave it out");
      }
      // A real one would take the emulation's streams for its own.
      if (backend == Backend.EMULATED && !library.endsWith(EMULATED_CUBLAS)) {
        throw new Refusal(
            library + " does not belong to the emulation",
            CUBLAS_FILE + " may name " + EMULATED_CUBLAS);
      }
      return library;
    }
    if (backend == Backend.EMULATED) {
      throw new Refusal(
          "the emulation has no cuBLAS", CUBLAS_FILE + " may name " + EMULATED_CUBLAS);
    }
    String folder = System.getProperty(FOLDER);
    if (folder != null && Files.isRegularFile(folder(folder).resolve(CUBLAS))) {
      return folder(folder).resolve(CUBLAS);
    }
    try {
      SymbolLookup.libraryLookup(CUBLAS, Arena.global());
    } catch (IllegalArgumentException absent) {
      throw new Refusal(
          CUBLAS + " was not found",
          "install cuBLAS 13, add its folder to LD_LIBRARY_PATH, or set " + CUBLAS_FILE);
    }
    // The bindings want it in their own class loader, and that wants to know where it is.
    try (Stream<String> mapped = Files.lines(MAPPED)) {
      return mapped
          .filter(line -> line.contains("/" + CUBLAS))
          .map(line -> Path.of(line.substring(line.indexOf('/'))))
          .findFirst()
          .orElseThrow(() -> new IOException(CUBLAS + " is not in it"));
    } catch (IOException | UncheckedIOException e) {
      throw new Refusal(
          "%s is loaded, but where it is cannot be read from %s: %s".formatted(CUBLAS, MAPPED, e),
          "set " + CUBLAS_FILE + " to its path");
    }
  }

  private static LoadResult attempt(Backend backend) {
    try {
      requireNativeAccess();
      requireAbi(backend == Backend.EMULATED ? loadEmulation() : loadCuda());
      return new LoadResult.Loaded(backend);
    } catch (Refusal refusal) {
      return new LoadResult.Failed(backend, refusal.getMessage(), refusal.hint);
    }
  }

  /**
   * This module makes restricted calls as well as the bindings: better refused here than in the
   * first run.
   */
  private static void requireNativeAccess() throws Refusal {
    try {
      MemorySegment.NULL.reinterpret(0);
    } catch (IllegalCallerException denied) {
      throw nativeAccessDenied();
    }
  }

  private static Refusal nativeAccessDenied() {
    boolean modules = LibraryLoader.class.getModule().isNamed();
    return new Refusal(
        "this JVM denies native access to Quern",
        "start java with --enable-native-access="
            + (modules ? "io.quern,io.quern.bindings" : "ALL-UNNAMED"));
  }

  private static Path loadEmulation() throws Refusal {
    String property = System.getProperty(EMULATION);
    Path library =
        property.isEmpty()
            ? folder(System.getProperty(FOLDER, "")).resolve(EMULATED)
            : folder(property);
    if (!Files.isRegularFile(library)) {
      throw new Refusal(
          "no emulation at " + library,
          "build the native module, or set " + EMULATION + " to its path");
    }
    loadLibrary(library);
    return library;
  }

  private static Path loadCuda() throws Refusal {
    String property = System.getProperty(FOLDER);
    Path folder = property == null ? extract() : folder(property);
    requireFile(folder, QUERN, "");
    requireFile(folder, CUDART, otherRuntimes(folder));
    // The runtime first: libquern then finds it by its soname wherever it was built to look.
    loadLibrary(folder.resolve(CUDART));
    loadLibrary(folder.resolve(QUERN));
    return folder.resolve(QUERN);
  }

  private static Path folder(String property) throws Refusal {
    if (property.isEmpty()) { // else it would be the working directory, whatever lies there
      throw new Refusal(FOLDER + " is empty", "set it to a folder, or leave it out");
    }
    return path(property, FOLDER + " or " + EMULATION);
  }

  private static Path path(String text, String properties) throws Refusal {
    try {
      return Path.of(text).toAbsolutePath();
    } catch (InvalidPathException e) {
      throw new Refusal("no path: " + e.getMessage(), "correct " + properties);
    }
  }

  private static void requireFile(Path folder, String name, String besides) throws Refusal {
    if (!Files.isRegularFile(folder.resolve(name))) {
      throw new Refusal(
          "no %s in %s%s".formatted(name, folder, besides),
          "%s names a folder with %s and %s".formatted(FOLDER, QUERN, CUDART));
    }
  }

  private static String otherRuntimes(Path folder) {
    try (Stream<Path> files = Files.list(folder)) {
      String found =
          files
              .map(file -> file.getFileName().toString())
              .filter(name -> name.startsWith("libcudart"))
              .sorted()
              .collect(Collectors.joining(", "));
      return found.isEmpty() ? "" : ", which has " + found;
    } catch (IOException | UncheckedIOException unreadable) {
      return ", which cannot be read";
    }
  }

  /** Unpacks the class path's libraries into a folder of this process, which ends with it. */
  private static Path extract() throws Refusal {
    String platform = System.getProperty("os.name") + " " + System.getProperty("os.arch");
    if (!platform.equals("Linux amd64")) {
      throw new Refusal(
          "Quern has no native library for " + platform,
          "its CUDA back end runs on Linux amd64 alone");
    }
    ClassLoader loader = LibraryLoader.class.getClassLoader();
    if (loader.getResource(RESOURCES + QUERN) == null) {
      throw new Refusal(
          absence(loader), LibraryLoader.class.getModule().isNamed() ? MODULE_HINT : JAR_HINT);
    }
    Path folder = null;
    try {
      folder = Files.createTempDirectory("quern-"); // for its owner alone
      folder.toFile().deleteOnExit(); // after the files: the last one registered is deleted first
      for (String name : List.of(CUDART, QUERN)) {
        try (InputStream library = loader.getResourceAsStream(RESOURCES + name)) {
          if (library == null) {
            throw new Refusal("the class path has " + QUERN + " but no " + CUDART, JAR_HINT);
          }
          Path file = folder.resolve(name);
          file.toFile().deleteOnExit();
          Files.copy(library, file);
        }
      }
    } catch (IOException e) {
      throw new Refusal(
          "the libraries cannot be unpacked into %s: %s"
              .formatted(folder == null ? System.getProperty("java.io.tmpdir") : folder, e),
          "set java.io.tmpdir to a folder that can be written, or set " + FOLDER);
    }
    return folder;
  }

  private static String absence(ClassLoader loader) {
    try (InputStream text = loader.getResourceAsStream(RESOURCES + "absent.txt")) {
      return text == null
          ? "no native library on the class path"
          : "the native library was not built: "
              + new String(text.readAllBytes(), StandardCharsets.UTF_8).strip();
    } catch (IOException e) {
      return "no native library on the class path (" + e + ")";
    }
  }

  private static void loadLibrary(Path library) throws Refusal {
    try {
      NativeLibraries.load(library);
    } catch (IllegalCallerException denied) {
      throw nativeAccessDenied();
    } catch (UnsatisfiedLinkError refused) {
      throw explain(library, refused.getMessage());
    }
  }

  /** The dynamic linker's answer, and what to do about it. */
  private static Refusal explain(Path library, String answer) {
    if (answer.contains("another classloader")) {
      return new Refusal(
          library + " is loaded in another class loader already",
          "load Quern once, in a class loader that all its users share");
    }
    if (answer.contains("failed to map segment")) {
      return new Refusal(
          "%s is in a folder that must not hold programs (mounted noexec): %s"
              .formatted(library, answer),
          "set java.io.tmpdir to a folder that may, or unpack the libraries and set " + FOLDER);
    }
    return new Refusal(
        "%s cannot be loaded: %s".formatted(library, answer),
        "replace it by that of this release; ldd shows what it needs");
  }

  private static void requireAbi(Path library) throws Refusal {
    int found;
    try {
      found = QuernAbi.quern_abi_version();
    } catch (LinkageError absent) {
      throw new Refusal(
          library + " has no function quern_abi_version", "replace it by that of this release");
    }
    if (found != QuernAbi.QUERN_ABI_VERSION()) {
      throw new Refusal(
          "%s has ABI version %d, this Quern expects %d"
              .formatted(library, found, QuernAbi.QUERN_ABI_VERSION()),
          "use the library and the jars of one release");
    }
  }

  /** Why the libraries are not used. */
  private static final class Refusal extends Exception {
    private static final long serialVersionUID = 1L;

    private final String hint;

    Refusal(String reason, String hint) {
      super(reason, null, false, false);
      this.hint = hint;
    }
  }
}

package io.quern.internal.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.core.JsonFactory;
import io.quern.Backends;
import io.quern.bindings.quern.QuernAbi;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every way in which loading fails ends in a line of the probe with a reason and a hint, in a JVM
 * of its own.
 */
class LibraryLoaderTest {
  private static final String PROPERTY = "-Dquern.native.dir=";
  private static final String RESOURCES = "META-INF/quern/linux-x86_64";
  private static final int ABI = QuernAbi.QUERN_ABI_VERSION();

  @TempDir private Path folder;

  @Test
  void nothingOnTheClassPath() throws Exception {
    assertUnavailable(probe(), "no native library on the class path", "classifier linux-x86_64");
  }

  @Test
  void aBuildWithoutCudaSaysWhy() throws Exception {
    Path resources = Files.createDirectories(folder.resolve(RESOURCES));
    Files.writeString(resources.resolve("absent.txt"), "nvcc was not found on PATH\n");
    assertUnavailable(
        ForkedJvm.allowed().withClassPath(folder).run(PrintedProbe.class),
        "the native library was not built: nvcc was not found on PATH",
        "quern.native.dir");
  }

  @Test
  void anotherPlatform() throws Exception {
    assertUnavailable(
        probe("-Dos.arch=riscv64"), "no native library for Linux riscv64", "Linux amd64 alone");
  }

  @Test
  void noFolder() throws Exception {
    assertUnavailable(
        probe(PROPERTY + folder.resolve("missing")), "no libquern.so in", "names a folder with");
  }

  @Test
  void anEmptyFolderNameIsNotTheWorkingDirectory() throws Exception {
    assertUnavailable(probe(PROPERTY), "quern.native.dir is empty", "leave it out");
  }

  @Test
  void noRuntimeBesideTheLibrary() throws Exception {
    stubs();
    Files.move(folder.resolve("libcudart.so.13"), folder.resolve("libcudart.so.12"));
    assertUnavailable(
        probe(PROPERTY + folder),
        "no libcudart.so.13 in %s, which has libcudart.so.12".formatted(folder),
        "libcudart.so.13");
  }

  @Test
  void aFolderThatCannotBeListed() throws Exception {
    stubs();
    Files.delete(folder.resolve("libcudart.so.13"));
    Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(folder);
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("--x------"));
    try {
      assumeTrue(!Files.isReadable(folder), "this user reads what nobody may");
      assertUnavailable(
          probe(PROPERTY + folder),
          "no libcudart.so.13 in %s, which cannot be read".formatted(folder),
          "libcudart.so.13");
    } finally {
      Files.setPosixFilePermissions(folder, permissions);
    }
  }

  @Test
  void aRuntimeOfAnotherSoname() throws Exception {
    stubs();
    StubLibraries.compile(
        folder.resolve("libcudart.so.13"),
        "int cudaRuntimeGetVersion(int* version) { *version = 12040; return 0; }",
        "-Wl,-soname,libcudart.so.12");
    assertUnavailable(
        probe(PROPERTY + folder), "libcudart is that of CUDA 12.4, expected 13", "of this release");
  }

  @Test
  void aTruncatedLibrary() throws Exception {
    stubs();
    byte[] whole = Files.readAllBytes(folder.resolve("libquern.so"));
    Files.write(folder.resolve("libquern.so"), Arrays.copyOf(whole, 20));
    assertUnavailable(probe(PROPERTY + folder), "libquern.so: file too short", "ldd");
  }

  @Test
  void noLibraryAtAll() throws Exception {
    stubs();
    Files.writeString(folder.resolve("libcudart.so.13"), "garbage ".repeat(1000));
    assertUnavailable(probe(PROPERTY + folder), "invalid ELF header", "ldd");
  }

  @Test
  void aLibraryThatNeedsAnother() throws Exception {
    stubs();
    StubLibraries.compile(
        folder.resolve("libquern.so"),
        "void needed(void); void f(void) { needed(); }",
        "-Wl,-z,now");
    assertUnavailable(probe(PROPERTY + folder), "undefined symbol: needed", "ldd");
  }

  @Test
  void anotherAbi() throws Exception {
    stubs();
    StubLibraries.compile(folder.resolve("libquern.so"), StubLibraries.quern(ABI + 1));
    assertUnavailable(
        probe(PROPERTY + folder),
        "has ABI version %d, this Quern expects %d".formatted(ABI + 1, ABI),
        "of one release");
  }

  @Test
  void noAbi() throws Exception {
    stubs();
    StubLibraries.compile(folder.resolve("libquern.so"), "int nothing;");
    assertUnavailable(
        probe(PROPERTY + folder), "has no function quern_abi_version", "of this release");
  }

  @Test
  void aRuntimeThatLacksAFunction() throws Exception {
    stubs();
    StubLibraries.compile(
        folder.resolve("libcudart.so.13"),
        "int cudaRuntimeGetVersion(int* version) { *version = 13000; return 0; }");
    assertUnavailable(
        probe(PROPERTY + folder), "lacks a function: ", "of this release", "cudaDriverGetVersion");
  }

  @Test
  void nativeAccessDenied() throws Exception {
    stubs();
    assertUnavailable(
        new ForkedJvm("--illegal-native-access=deny", PROPERTY + folder).run(PrintedProbe.class),
        "this JVM denies native access to Quern",
        "--enable-native-access=ALL-UNNAMED");
  }

  @Test
  void twoClassLoaders() throws Exception {
    stubs();
    String lines = ForkedJvm.allowed(PROPERTY + folder).run(PrintedProbe.class, "loaders");
    List<String> cuda = lines.lines().filter(line -> line.startsWith("cuda: ")).toList();
    assertEquals(2, cuda.size(), lines);
    assertTrue(cuda.get(0).startsWith("cuda: available: "), lines);
    assertUnavailable(
        cuda.get(1), "is loaded in another class loader already", "that all its users share");
  }

  /**
   * The class path's libraries are unpacked for this user alone, and the folder goes with the JVM.
   */
  @Test
  void fromTheClassPath() throws Exception {
    classPathStubs();
    Path temporary = Files.createDirectory(folder.resolve("tmp"));
    String lines =
        ForkedJvm.allowed("-Djava.io.tmpdir=" + temporary)
            .withClassPath(folder)
            .run(PrintedProbe.class);
    assertTrue(lines.contains("quern stub in " + temporary + "/quern-"), lines);
    assertTrue(lines.contains(", mode 700"), lines);
    try (Stream<Path> left = Files.list(temporary)) {
      assertEquals(List.of(), left.toList());
    }
  }

  /** The native jar is no module that another one requires: the hint says what resolves it. */
  @Test
  void asModules() throws Exception {
    Path resources = classPathStubs();
    Path modules = Files.createDirectory(folder.resolve("modules"));
    Manifest manifest = new Manifest();
    manifest.getMainAttributes().putValue("Manifest-Version", "1.0");
    manifest.getMainAttributes().putValue("Automatic-Module-Name", "io.quern.natives.linux.x86_64");
    try (JarOutputStream jar =
        new JarOutputStream(Files.newOutputStream(modules.resolve("natives.jar")), manifest)) {
      for (String name : List.of("libcudart.so.13", "libquern.so")) {
        jar.putNextEntry(new ZipEntry(RESOURCES + "/" + name));
        Files.copy(resources.resolve(name), jar);
      }
    }
    String path =
        Stream.of(Backends.class, QuernAbi.class, JsonFactory.class)
            .map(LibraryLoaderTest::origin)
            .collect(Collectors.joining(":", "--module-path=" + modules + ":", ""));
    String[] flags = {
      path,
      "--patch-module=io.quern=" + origin(PrintedProbe.class),
      "--add-modules=io.quern,jdk.incubator.vector",
      "--enable-native-access=io.quern,io.quern.bindings"
    };
    assertUnavailable(
        new ForkedJvm(flags).run(PrintedProbe.class),
        "no native library",
        "on the module path add --add-modules io.quern.natives.linux.x86_64");
    flags[2] += ",io.quern.natives.linux.x86_64";
    String lines = new ForkedJvm(flags).run(PrintedProbe.class);
    assertTrue(lines.contains("cuda: available: "), lines);
  }

  private static String origin(Class<?> type) {
    return type.getProtectionDomain().getCodeSource().getLocation().getPath();
  }

  @Test
  void onlyHalfOnTheClassPath() throws Exception {
    Path resources = classPathStubs();
    Files.delete(resources.resolve("libcudart.so.13"));
    assertUnavailable(
        ForkedJvm.allowed().withClassPath(folder).run(PrintedProbe.class),
        "the class path has libquern.so but no libcudart.so.13",
        "classifier linux-x86_64");
  }

  @Test
  void nowhereToUnpack() throws Exception {
    classPathStubs();
    assertUnavailable(
        ForkedJvm.allowed("-Djava.io.tmpdir=" + folder.resolve("missing"))
            .withClassPath(folder)
            .run(PrintedProbe.class),
        "the libraries cannot be unpacked into " + folder.resolve("missing"),
        "java.io.tmpdir");
  }

  @Test
  void aFolderMountedNoexec() throws Exception {
    classPathStubs();
    Path mounted = Files.createDirectory(folder.resolve("mounted"));
    assumeTrue(
        succeeds("mount", "-t", "tmpfs", "-o", "noexec", "quern-test", mounted.toString()),
        "mounting needs privileges");
    try {
      assertUnavailable(
          ForkedJvm.allowed("-Djava.io.tmpdir=" + mounted)
              .withClassPath(folder)
              .run(PrintedProbe.class),
          "must not hold programs (mounted noexec)",
          "java.io.tmpdir");
    } finally {
      assertTrue(succeeds("umount", mounted.toString()));
    }
  }

  @Test
  void noEmulation() throws Exception {
    String lines = probe("-Dquern.emulation=" + folder.resolve("libquern_emulated.so"));
    assertUnavailable(lines, "the emulation takes its place", "quern.emulation");
    assertTrue(
        lines.contains("emulated: unavailable: no emulation at " + folder)
            && lines.contains("(build"),
        lines);
    assertFalse(probe().contains("emulated:"), "the emulation exists only where it was asked for");
  }

  /** An empty property takes it from the folder of native libraries. */
  @Test
  void theEmulationOfTheFolder() throws Exception {
    stubs();
    Files.move(folder.resolve("libquern.so"), folder.resolve("libquern_emulated.so"));
    String lines = probe("-Dquern.emulation=", PROPERTY + folder);
    assertTrue(lines.contains("emulated: unavailable: a native library lacks a function"), lines);
  }

  @Test
  void cublasThatIsNamed() throws Exception {
    Path library = cublas(Files.createDirectory(folder.resolve("other")).resolve("any.so"), 130001);
    assertCublas("130001", "-Dquern.cublas=" + library);
  }

  @Test
  void cublasBesideTheOtherLibraries() throws Exception {
    cublas(folder.resolve("libcublas.so.13"), 130002);
    assertCublas("130002");
  }

  /** The bindings get the file that the dynamic linker found. */
  @Test
  void cublasThatTheLinkerFinds() throws Exception {
    Path other = Files.createDirectory(folder.resolve("other"));
    cublas(other.resolve("libcublas.so.13.0.3"), 130003);
    Files.createSymbolicLink(other.resolve("libcublas.so.13"), Path.of("libcublas.so.13.0.3"));
    assertCublas("130003", Map.of("LD_LIBRARY_PATH", other.toString()));
  }

  @Test
  void noCublasAnywhere() throws Exception {
    stubs();
    assumeTrue(!Files.exists(Path.of("/usr/local/cuda/lib64/libcublas.so.13")), "there is one");
    String printed = ForkedJvm.allowed(PROPERTY + folder).run(PrintedCublas.class);
    assertTrue(printed.contains("libcublas.so.13 was not found, hint=install cuBLAS 13"), printed);
  }

  @Test
  void cublasThatCannotBeLoaded() throws Exception {
    stubs();
    Files.writeString(folder.resolve("libcublas.so.13"), "garbage ".repeat(1000));
    String printed = ForkedJvm.allowed(PROPERTY + folder).run(PrintedCublas.class);
    assertTrue(printed.contains("libcublas.so.13 cannot be loaded: "), printed);
    assertTrue(printed.contains("invalid ELF header"), printed);
  }

  private static Path cublas(Path library, int version) throws IOException, InterruptedException {
    StubLibraries.compile(
        library,
        "int cublasGetVersion_v2(void* handle, int* version) { *version = %d; return 0; }"
            .formatted(version));
    return library;
  }

  private void assertCublas(String version, String... flags) throws Exception {
    assertCublas(version, Map.of(), flags);
  }

  private void assertCublas(String version, Map<String, String> environment, String... flags)
      throws Exception {
    stubs();
    String printed =
        ForkedJvm.allowed(
                Stream.concat(Stream.of(PROPERTY + folder), Stream.of(flags))
                    .toArray(String[]::new))
            .with(environment)
            .run(PrintedCublas.class);
    assertTrue(printed.contains("version " + version), printed);
  }

  /** The real libraries without a driver. */
  @Test
  void theRealRuntimeWithoutADriver() throws Exception {
    Path built = Path.of(System.getProperty("quern.native.build"));
    assumeTrue(Files.exists(built.resolve("libquern.so")), "libquern was not built in " + built);
    assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "this machine has a driver");
    assertUnavailable(
        probe(PROPERTY + built),
        "cudaErrorInsufficientDriver (35): ",
        "install the NVIDIA driver",
        "there is no driver");
  }

  private String probe(String... flags) throws IOException, InterruptedException {
    return ForkedJvm.allowed(flags).run(PrintedProbe.class);
  }

  private void stubs() throws IOException, InterruptedException {
    stubs(folder);
  }

  private static void stubs(Path folder) throws IOException, InterruptedException {
    StubLibraries.compile(folder.resolve("libcudart.so.13"), StubLibraries.CUDART);
    StubLibraries.compile(folder.resolve("libquern.so"), StubLibraries.quern(ABI));
  }

  private Path classPathStubs() throws IOException, InterruptedException {
    Path resources = Files.createDirectories(folder.resolve(RESOURCES));
    stubs(resources);
    return resources;
  }

  private static boolean succeeds(String... command) throws IOException, InterruptedException {
    return new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start()
            .waitFor()
        == 0;
  }

  private static void assertUnavailable(
      String lines, String reason, String hint, String... furtherReasons) {
    List<String> cuda = lines.lines().filter(line -> line.startsWith("cuda: ")).distinct().toList();
    assertEquals(1, cuda.size(), lines);
    String line = cuda.getFirst();
    assertTrue(line.startsWith("cuda: unavailable: "), lines);
    int bracket = line.lastIndexOf('(');
    Stream.concat(Stream.of(reason), Stream.of(furtherReasons))
        .forEach(part -> assertTrue(line.substring(0, bracket).contains(part), line));
    assertTrue(line.substring(bracket).contains(hint), line);
  }
}

package io.quern.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.bindings.Binding.Symbol;
import io.quern.bindings.cublas.Cublas;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.bindings.quern.QuernAbi;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** The committed bindings against the C headers they were generated from. */
class BindingsTest {
  private static final Path HEADERS = Path.of("../native/include");
  private static final Path INPUTS = Path.of("jextract");

  private static final Binding QUERN =
      new Binding(QuernAbi.class, INPUTS.resolve("quern.args"), INPUTS.resolve("quern_abi.h"));
  private static final Binding CUDART =
      new Binding(
          CudaRuntime.class, INPUTS.resolve("cudart.args"), INPUTS.resolve("quern_cudart.h"));
  private static final Binding CUBLAS =
      new Binding(Cublas.class, INPUTS.resolve("cublas.args"), INPUTS.resolve("quern_cublas.h"));
  private static final List<Binding> BINDINGS = List.of(QUERN, CUDART, CUBLAS);

  @TempDir private Path directory;

  @ParameterizedTest
  @FieldSource("BINDINGS")
  void argumentFileListsExactlyTheGeneratedSymbols(Binding binding) throws Exception {
    assertEquals(binding.listed(), binding.generated());
  }

  @Test
  void argumentFileListsAllOfQuernsHeaders() throws Exception {
    Set<Symbol> declared = new TreeSet<>();
    try (Stream<Path> headers = Files.list(HEADERS.resolve("quern"))) {
      for (Path header : headers.toList()) {
        String code = Files.readString(header).replaceAll("(?s)/\\*.*?\\*/|//[^\n]*", "");
        declared.addAll(symbols("function", "\\b(quern_\\w+)\\(", code));
        declared.addAll(symbols("struct", "typedef struct (quern_\\w+) \\{", code));
        declared.addAll(
            symbols("constant", "(?:[{,]\\s*|#define )(QUERN_\\w+)(?: =)? -?\\d", code));
      }
    }
    assertEquals(declared, new TreeSet<>(QUERN.listed()));
  }

  @Test
  void quernAbiMatchesItsHeaders() throws Exception {
    assertEquals(List.of(), differences(QUERN, HEADERS));
  }

  @Test
  void cublasMatchesItsDeclarations() throws Exception {
    assertEquals(List.of(), differences(CUBLAS, INPUTS));
  }

  @Test
  void cudaRuntimeMatchesTheInstalledHeaders() throws Exception {
    Path include =
        Path.of(System.getenv().getOrDefault("CUDA_HOME", "/usr/local/cuda")).resolve("include");
    assumeTrue(
        Files.exists(include.resolve("cuda_runtime_api.h")),
        () -> "no CUDA headers in " + include + "; set CUDA_HOME");
    var version =
        Pattern.compile("#define CUDART_VERSION\\s+(\\d+)")
            .matcher(Files.readString(include.resolve("cuda_runtime_api.h")));
    assertTrue(version.find(), "cuda_runtime_api.h has no CUDART_VERSION");
    int installed = Integer.parseInt(version.group(1));
    int bound = CudaRuntime.CUDART_VERSION();
    assumeTrue(
        installed / 1000 == bound / 1000,
        () -> "the ABI changes between majors: bindings " + bound + ", headers " + installed);
    List<String> differences = new ArrayList<>(differences(CUDART, include));
    // Any toolkit of the major will do.
    differences.removeIf(line -> line.startsWith("constant CUDART_VERSION:"));
    assertEquals(List.of(), differences);
  }

  @Test
  void comparisonSeesEveryKindOfChange() throws Exception {
    Path changed = Files.createDirectories(directory.resolve("include/quern"));
    try (Stream<Path> headers = Files.list(HEADERS.resolve("quern"))) {
      for (Path header : headers.toList()) {
        Files.copy(header, changed.resolve(header.getFileName()));
      }
    }
    Path header = changed.resolve("quern.h");
    String code = Files.readString(header);
    for (String[] change :
        new String[][] {
          {"QUERN_MISALIGNED = -4", "QUERN_MISALIGNED = -5"},
          {"int64_t rows;", "int32_t rows;"},
          {"int64_t position;\n  int64_t value;", "int64_t value;\n  int64_t position;"},
          {"int64_t reserved[3];", "int64_t reserved[4];"},
          {"quern_describe_device(int32_t device", "quern_describe_device(int64_t device"},
          {"int32_t quern_abi_version", "int64_t quern_abi_version"}
        }) {
      String before = code;
      code = code.replace(change[0], change[1]);
      assertNotEquals(before, code, () -> "not in quern.h: " + change[0]);
    }
    Files.writeString(header, code);
    assertEquals(
        List.of(
            "constant QUERN_MISALIGNED: bindings -4, header -5",
            "field quern_error_record.position: bindings i8 at byte 16, header i8 at byte 24",
            "field quern_error_record.reserved: bindings i8[3] at byte 40, header i8[4] at byte 40",
            "field quern_error_record.value: bindings i8 at byte 24, header i8 at byte 16",
            "field quern_table.rows: bindings i8 at byte 8, header i4 at byte 8",
            "function quern_abi_version: bindings i4 (), header i8 ()",
            "function quern_describe_device: bindings i4 (i4, pointer), header i4 (i8, pointer)",
            "struct quern_error_record: bindings 64 bytes, aligned to 8, header 72 bytes, aligned"
                + " to 8"),
        differences(QUERN, directory.resolve("include")));
  }

  /** What the loading code has to expect of a library that is missing or lacks a function. */
  @Test
  void missingSymbolFailsInTheInitializerAndThenForEver() throws Exception {
    URL classes = QuernAbi.class.getProtectionDomain().getCodeSource().getLocation();
    // A class loader of its own sees none of the libraries that other tests load.
    try (var loader =
        new URLClassLoader(new URL[] {classes}, ClassLoader.getPlatformClassLoader())) {
      var function = loader.loadClass(QuernAbi.class.getName()).getMethod("quern_abi_version");
      Throwable first =
          assertThrows(InvocationTargetException.class, () -> function.invoke(null)).getCause();
      assertInstanceOf(ExceptionInInitializerError.class, first);
      assertInstanceOf(NoSuchElementException.class, first.getCause());
      assertTrue(first.getCause().getMessage().contains("quern_abi_version"));
      Throwable second =
          assertThrows(InvocationTargetException.class, () -> function.invoke(null)).getCause();
      assertInstanceOf(NoClassDefFoundError.class, second);
    }
  }

  private List<String> differences(Binding binding, Path include) throws Exception {
    var probe = new HeaderProbe(HeaderProbe.compiler(), directory);
    assumeTrue(
        probe.compilerWorks(), () -> "no C++ compiler: " + HeaderProbe.compiler() + "; set CXX");
    load(probe, binding);
    SortedMap<String, String> bound = binding.facts();
    SortedMap<String, String> declared =
        probe.facts(binding.input(), List.of(include), bound.keySet());
    assertEquals(bound.keySet(), declared.keySet());
    return bound.keySet().stream()
        .filter(fact -> !bound.get(fact).equals(declared.get(fact)))
        .map(fact -> fact + ": bindings " + bound.get(fact) + ", header " + declared.get(fact))
        .toList();
  }

  /** Loads a library of empty functions: descriptors can be read without the real one. */
  private static void load(HeaderProbe probe, Binding binding)
      throws IOException, InterruptedException {
    List<String> functions =
        binding.generated().stream()
            .filter(symbol -> symbol.kind().equals("function"))
            .map(Symbol::name)
            .toList();
    NativeLibraries.load(probe.library(binding.header().getSimpleName(), functions));
  }

  private static List<Symbol> symbols(String kind, String pattern, String code) {
    return Pattern.compile(pattern)
        .matcher(code)
        .results()
        .map(match -> new Symbol(kind, match.group(1)))
        .toList();
  }
}

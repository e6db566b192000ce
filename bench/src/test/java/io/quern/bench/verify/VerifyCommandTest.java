package io.quern.bench.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Backends;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Shape;
import io.quern.UnavailableBackendException;
import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import io.quern.io.SafeTensors;
import io.quern.io.SafeTensorsWriter;
import io.quern.io.TensorInfo;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The committed vectors were made by the reference implementations that each names; those in {@code
 * golden/gather} with torch: {@code table[ids]} and {@code embedding_bag(…,
 * include_last_offset=True)}.
 */
class VerifyCommandTest {
  @TempDir Path folder;

  private record Result(Outcome outcome, List<String> lines) {
    String last() {
      return lines.getLast();
    }

    List<String> starting(String start) {
      return lines.stream().filter(line -> line.startsWith(start)).toList();
    }
  }

  private static Result verify(String... words) throws Exception {
    Command command = new VerifyCommand();
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    PrintStream print = new PrintStream(out, true, StandardCharsets.UTF_8);
    Outcome outcome =
        command.run(
            Arguments.parse(command, List.of(words)), new Terminal(print, System.err, false));
    return new Result(outcome, out.toString(StandardCharsets.UTF_8).lines().toList());
  }

  private static Path committed() throws URISyntaxException {
    return Path.of(VerifyCommandTest.class.getResource("/golden").toURI());
  }

  /** A copy of a committed vector, with metadata and tensors changed. */
  private Path changed(String name, Map<String, String> metadata, Map<String, byte[]> tensors)
      throws Exception {
    Path copy = folder.resolve(name + ".safetensors");
    try (SafeTensors file =
        SafeTensors.open(committed().resolve("gather/" + name + ".safetensors"))) {
      SafeTensorsWriter writer = new SafeTensorsWriter();
      Map<String, String> all = new LinkedHashMap<>(file.metadata());
      all.putAll(metadata);
      all.forEach(writer::metadata);
      for (String tensor : file.names()) {
        TensorInfo info = file.info(tensor);
        MemorySegment data =
            tensors.containsKey(tensor)
                ? MemorySegment.ofArray(tensors.get(tensor))
                : file.segment(tensor);
        writer.add(tensor, info.dtype().orElseThrow(), info.shape(), data);
      }
      writer.write(copy);
    }
    return copy;
  }

  private static byte[] tensor(String name, String tensor) throws Exception {
    try (SafeTensors file =
        SafeTensors.open(committed().resolve("gather/" + name + ".safetensors"))) {
      return file.segment(tensor).toArray(ValueLayout.JAVA_BYTE);
    }
  }

  @Test
  void committedVectorsPassOnBothCpuBackEnds() throws Exception {
    Result result = verify(committed().toString(), "--backend", "scalar,simd");
    assertEquals(List.of(), result.starting("FAIL"));
    assertEquals("90 passed, 0 failed, 2 skipped", result.last());
    assertEquals(Outcome.OK, result.outcome);
    assertTrue(result.lines.contains("pass    simd     gather/gather_widen_float16_s11"));
    assertEquals(
        List.of("skipped: embedding_bag_rowwise_u8: not in the library yet"),
        result.starting("skipped: "));
    assertEquals(46 * 2 + 1 + 1, result.lines.size());
  }

  @Test
  void withoutABackEndNamedEveryAvailableOneIsUsedAndTheOthersSayWhyNot() throws Exception {
    Result result = verify(committed().toString(), "--op=embedding_gather");
    var probe = Backends.probe();
    for (Backend backend : probe.availability().keySet()) {
      assertEquals(
          probe.isAvailable(backend) ? 6 : 0,
          result.starting("pass    " + backend.id() + " ").size(),
          backend.id());
      assertEquals(
          probe.isAvailable(backend) ? 0 : 1,
          result.starting(backend.id() + ": unavailable: ").size(),
          backend.id());
    }
  }

  @Test
  void aWrongExpectationFails() throws Exception {
    byte[] y = tensor("gather_v50_d3_float16_s11", "out.y");
    int wrong = new SplittableRandom(11).nextInt(y.length / 2);
    y[2 * wrong] ^= 1;
    changed("gather_v50_d3_float16_s11", Map.of(), Map.of("out.y", y));
    Result result = verify(folder.toString(), "--backend", "scalar");
    assertEquals(Outcome.FAILED, result.outcome);
    assertEquals("0 passed, 1 failed, 0 skipped", result.last());
    String where = "[%d, %d, %d]".formatted(wrong / 15, wrong / 3 % 5, wrong % 3);
    String line = result.starting("FAIL    scalar   gather_v50_d3_float16_s11  y: ").getFirst();
    assertTrue(line.contains(where), line);
    assertTrue(line.contains("1 of 60 values differ"), line);
  }

  @Test
  void aToleranceIsNeitherIgnoredNorWidened() throws Exception {
    changed(
        "bag_mean_0_s11",
        Map.of("tolerance", "{\"y\":{\"kind\":\"allclose\",\"rtol\":0,\"atol\":0}}"),
        Map.of("in.table", new byte[40 * 5 * 4]));
    assertEquals(Outcome.FAILED, verify(folder.toString(), "--backend", "scalar").outcome);
    byte[] f64 = tensor("bag_mean_0_s11", "out.y__f64");
    new SplittableRandom(3).nextBytes(f64);
    changed("bag_mean_0_s11", Map.of(), Map.of("out.y__f64", f64));
    assertEquals(Outcome.OK, verify(folder.toString(), "--backend", "scalar").outcome);
  }

  @Test
  void informativeVectorsAreReportedAndNotCounted() throws Exception {
    changed(
        "bag_max_0_s11", Map.of("level", "informative"), Map.of("in.table", new byte[40 * 5 * 4]));
    changed("bag_sum_w_0_s11", Map.of("level", "informative"), Map.of());
    changed("qbag_u8_0_s11", Map.of("level", "informative"), Map.of());
    Result result = verify(folder.toString(), "--backend", "scalar");
    assertEquals(1, result.starting("differs scalar   bag_max_0_s11  informative; y: ").size());
    assertEquals(1, result.starting("agrees  scalar   bag_sum_w_0_s11  informative").size());
    assertEquals("0 passed, 0 failed, 0 skipped", result.last());
    assertEquals(Outcome.OK, result.outcome);
  }

  @Test
  void variantsThatTheLibraryLacksAreSkippedAndNamedOnce() throws Exception {
    changed(
        "bag_sum_w_0_s11",
        Map.of("params", "{\"mode\":\"sum\",\"weighted\":true,\"weights\":\"softmax\"}"),
        Map.of());
    changed("bag_max_0_s11", Map.of("params", "{\"mode\":\"max\",\"fold\":null}"), Map.of());
    changed("gather_v7_d1_float32_s11", Map.of("op", "tome.trunk"), Map.of());
    Result result = verify(folder.toString(), "--backend", "scalar,simd");
    assertEquals("0 passed, 0 failed, 6 skipped", result.last());
    assertEquals(Outcome.OK, result.outcome);
    assertEquals(6, result.starting("skip    ").size());
    assertEquals(
        List.of(
            "skipped: embedding_bag, fold=null: not in the library yet",
            "skipped: embedding_bag, softmax weights: not in the library yet",
            "skipped: tome.trunk: not in the library yet"),
        result.starting("skipped: "));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "format=quern-golden-2",
        "level=optional",
        "params=[1]",
        "params={\"mode\":",
        "tolerance={}",
        "tolerance={\"y\":{\"kind\":\"close\"}}",
        "tolerance={\"y\":{\"kind\":\"allclose\",\"rtol\":1}}"
      })
  void aVectorThatCannotBeUnderstoodFails(String metadata) throws Exception {
    String[] entry = metadata.split("=", 2);
    changed("bag_max_0_s11", Map.of(entry[0], entry[1]), Map.of());
    Result result = verify(folder.toString(), "--backend", "scalar,simd");
    assertEquals("0 passed, 2 failed, 0 skipped", result.last());
    assertEquals(Outcome.FAILED, result.outcome);
  }

  @Test
  void aBrokenFileFailsAndTheRestIsRun() throws Exception {
    changed("bag_max_0_s11", Map.of(), Map.of());
    Files.write(folder.resolve("broken.safetensors"), new byte[3]);
    Result result = verify(folder.toString(), "--backend", "scalar");
    assertEquals("1 passed, 1 failed, 0 skipped", result.last());
    assertEquals(1, result.starting("FAIL    scalar   broken  ").size());
  }

  @Test
  void badDataInAVectorFailsIt() throws Exception {
    byte[] ids = tensor("gather_v7_d1_float32_s11", "in.ids");
    ids[8] = 7;
    changed("gather_v7_d1_float32_s11", Map.of(), Map.of("in.ids", ids));
    Result result = verify(folder.toString(), "--backend", "scalar");
    assertEquals("0 passed, 1 failed, 0 skipped", result.last());
    assertTrue(
        result.starting("FAIL").getFirst().contains("id at position 1 is 7, outside"),
        result.lines.toString());
  }

  @Test
  void aVectorWithoutOutputsDoesNotPass() throws Exception {
    new SafeTensorsWriter()
        .metadata("format", "quern-golden-1")
        .metadata("op", "embedding_gather")
        .metadata("params", "{}")
        .metadata("tolerance", "{}")
        .metadata("level", "required")
        .add("in.table", DType.F32, Shape.of(1, 1), MemorySegment.ofArray(new float[1]))
        .add("in.ids", DType.I64, Shape.of(1), MemorySegment.ofArray(new long[1]))
        .write(folder.resolve("none.safetensors"));
    Result result = verify(folder.toString(), "--backend", "scalar");
    assertEquals("0 passed, 1 failed, 0 skipped", result.last());
  }

  @Test
  void badArgumentsAreNamed() throws Exception {
    String dir = committed().toString();
    Files.createDirectory(folder.resolve("empty"));
    for (String[] words :
        new String[][] {
          {},
          {dir, dir},
          {folder.resolve("missing").toString()},
          {committed().resolve("gather/bag_max_0_s11.safetensors").toString()},
          {folder.resolve("empty").toString()},
          {dir, "--backend", "vulkan"},
          {dir, "--op", "embedding_bagel"},
          {dir, "--fast"}
        }) {
      var e = assertThrows(BadArgumentsException.class, () -> verify(words));
      assertFalse(e.getMessage().contains("\n"), e.getMessage());
    }
  }

  @Test
  void aBackEndThatIsNamedHasToBeAvailable() throws Exception {
    Assumptions.assumeFalse(
        Backends.probe().isAvailable(Backend.CUDA), "this machine has a usable GPU");
    assertThrows(
        UnavailableBackendException.class,
        () -> verify(committed().toString(), "--backend", "scalar,cuda"));
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16", "I32", "I64", "BOOL"})
  void outputsArePoisoned(DType dtype) {
    try (CpuDevice device = CpuDevice.open(Backend.SCALAR, 1);
        var stream = device.openStream()) {
      try (Operands operands = new Operands(device, stream)) {
        GoldenTensor untouched = operands.result(operands.output(dtype, Shape.of(2, 3)));
        GoldenTensor zeros =
            new GoldenTensor(
                dtype, Shape.of(2, 3), MemorySegment.ofArray(new byte[6 * dtype.byteSize()]));
        String difference =
            GoldenComparison.difference(untouched, zeros, new Tolerance.AllClose(1, 1))
                .orElseThrow();
        assertTrue(difference.contains("6 of 6 values differ"), difference);
      }
      assertEquals(0, device.allocatedBytes());
    }
  }

  @Test
  void findsTheEmulationInTheBuildFolderAboveTheJar() throws IOException {
    Path library = folder.resolve("native/target/cmake/emulation/libquern_emulated.so");
    Path jar = folder.resolve("bench/target/quern-bench.jar");
    assertEquals(Optional.empty(), EmulationLibrary.find(List.of(jar)));
    Files.createDirectories(library.getParent());
    assertEquals(Optional.empty(), EmulationLibrary.find(List.of(jar)));
    Files.createFile(library);
    assertEquals(Optional.of(library), EmulationLibrary.find(List.of(jar)));
  }
}

package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.Arithmetic;
import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.LogCapture;
import io.quern.internal.cuda.Emulation.Alive;
import io.quern.internal.load.ForkedJvm;
import io.quern.internal.load.StubLibraries;
import io.quern.op.MergeScheme;
import io.quern.op.Outcome;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMatchCases.Case;
import io.quern.op.TokenMatchCases.Order;
import io.quern.op.ValueSet;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which kernel a plan takes where FAST is asked for, and what it says about that. */
class CublasChoiceTest {
  /** As few tokens as go to cuBLAS. */
  private static final TokenMatch.Spec LARGE =
      TokenMatch.Spec.bipartite(DType.F32, 1100, 1024, true, false, 300)
          .withArithmetic(Arithmetic.FAST);

  @TempDir private Path folder;

  private static Case large(TokenMatch.Spec spec) {
    return new Case("large", spec, 1, Order.NONE, true, false, ValueSet.NORMAL, 1);
  }

  @Test
  void manyTokensGoToCublas() {
    try (Device device = CublasUnderTest.open();
        Device simd = CpuDevice.open(Backend.SIMD, 2)) {
      TokenMatch plan = TokenMatch.plan(device, LARGE);
      assertKernel(": TF32 products in tiles of 550 × 550", plan);
      assertTrue(plan.workspaceBytes(1) < 64L << 20, "more than a tile of products");
      Outcome fast = large(LARGE).runOn(device);
      Outcome canonical = large(LARGE.withArithmetic(Arithmetic.CANONICAL)).runOn(simd);
      double largest = 0;
      for (int n = 2; n < 1100; n += 2) { // token 0 is protected
        largest = Math.max(largest, Math.abs(similarity(fast, n) - similarity(canonical, n)));
      }
      double error = largest;
      assertTrue(error > 0 && error <= 0x1p-9 + 1024 * 0x1p-22, () -> "error " + error);
    }
  }

  private static void assertKernel(String text, TokenMatch plan) {
    String kernel = plan.kernel();
    assertTrue(kernel.startsWith("cublas 13.") && kernel.endsWith(text), kernel);
  }

  private static float similarity(Outcome outcome, int token) {
    return Float.intBitsToFloat((int) outcome.outputs().get(1).bits(token));
  }

  @Test
  void sixteenBitsGoThereAsTheyAre() {
    try (Device device = CublasUnderTest.open()) {
      TokenMatch.Spec grid =
          TokenMatch.Spec.grid(DType.BF16, 320, new MergeScheme.Grid(64, 64, 2, 2), 2048)
              .withArithmetic(Arithmetic.FAST);
      TokenMatch plan = TokenMatch.plan(device, grid);
      assertKernel(": BF16 products in tiles of 3072 × 1024", plan);
    }
  }

  @Test
  void fewTokensDoNot() {
    try (Device device = Emulation.open()) {
      for (int tokens : new int[] {0, 1, 2, 3, 1024}) {
        TokenMatch.Spec spec =
            TokenMatch.Spec.bipartite(DType.F32, tokens, 2048, false, false, 300);
        assertEquals("fused", TokenMatch.plan(device, spec).kernel());
        assertEquals(
            "fused: FAST was asked for, but that pays from 1025 tokens, dim 64 and 2^28"
                + " multiplications on",
            TokenMatch.plan(device, spec.withArithmetic(Arithmetic.FAST)).kernel());
      }
      for (TokenMatch.Spec spec :
          List.of(
              TokenMatch.Spec.bipartite(DType.F32, 100_000, 63, false, false, 300),
              TokenMatch.Spec.bipartite(DType.F32, 1100, 64, false, false, 300),
              TokenMatch.Spec.bipartite(DType.F32, 1100, 1024, false, false, 0),
              TokenMatch.Spec.everyKth(DType.F32, 1100, 1024, 2000))) {
        String kernel = TokenMatch.plan(device, spec.withArithmetic(Arithmetic.FAST)).kernel();
        assertTrue(kernel.startsWith("fused: FAST"), kernel);
      }
    }
  }

  @Test
  void aCpuHasTheCanonicalForm() {
    for (Backend backend : List.of(Backend.SCALAR, Backend.SIMD)) {
      try (Device cpu = CpuDevice.open(backend, 1)) {
        assertEquals(
            backend.id() + ": FAST was asked for, but a CPU has no other form",
            TokenMatch.plan(cpu, LARGE).kernel());
        assertEquals(
            backend.id(),
            TokenMatch.plan(cpu, LARGE.withArithmetic(Arithmetic.CANONICAL)).kernel());
      }
    }
  }

  /** No handle: a reason, and the next plan asks again. Nothing is left of it. */
  @ParameterizedTest
  @ValueSource(strings = {"cublasCreate_v2", "cublasGetVersion_v2"})
  void aHandleThatCannotBeMade(String function) {
    try (Device first = CublasUnderTest.open()) {
      CublasUnderTest.assumeEmulated(first);
      Alive before = Emulation.alive();
      try (Device device = Emulation.open()) {
        Emulation.inject(function, 1, 3, false);
        assertEquals(
            "fused: FAST was asked for, but %s: CUBLAS_STATUS_ALLOC_FAILED (3): as the emulation says"
                .formatted(function),
            TokenMatch.plan(device, LARGE).kernel());
        assertEquals(before, Emulation.alive());
        assertTrue(TokenMatch.plan(device, LARGE).kernel().startsWith("cublas"));
      } finally {
        Emulation.reset();
      }
      assertEquals(before, Emulation.alive());
    }
  }

  @Test
  void aDeviceTakesItsHandleWithIt() {
    try (Device first = CublasUnderTest.open();
        LogCapture log = new LogCapture()) {
      CublasUnderTest.assumeEmulated(first);
      Alive before = Emulation.alive();
      Device device = Emulation.open();
      TokenMatch.plan(device, LARGE);
      Emulation.inject("cublasDestroy_v2", 1, 13, false);
      device.close();
      assertEquals(0, Emulation.reset());
      assertEquals(
          List.of(
              "while closing: cublasDestroy_v2: CUBLAS_STATUS_EXECUTION_FAILED (13): as the"
                  + " emulation says"),
          log.messages());
      assertEquals(before, Emulation.alive());
      device.close();
      assertThrows(IllegalStateException.class, () -> TokenMatch.plan(device, LARGE));
    }
  }

  /** In a JVM of its own: what {@link PrintedMatch} prints. */
  @Test
  void withoutCublasTheBitsAreCanonical() throws Exception {
    String missing = folder.resolve("libquern_emulated_cublas.so").toString();
    assertEquals(
        "fused: FAST was asked for, but no cuBLAS at %s (correct quern.cublas, or leave it out)\n"
                .formatted(missing)
            + "canonical\n",
        printed(List.of("bits"), "-Dquern.cublas=" + missing));
  }

  @Test
  void theEmulationFindsNoneByItself() throws Exception {
    assertReason("the emulation has no cuBLAS (quern.cublas may name libquern_emulated_cublas.so)");
  }

  @Test
  void anotherLibraryIsNotTaken() throws Exception {
    Path library = folder.resolve("libcublas.so.13");
    StubLibraries.compile(library, "int nothing;");
    assertReason(
        library
            + " does not belong to the emulation (quern.cublas may name"
            + " libquern_emulated_cublas.so)",
        "-Dquern.cublas=" + library);
  }

  @Test
  void aLibraryThatLacksAFunction() throws Exception {
    Path library = folder.resolve("libquern_emulated_cublas.so");
    StubLibraries.compile(library, "int nothing;");
    assertReason("the cuBLAS library lacks a function: ", "-Dquern.cublas=" + library);
  }

  @Test
  void aLibraryOfAnotherVersion() throws Exception {
    Path library = folder.resolve("libquern_emulated_cublas.so");
    StubLibraries.compile(
        library,
        """
        int cublasCreate_v2(void** handle) { *handle = 0; return 0; }
        int cublasDestroy_v2(void* handle) { return 0; }
        int cublasGetVersion_v2(void* handle, int* version) { *version = 120804; return 0; }
        """);
    assertReason("this is cuBLAS 12.8.4, expected 13", "-Dquern.cublas=" + library);
  }

  @Test
  void noPathAtAll() throws Exception {
    assertReason("no cuBLAS at ", "-Dquern.cublas=");
  }

  private static void assertReason(String reason, String... flags) throws Exception {
    String printed = printed(List.of(), flags);
    assertTrue(printed.startsWith("fused: FAST was asked for, but " + reason), printed);
  }

  private static String printed(List<String> arguments, String... flags) throws Exception {
    String emulation = System.getProperty("quern.emulation");
    assumeTrue(emulation != null, "this is a test of the emulation");
    Emulation.open().close();
    String[] all = Arrays.copyOf(flags, flags.length + 1);
    all[flags.length] = "-Dquern.emulation=" + emulation;
    String printed =
        ForkedJvm.allowed(all).run(PrintedMatch.class, arguments.toArray(String[]::new));
    return printed
        .lines()
        .filter(line -> !line.startsWith("WARNING"))
        .reduce("", (a, b) -> a + b + "\n");
  }

  /** Prints the kernel that a FAST plan chose, and if asked whether its bits are canonical. */
  static final class PrintedMatch {
    private PrintedMatch() {}

    public static void main(String[] arguments) {
      try (Device device = Emulation.open();
          Device simd = CpuDevice.open(Backend.SIMD, 2)) {
        System.out.println(TokenMatch.plan(device, LARGE).kernel());
        if (arguments.length > 0) {
          String difference = large(LARGE).runOn(device).difference(large(LARGE).runOn(simd));
          System.out.println(difference == null ? "canonical" : difference);
        }
      }
    }
  }
}

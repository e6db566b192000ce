package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.quern.Arithmetic;
import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.Device;
import io.quern.Graph;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.cuda.CublasUnderTest;
import io.quern.op.TokenMatchCases.Case;
import io.quern.op.TokenMatchCases.Order;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The form of {@link TokenMatch} that takes its products from cuBLAS, of any size, against the
 * reference. The library in cuBLAS's place cuts F32 off to ten bits of mantissa and adds up in
 * another order.
 */
class FastTokenMatchTest {
  /** Enough for any of these calls. */
  private static final long SCRATCH = 96L << 20;

  /** C2 makes objects go away, some time. */
  private static final long PATIENCE_NANOS = 60_000_000_000L;

  private Device device;

  /** One workspace for all calls, with what the last one left in it. */
  private Buffer scratch;

  @BeforeEach
  void open() {
    device = CublasUnderTest.open();
    scratch = device.allocate(DType.U8, Shape.of(SCRATCH));
  }

  @AfterEach
  void close() {
    if (device != null) {
      if (device.backend() == Backend.EMULATED) {
        CublasUnderTest.reset();
      }
      scratch.close();
      device.close();
    }
  }

  private Buffer allocate(DType dtype, Shape shape) {
    return dtype == DType.U8 ? scratch.view(0, shape, shape.size()) : device.allocate(dtype, shape);
  }

  /** Small integers: every product is exact, so ties and all are the canonical ones. */
  @Test
  void exactProductsGiveTheCanonicalBits() {
    int compared = 0;
    try (Stream stream = device.openStream()) {
      for (Case each : TokenMatchCases.small()) {
        if (compares(each.spec())) {
          compared++;
          assertNull(
              run(each.of(ValueSet.FEW), stream).difference(each.of(ValueSet.FEW).expected()),
              each::toString);
        }
      }
      SplittableRandom random = new SplittableRandom(7);
      for (int i = 0; i < 200; i++) {
        Case each = TokenMatchCases.random(random).of(ValueSet.FEW);
        if (compares(each.spec())) {
          assertNull(run(each, stream).difference(each.expected()), each::toString);
        }
      }
    }
    int cases = compared;
    assertTrue(cases > 100, () -> cases + " cases");
  }

  /** More sources and destinations than a tile has, and more batch rows. */
  @Test
  void tilesFollowOneAnother() {
    try (Stream stream = device.openStream()) {
      for (Case each :
          List.of(
              few(TokenMatch.Spec.headTail(DType.F32, 6300, 3, 5300, 4100, true), 1),
              few(TokenMatch.Spec.bipartite(DType.F16, 2060, 2, true, true, 100), 4))) {
        try (Device simd = new DeviceUnderTest(Backend.SIMD, 2).open()) {
          assertNull(run(each, stream).difference(each.runOn(simd)), each::toString);
        }
      }
    }
  }

  private static Case few(TokenMatch.Spec spec, int batch) {
    return new Case("tiles", spec, batch, Order.NONE, true, true, ValueSet.FEW, batch);
  }

  /** Otherwise: similarities within the tolerance, merges of pairs that are as similar as any. */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F16", "BF16"})
  void otherProductsAreWithinTheTolerance(DType dtype) {
    int dim = 80;
    int tokens = 150;
    int merges = 30;
    double tolerance = (dtype == DType.F32 ? 0x1p-9 : 0) + dim * 0x1p-22;
    TokenMatch.Spec spec = TokenMatch.Spec.bipartite(dtype, tokens, dim, false, false, merges);
    Case each = new Case("near", spec, 3, Order.NONE, true, true, ValueSet.NORMAL, 5);
    Outcome fast;
    try (Stream stream = device.openStream()) {
      fast = run(each, stream);
      assertNull(fast.difference(run(each, stream)), "two runs");
    }
    Outcome canonical = each.expected();
    RandomRows metric = each.inputs().metric();
    double largest = 0;
    double total = 0;
    double canonicalTotal = 0;
    for (int b = 0; b < 3; b++) {
      double[] best = new double[tokens];
      boolean[] merged = new boolean[tokens];
      for (int n = 0; n < tokens; n += 2) {
        int at = b * tokens + n;
        float similarity = Float.intBitsToFloat((int) fast.outputs().get(1).bits(at));
        float expected = Float.intBitsToFloat((int) canonical.outputs().get(1).bits(at));
        largest = Math.max(largest, Math.abs(similarity - expected));
        best[n] = expected;
        for (int other = 1; other < tokens; other += 2) {
          if (slot(fast, at) == slot(fast, b * tokens + other)) {
            merged[n] = true;
            double pair = cosine(metric, at, b * tokens + other);
            assertTrue(pair > expected - 2 * tolerance - 1e-5, () -> "a pair that is not alike");
            total += pair;
          }
          if (slot(canonical, at) == slot(canonical, b * tokens + other)) {
            canonicalTotal += cosine(metric, at, b * tokens + other);
          }
        }
      }
      double least = 2;
      double left = -2;
      int count = 0;
      for (int n = 0; n < tokens; n += 2) {
        count += merged[n] ? 1 : 0;
        least = merged[n] ? Math.min(least, best[n]) : least;
        left = merged[n] ? left : Math.max(left, best[n]);
      }
      assertEquals(merges, count);
      assertTrue(least >= left - 2 * tolerance, "a better pair was left");
      assertEquals(tokens - merges, (int) fast.outputs().get(2).bits(b));
    }
    double error = largest;
    assertTrue(error <= tolerance, () -> error + " above " + tolerance);
    assertTrue(dtype != DType.F32 || error > 0x1p-20, "no TF32 products");
    assertEquals(canonicalTotal, total, 3 * merges * 2 * tolerance);
  }

  private static int slot(Outcome outcome, int at) {
    return (int) outcome.outputs().getFirst().bits(at);
  }

  private static double cosine(RandomRows rows, int a, int b) {
    double product = 0;
    double first = 0;
    double second = 0;
    for (int k = 0; k < rows.shape().last(); k++) {
      double x = value(rows, a, k);
      double y = value(rows, b, k);
      product += x * y;
      first += x * x;
      second += y * y;
    }
    return product / Math.sqrt(first * second);
  }

  private static float value(RandomRows rows, int row, int column) {
    int bits = rows.bits(row, column);
    return switch (rows.dtype()) {
      case F16 -> Float.float16ToFloat((short) bits);
      case BF16 -> Float.intBitsToFloat(bits << 16);
      default -> Float.intBitsToFloat(bits);
    };
  }

  /** NaN, infinities, overflow: nothing faults, and slots are slots. */
  @Test
  void anyValuesGiveSlots() {
    try (Stream stream = device.openStream()) {
      for (DType dtype : EmbeddingGatherCases.FLOATS) {
        TokenMatch.Spec spec = TokenMatch.Spec.bipartite(dtype, 61, 7, true, true, 20);
        Case each = new Case("any", spec, 4, Order.NONE, true, true, ValueSet.SPECIAL, 3);
        Outcome found = run(each, stream);
        for (int b = 0; b < 4; b++) {
          assertEquals(41, (int) found.outputs().get(2).bits(b));
          boolean[] taken = new boolean[41];
          for (int n = 0; n < 61; n++) {
            taken[slot(found, b * 61 + n)] = true;
          }
          for (int m = 0; m < 41; m++) {
            assertTrue(taken[m], "an empty row");
          }
        }
      }
    }
  }

  @Test
  void capturedIntoAGraph() {
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 300, 8, false, false, 100), 3);
    Outcome expected = each.expected();
    try (Stream stream = device.openStream();
        PreparedCase prepared = each.prepare(plan(each), stream, this::allocate)) {
      prepared.poison();
      try (Graph graph = stream.capture(prepared::run)) {
        for (int i = 0; i < 2; i++) {
          prepared.poison();
          graph.launch(stream);
          assertNull(prepared.read(null).difference(expected));
        }
      }
      assertNull(prepared.outcome().difference(expected), "after it was captured");
    }
  }

  @Test
  void runAllocatesNothingAndDoesNotWait() {
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 40, 4, false, false, 10), 2);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long id = Thread.currentThread().threadId();
    try (Stream stream = device.openStream();
        PreparedCase prepared = each.prepare(plan(each), stream, this::allocate)) {
      prepared.run();
      boolean emulated = device.backend() == Backend.EMULATED;
      long waits = emulated ? CublasUnderTest.synchronizations() : 0;
      long deadline = System.nanoTime() + PATIENCE_NANOS;
      long bytes;
      do {
        long before = threads.getThreadAllocatedBytes(id);
        long overhead = threads.getThreadAllocatedBytes(id) - before;
        before = threads.getThreadAllocatedBytes(id);
        for (int i = 0; i < 100; i++) {
          prepared.run();
        }
        bytes = threads.getThreadAllocatedBytes(id) - before - overhead;
      } while (bytes != 0 && System.nanoTime() < deadline);
      assertEquals(0, bytes, "bytes in 100 runs");
      assertEquals(waits, emulated ? CublasUnderTest.synchronizations() : 0);
    }
  }

  /** Streams share the handle, whoever calls. */
  @Test
  void virtualThreadsOnStreamsOfTheirOwn() throws Exception {
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<?>> all = new ArrayList<>();
      for (int t = 0; t < 6; t++) {
        Case each =
            new Case(
                "stream " + t,
                TokenMatch.Spec.bipartite(DType.F32, 30 + 7 * t, 8, false, false, 9),
                2,
                Order.NONE,
                true,
                false,
                ValueSet.FEW,
                t);
        TokenMatch plan = plan(each);
        all.add(
            threads.submit(
                () -> {
                  try (Stream stream = device.openStream();
                      PreparedCase prepared = each.prepare(plan, stream, device::allocate)) {
                    Outcome expected = each.expected();
                    for (int i = 0; i < 20; i++) {
                      assertNull(prepared.outcome().difference(expected), each::toString);
                    }
                  }
                }));
      }
      for (Future<?> each : all) {
        each.get();
      }
    }
  }

  @Test
  void aWorkspaceThatIsTooSmall() {
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 40, 4, false, false, 10), 2);
    TokenMatch plan = plan(each);
    long bytes = plan.workspaceBytes(2);
    try (Stream stream = device.openStream();
        Buffer metric = device.allocate(DType.F32, each.spec().metricShape(2));
        Buffer slot = device.allocate(DType.I32, each.spec().slotShape(2))) {
      TokenMatch.Operands operands = TokenMatch.Operands.of(metric, slot);
      assertThrows(NullPointerException.class, () -> plan.run(stream, operands));
      TokenMatch.Operands less =
          operands.withWorkspace(scratch.view(0, Shape.of(bytes - 1), bytes - 1));
      String message =
          assertThrows(IllegalArgumentException.class, () -> plan.run(stream, less)).getMessage();
      assertTrue(message.startsWith("TokenMatch: workspace"), message);
      assertTrue(message.contains(Long.toString(bytes)), message);
    }
  }

  /** A call that fails says so, and the next one finds everything as it should be. */
  @ParameterizedTest
  @ValueSource(
      strings = {"cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmStridedBatchedEx"})
  void aCallThatFails(String function) {
    CublasUnderTest.assumeEmulated(device);
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 40, 4, false, false, 10), 2);
    Outcome expected = each.expected();
    try (Stream stream = device.openStream();
        PreparedCase prepared = each.prepare(plan(each), stream, this::allocate)) {
      CublasUnderTest.fail(function, 1, 13);
      CudaException failure = assertThrows(CudaException.class, prepared::run);
      assertEquals(function, failure.call());
      assertEquals("CUBLAS_STATUS_EXECUTION_FAILED", failure.name());
      assertEquals(13, failure.code());
      assertNull(prepared.outcome().difference(expected), "after the failure");
      CublasUnderTest.fail(function, 1, 13);
      assertThrows(CudaException.class, () -> stream.capture(prepared::run));
      assertNull(prepared.outcome().difference(expected), "after a capture that failed");
    }
  }

  @Test
  void aLaunchThatFails() {
    CublasUnderTest.assumeEmulated(device);
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 40, 4, false, false, 10), 2);
    try (Stream stream = device.openStream();
        PreparedCase prepared = each.prepare(plan(each), stream, this::allocate)) {
      List<String> launches =
          List.of(
              "quern_token_match_fast_pack", // lists
              "quern_token_match_fast_pack", // rows
              "cublasGemmStridedBatchedEx",
              "quern_token_match_fast_argmax",
              "quern_token_match_fast_place");
      for (int nth = 1; nth <= launches.size(); nth++) {
        CublasUnderTest.fail("launch", nth, 9);
        CudaException failure = assertThrows(CudaException.class, prepared::run);
        assertEquals(launches.get(nth - 1), failure.call());
      }
      assertNull(prepared.outcome().difference(each.expected()), "after the failures");
    }
  }

  /** Any workspace that is aligned to 16 bytes. */
  @Test
  void aWorkspaceThatBeginsAnywhere() {
    Case each = few(TokenMatch.Spec.bipartite(DType.F32, 60, 5, false, false, 20), 2);
    TokenMatch plan = plan(each);
    long bytes = plan.workspaceBytes(2);
    try (Stream stream = device.openStream();
        PreparedCase prepared =
            each.prepare(
                plan,
                stream,
                (dtype, shape) ->
                    dtype == DType.U8
                        ? scratch.view(240, Shape.of(bytes), bytes)
                        : device.allocate(dtype, shape))) {
      assertNull(prepared.outcome().difference(each.expected()));
    }
  }

  private static boolean compares(TokenMatch.Spec spec) {
    return !spec.isIdentity()
        && spec.scheme().sources(spec.tokens()) > 0
        && spec.scheme().destinations(spec.tokens()) > 0;
  }

  private TokenMatch plan(Case each) {
    TokenMatch.Spec spec = each.spec().withArithmetic(Arithmetic.FAST);
    return new TokenMatch(device, spec, CublasUnderTest.prepare(device, spec));
  }

  private Outcome run(Case each, Stream stream) {
    try (PreparedCase prepared = each.prepare(plan(each), stream, this::allocate)) {
      return prepared.outcome();
    }
  }
}

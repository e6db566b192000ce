package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import io.quern.Backend;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream.Builder;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A call allocates nothing on the heap, neither in its caller nor in the device's threads. */
class ZeroAllocationTest {
  private static final int RUNS = 100;

  /** Vectors are objects until C2 has compiled a kernel; after so long it has. */
  private static final long PATIENCE_NANOS = 10_000_000_000L;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  static java.util.stream.Stream<Arguments> calls() {
    Builder<Arguments> calls = java.util.stream.Stream.builder();
    for (Backend backend : new Backend[] {Backend.SCALAR, Backend.SIMD}) {
      for (int parallelism : new int[] {1, 2}) {
        for (OperatorCase each : cases()) {
          calls.add(Arguments.of(new DeviceUnderTest(backend, parallelism), each));
        }
      }
    }
    return calls.build();
  }

  /** Without faults, whose exceptions are objects, and large enough to be shared among threads. */
  private static List<OperatorCase> cases() {
    List<OperatorCase> cases = new ArrayList<>();
    EmbeddingGatherCases.small().stream()
        .filter(each -> each.idShape().size() * each.spec().dim() > 1 << 15)
        .filter(each -> each.expected().fault() == null)
        .collect(
            Collectors.groupingBy(
                each ->
                    (each.spec().table() == each.spec().out())
                        + " "
                        + each.spec().vocabSizes().size()))
        .values()
        .forEach(alike -> cases.add(alike.getFirst()));
    EmbeddingBagCases.small().stream()
        .filter(each -> each.spec().policy() == IndexPolicy.SKIP)
        .filter(each -> each.lengths().contains(300) || each.lengths().size() == 150)
        .forEach(cases::add);
    ScatterRowsCases.small().stream()
        .filter(each -> each.count() * each.spec().dim() > 1 << 15)
        .filter(each -> each.expected().fault() == null)
        .forEach(cases::add);
    KvCompactionCases.small().stream()
        .filter(each -> each.id().startsWith("layers"))
        .forEach(cases::add);
    TopKCases.small().stream().filter(each -> each.rows() == 12).forEach(cases::add);
    SampleRowsCases.small().stream()
        .filter(each -> each.rows() * each.spec().dim() > 1 << 14)
        .forEach(cases::add);
    BeamExpandCases.small().stream()
        .filter(each -> each.spec().candidates() == 64 && each.requests() > 2)
        .forEach(cases::add);
    for (List<? extends OperatorCase> trees :
        List.of(
            TreeTopologyCases.small(),
            TreeMaskCases.small(),
            DynamicTreeCases.small(),
            TreeFromMaskCases.small(),
            PackBitsCases.small(),
            RejectionVerifyCases.small(),
            SeededCoinsCases.small())) {
      for (int i = 0; i < trees.size(); i += trees.size() / 8 + 1) {
        cases.add(trees.get(i));
      }
    }
    SegmentMaxCases.small().stream().filter(each -> each.id().equals("many")).forEach(cases::add);
    WindowPoolCases.small().stream()
        .filter(each -> each.length() == 200 && each.sequences() > 0)
        .limit(2)
        .forEach(cases::add);
    PonetPoolingCases.small().stream()
        .filter(each -> each.id().startsWith("base"))
        .forEach(cases::add);
    PonetMixerCases.small().stream()
        .filter(each -> each.of().spec().headDim() == 64 && each.of().lengths().contains(150))
        .forEach(cases::add);
    PonetChunksCases.small().stream()
        .filter(each -> each.of().spec().headDim() == 64 && each.of().lengths().contains(321))
        .forEach(cases::add);
    AdjacencyFillCases.small().stream()
        .filter(each -> each.spec().policy() == IndexPolicy.SKIP && each.sizes().size() == 100)
        .forEach(cases::add);
    TokenMatchCases.small().stream()
        .filter(each -> each.spec().tokens() == 197)
        .forEach(cases::add);
    TokenMergeCases.small().stream()
        .filter(each -> each.spec().tokens() == 197 && each.spec().dtype() == DType.F32)
        .forEach(cases::add);
    TokenUnmergeCases.small().stream()
        .filter(each -> each.spec().tokens() == 200 && !each.spec().droppedToFirst())
        .forEach(cases::add);
    MergeStepCases.small().stream()
        .filter(each -> each.spec().match().tokens() == 197)
        .forEach(cases::add);
    DiffRateBlockCases.small().stream()
        .filter(each -> each.spec().tokens() == 197)
        .forEach(cases::add);
    return cases;
  }

  @ParameterizedTest
  @MethodSource("calls")
  void runAllocatesNothing(DeviceUnderTest under, OperatorCase each) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        PreparedCase prepared = each.prepare(device, stream, device::allocate)) {
      long[] threads = threads();
      long deadline = System.nanoTime() + PATIENCE_NANOS;
      long bytes;
      do {
        long before = allocated(threads);
        long overhead = allocated(threads) - before;
        before = allocated(threads);
        for (int i = 0; i < RUNS; i++) {
          prepared.run();
        }
        bytes = allocated(threads) - before - overhead;
      } while (bytes != 0 && System.nanoTime() < deadline);
      assertEquals(0, bytes, () -> "bytes in " + RUNS + " runs of " + each);
    }
  }

  /** This thread and those of the device. */
  private static long[] threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread == Thread.currentThread() || thread.getName().startsWith("quern "))
        .mapToLong(Thread::threadId)
        .toArray();
  }

  private static long allocated(long[] threads) {
    long bytes = 0;
    for (long thread : threads) {
      bytes += THREADS.getThreadAllocatedBytes(thread);
    }
    return bytes;
  }
}

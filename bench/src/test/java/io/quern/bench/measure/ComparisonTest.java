package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmbeddingBagCases;
import io.quern.op.EmbeddingGather;
import io.quern.op.EmbeddingGatherCases;
import io.quern.op.IndexDistribution;
import io.quern.op.IndexPolicy;
import io.quern.op.Trait;
import io.quern.op.ValueSet;
import io.quern.timing.Statistics;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ComparisonTest {
  private final Arena arena = Arena.ofShared();

  @AfterEach
  void close() {
    arena.close();
  }

  private static Workload gather(SegmentAllocator memory, DType dtype) {
    EmbeddingGather.Spec spec =
        EmbeddingGather.Spec.of(dtype, 101, 33, IndexPolicy.FAIL).withOut(DType.F32);
    return GatherWorkload.of(
        memory,
        new EmbeddingGatherCases.Case(
            "test", spec, Shape.of(57), IndexDistribution.UNIFORM, ValueSet.NORMAL, Set.of(), 7),
        3);
  }

  private static Workload bag(
      SegmentAllocator memory, DType dtype, boolean weighted, List<Integer> lengths) {
    EmbeddingBag.Spec spec =
        EmbeddingBag.Spec.of(
                dtype, 101, 33, weighted ? Combine.SUM : Combine.MEAN, IndexPolicy.FAIL)
            .withOut(DType.F32);
    return BagWorkload.of(
        memory,
        new EmbeddingBagCases.Case(
            "test",
            spec,
            lengths,
            IndexDistribution.UNIFORM,
            ValueSet.NORMAL,
            weighted ? Set.of(Trait.WEIGHTED) : Set.of(),
            7),
        3);
  }

  static Stream<Function<SegmentAllocator, Workload>> workloads() {
    Stream<Function<SegmentAllocator, Workload>> gathers =
        Stream.of(DType.F32, DType.F16, DType.BF16).map(dtype -> memory -> gather(memory, dtype));
    List<Integer> lengths = List.of(64, 0, 1, 20, 63, 5);
    Stream<Function<SegmentAllocator, Workload>> bags =
        Stream.of(DType.F32, DType.F16)
            .flatMap(
                dtype ->
                    Stream.of(true, false)
                        .map(weighted -> memory -> bag(memory, dtype, weighted, lengths)));
    return Stream.concat(gathers, bags);
  }

  /** The plain loops know nothing of Quern: that all give the same bits is no tautology. */
  @ParameterizedTest
  @MethodSource("workloads")
  void plainLoopsAndEveryBackEndAgree(Function<SegmentAllocator, Workload> make) {
    Workload workload = make.apply(arena);
    try (OpenDevices devices = new OpenDevices(Optional.empty(), 2)) {
      assertTrue(devices.all().stream().map(Device::backend).anyMatch(Backend.SCALAR::equals));
      List<Contender> contenders = workload.contenders(devices.all(), 1);
      assertEquals(Optional.empty(), new Comparison(workload, contenders, 1).disagreement());
      contenders.forEach(Contender::close);
    }
  }

  private static Contender segmentLoop(Workload workload) {
    return workload.loops().get("java-segment").get();
  }

  /** Does what the segment loop does, then changes what it is told to. */
  private Contender flawed(Workload workload, Runnable flaw) {
    Contender right = segmentLoop(workload);
    return new PlainContender(
        "flawed",
        workload.outputs(),
        set -> {
          right.run(set);
          flaw.run();
        });
  }

  @Test
  void oneWrongBitIsFoundAndNamed() {
    Workload workload = gather(arena, DType.F32);
    MemorySegment out = workload.outputs().get("out").memory();
    Contender flawed =
        flawed(
            workload,
            () ->
                out.set(
                    ValueLayout.JAVA_BYTE, 4 * 70, (byte) ~out.get(ValueLayout.JAVA_BYTE, 4 * 70)));
    String difference =
        new Comparison(workload, List.of(segmentLoop(workload), flawed), 1)
            .disagreement()
            .orElseThrow();
    assertAll(
        () -> assertTrue(difference.contains("flawed gives"), difference),
        () -> assertTrue(difference.contains("element 70 "), difference));
  }

  @Test
  void anElementThatIsNotWrittenIsFound() {
    Workload workload = gather(arena, DType.F32);
    Contender lazy = new PlainContender("lazy", workload.outputs(), set -> {});
    assertTrue(
        new Comparison(workload, List.of(segmentLoop(workload), lazy), 1)
            .disagreement()
            .orElseThrow()
            .contains("lazy gives NaN"));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void everyContenderIsSampledAsOftenAsTheRuleSays(int threads) {
    Workload workload = gather(arena, DType.F32);
    Contender slow =
        flawed(
            workload,
            () -> {
              for (long end = System.nanoTime() + 200_000; System.nanoTime() < end; ) {
                Thread.onSpinWait();
              }
            });
    Comparison.Result result =
        new Comparison(workload, List.of(segmentLoop(workload), slow), threads)
            .measure(new Comparison.StopRule(6, 0, 1.5));
    List<Timing> timings = result.timings();
    assertAll(
        () -> assertEquals(6, timings.get(0).micros().size()),
        () -> assertEquals(6, timings.get(1).micros().size()),
        () -> assertEquals(6, result.memcpy().micros().size()),
        () -> assertTrue(timings.get(1).percentile(50) >= 200),
        () -> assertTrue(timings.get(1).timesFasterThan(timings.get(0)).high() < 1));
  }

  @Test
  void bagsThatAPlainLoopWouldSumInAnotherOrderAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> bag(arena, DType.F32, true, List.of(3, 65)));
  }

  @Test
  void everyOperatorHasAQuickCaseAndIdsAreUnique() {
    List<TimedCase> all = TimedCase.all();
    assertEquals(
        all.stream().map(TimedCase::operator).distinct().toList(),
        all.stream().filter(TimedCase::quick).map(TimedCase::operator).distinct().toList());
    assertEquals(all.size(), all.stream().map(TimedCase::id).distinct().count());
  }

  @Test
  void ratiosArePairedNotDividedMedians() {
    // Both drift by a factor of ten; within each pair one is twice as fast.
    Timing slow = new Timing("slow", true, List.of(2.0, 20.0, 4.0, 40.0), List.of(), 1, 0);
    Timing fast = new Timing("fast", true, List.of(1.0, 10.0, 2.0, 20.0), List.of(), 1, 0);
    assertEquals(new Statistics.Interval(2, 2, 2), fast.timesFasterThan(slow));
    assertEquals(0.5, slow.timesFasterThan(fast).median());
  }
}

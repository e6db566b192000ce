package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.InvalidDataException;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.cuda.Emulation.Alive;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import io.quern.timing.GpuState;
import io.quern.timing.GpuTimer;
import io.quern.timing.GpuTimer.Settings;
import io.quern.timing.GpuTiming;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** On the emulation, whose times mean nothing: that they are taken, of the right launches. */
class GpuTimerTest {
  private static final int OUT_OF_MEMORY = 2; // cudaErrorMemoryAllocation

  private RuntimeDevice device;
  private Alive before;
  private RuntimeStream stream;
  private EmbeddingGather gather;
  private Buffer table;
  private Buffer ids;
  private Buffer out;

  @BeforeEach
  void open() {
    device = Emulation.open();
    before = Emulation.alive();
    stream = device.openStream();
    gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 3, 2, IndexPolicy.FAIL));
    table = device.allocate(DType.F32, Shape.of(3, 2));
    ids = device.allocate(DType.I32, Shape.of(2));
    out = device.allocate(DType.F32, Shape.of(2, 2));
    table.copyFrom(MemorySegment.ofArray(new float[6]), stream);
    ids.copyFrom(MemorySegment.ofArray(new int[] {1, 2}), stream);
  }

  @AfterEach
  void close() {
    if (device != null) {
      List.of(out, ids, table).forEach(Buffer::close);
      stream.close();
      device.close();
      assertEquals(before, Emulation.alive());
    }
  }

  @Test
  void threeTimesAndThatOfAGraph() {
    try (GpuTimer timer = new GpuTimer(stream)) {
      GpuTiming timing =
          timer.time(
              new Settings(4, 3, false, true), (on, number) -> gather.run(on, table, ids, out));
      assertAll(
          () -> assertEquals(4, timing.gpuMicros().size()),
          () -> assertEquals(4, timing.issueMicros().size()),
          () -> assertEquals(4, timing.endToEndMicros().size()),
          () -> assertEquals(4, timing.graphMicros().size()),
          () -> assertEquals("", timing.noGraph()),
          () -> assertTrue(timing.gpu().low() >= 0 && timing.gpu().high() < 1e6),
          () -> assertTrue(timing.issue().median() <= timing.endToEnd().median()),
          () -> assertInstanceOf(GpuState.Unknown.class, timing.before()),
          () -> assertTrue(timing.toString().contains("in a graph"), timing.toString()));
    }
  }

  @Test
  void launchesAreNumberedWithoutAGap() {
    List<Integer> numbers = new ArrayList<>();
    try (GpuTimer timer = new GpuTimer(stream)) {
      timer.time(new Settings(2, 1, false, false), (on, number) -> numbers.add(number));
    }
    // Warm-up, two samples alone, two of GPU time, of which each is queued twice.
    int sampled = numbers.size() - 4;
    for (int i = 0; i < sampled; i++) {
      assertEquals(i, numbers.get(i));
    }
    assertEquals(
        List.of(sampled, sampled, sampled + 1, sampled + 1), numbers.subList(sampled, sampled + 4));
  }

  @Test
  void whatCannotBeCapturedHasAReasonInsteadOfAGraphTime() {
    try (GpuTimer timer = new GpuTimer(stream)) {
      GpuTiming timing =
          timer.time(
              new Settings(2, 1, false, true),
              (on, number) -> {
                gather.run(on, table, ids, out);
                on.synchronize();
              });
      assertTrue(timing.graph().isEmpty());
      assertTrue(timing.noGraph().contains("synchronize cannot be captured"), timing.noGraph());
      assertEquals(2, timing.gpuMicros().size());
    }
  }

  @Test
  void coldLaunchesAreSingle() {
    assertThrows(IllegalArgumentException.class, () -> new Settings(3, 2, true, false));
    assertThrows(IllegalArgumentException.class, () -> new Settings(0, 1, false, false));
    try (GpuTimer timer = new GpuTimer(stream)) {
      GpuTiming timing =
          timer.time(
              new Settings(2, 1, true, false), (on, number) -> gather.run(on, table, ids, out));
      assertEquals(2, timing.gpuMicros().size());
      assertEquals("not asked for", timing.noGraph());
    }
  }

  @Test
  void badDataOfALaunchIsThrownAndTheTimerGoesOn() {
    try (GpuTimer timer = new GpuTimer(stream)) {
      ids.copyFrom(MemorySegment.ofArray(new int[] {1, 9}), stream);
      assertThrows(
          InvalidDataException.class,
          () -> timer.time((on, number) -> gather.run(on, table, ids, out)));
      ids.copyFrom(MemorySegment.ofArray(new int[] {1, 0}), stream);
      assertFalse(
          timer
              .time(new Settings(1, 1, false, false), (on, n) -> gather.run(on, table, ids, out))
              .gpuMicros()
              .isEmpty());
    }
  }

  @Test
  void withoutMemoryToEvictWithNothingIsLeft() {
    Alive opened = Emulation.alive();
    Emulation.inject("cudaMallocAsync", 2, OUT_OF_MEMORY, false);
    try {
      assertThrows(CudaException.class, () -> new GpuTimer(stream));
    } finally {
      assertEquals(0, Emulation.reset());
    }
    assertEquals(opened, Emulation.alive());
  }

  @Test
  void aStreamOfACpuIsRefused() {
    try (CpuDevice cpu = CpuDevice.open(Backend.SCALAR, 1);
        Stream other = cpu.openStream()) {
      assertThrows(IllegalArgumentException.class, () -> new GpuTimer(other));
      assertThrows(IllegalArgumentException.class, () -> Stream.unwrap(other));
    }
  }

  @Test
  void othersCanQueueOnTheStreamByItsHandle() {
    long handle = Stream.unwrap(stream);
    try (Stream same = Stream.wrap(device, handle)) {
      assertEquals(handle, Stream.unwrap(same));
      gather.run(same, table, ids, out);
      same.synchronize();
    }
  }

  @Test
  void withoutNvmlThereIsAReason() {
    switch (Nvml.state("00000000:00:00.0")) {
      case GpuState.Unknown unknown -> assertFalse(unknown.reason().isEmpty());
      case GpuState.Known known -> assertTrue(known.celsius() > 0, known.toString());
    }
    assertEquals("unknown: the emulation has no clocks", GpuState.of(device).toString());
  }
}

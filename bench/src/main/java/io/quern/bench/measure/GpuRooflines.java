package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.CudaDevice;
import io.quern.DType;
import io.quern.Event;
import io.quern.PinnedBuffer;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import io.quern.op.TopK;
import io.quern.timing.GpuTimer;
import io.quern.timing.GpuTiming;
import io.quern.timing.Statistics;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a GPU gives a program, medians of several passes. Bandwidths are in GB/s, times in
 * microseconds.
 *
 * @param copy the runtime's copy within the GPU's memory, bytes read plus bytes written
 * @param kernelCopy the same by a kernel of ours: all rows of a table, gathered in order
 * @param read reading alone: the greatest elements of long rows
 * @param pinnedRead rows gathered from page-locked memory of the host, bytes read
 * @param smallestKernel gathering one row of 16 bytes, between events around queued launches
 * @param graphNode the same as a node of a graph; NaN where it cannot be captured
 */
public record GpuRooflines(
    double copy,
    double kernelCopy,
    double read,
    double pinnedRead,
    double smallestKernel,
    double graphNode) {
  /** Of each of two blocks; on a GPU more than any cache holds. */
  static final long BLOCK_BYTES = 1L << 30;

  private static final int ROW = 1024;
  private static final long ROW_BYTES = (long) ROW * Float.BYTES;
  private static final int LONG_ROW = 1 << 17;

  /** Elements of the shortest row: 16 bytes. */
  private static final int FEW = 4;

  /** What is read over a bus is a sixteenth: it is as much slower. */
  private static final int PINNED_SHARE = 16;

  private static final int PASSES = 5;

  /**
   * Measures; waits for the GPU.
   *
   * @param blockBytes of each of two blocks, a multiple of 512 KiB
   */
  static GpuRooflines measure(CudaDevice gpu, long blockBytes) {
    long rows = blockBytes / ROW_BYTES;
    long pinnedRows = rows / PINNED_SHARE;
    long longRows = blockBytes / Float.BYTES / LONG_ROW;
    EmbeddingGather gather = gather(gpu, rows, ROW);
    EmbeddingGather few = gather(gpu, pinnedRows, ROW);
    EmbeddingGather one = gather(gpu, 1, FEW);
    TopK greatest = TopK.plan(gpu, new TopK.Spec(DType.F32, LONG_ROW, 1));
    try (Stream stream = gpu.openStream();
        Event start = gpu.openEvent();
        Event end = gpu.openEvent();
        Buffer from = gpu.allocate(DType.F32, Shape.of(rows, ROW));
        Buffer to = gpu.allocate(DType.F32, Shape.of(rows, ROW));
        PinnedBuffer host = gpu.allocatePinned(DType.F32, Shape.of(pinnedRows, ROW));
        PinnedBuffer order = gpu.allocatePinned(DType.I32, Shape.of(rows));
        Buffer ids = gpu.allocate(DType.I32, Shape.of(rows));
        Buffer indices = gpu.allocate(DType.I32, Shape.of(longRows, 1));
        GpuTimer timer = new GpuTimer(stream)) {
      // No constants: a GPU moves them with less power.
      for (long i = 0; i < pinnedRows * ROW; i++) {
        host.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
      }
      for (int i = 0; i < rows; i++) {
        order.segment().setAtIndex(ValueLayout.JAVA_INT, i, i);
      }
      order.copyTo(ids, stream);
      for (long row = 0; row < rows; row += pinnedRows) {
        host.copyTo(from.view(row * ROW, Shape.of(pinnedRows, ROW), ROW), stream);
      }
      Buffer firstIds = ids.view(0, Shape.of(pinnedRows), 1);
      Buffer firstRows = to.view(0, Shape.of(pinnedRows, ROW), ROW);
      Buffer row = from.view(0, Shape.of(1, FEW), FEW);
      Buffer id = ids.view(0, Shape.of(1), 1);
      Buffer out = to.view(0, Shape.of(1, FEW), FEW);
      Passes passes = new Passes(stream, start, end);
      double copy = passes.rate(2 * blockBytes, () -> from.copyTo(to, stream));
      double kernelCopy = passes.rate(2 * blockBytes, () -> gather.run(stream, from, ids, to));
      double read =
          passes.rate(
              blockBytes,
              () ->
                  greatest.run(
                      stream, from.view(0, Shape.of(longRows, LONG_ROW), LONG_ROW), null, indices));
      double pinnedRead =
          passes.rate(pinnedRows * ROW_BYTES, () -> few.run(stream, host, firstIds, firstRows));
      GpuTiming smallest = timer.time((on, number) -> one.run(on, row, id, out));
      return new GpuRooflines(
          copy,
          kernelCopy,
          read,
          pinnedRead,
          smallest.gpu().median(),
          smallest.graph().map(Statistics.Interval::median).orElse(Double.NaN));
    }
  }

  private static EmbeddingGather gather(CudaDevice gpu, long rows, long dim) {
    return EmbeddingGather.plan(
        gpu, EmbeddingGather.Spec.of(DType.F32, rows, dim, IndexPolicy.FAIL));
  }

  private record Passes(Stream stream, Event start, Event end) {
    /** GB/s of what moves that many bytes. */
    double rate(long bytes, Runnable pass) {
      double[] rates = new double[PASSES];
      for (int i = -1; i < PASSES; i++) {
        stream.record(start);
        pass.run();
        stream.record(end);
        end.synchronize();
        if (i >= 0) {
          rates[i] = bytes / end.millisSince(start) * 1e-6;
        }
      }
      stream.synchronize(); // throws what the passes met
      return Statistics.median(rates);
    }
  }

  /** The largest change of a bandwidth of its own memory, as a share. */
  double drift(GpuRooflines later) {
    return Math.max(
        Rooflines.drift(copy, later.copy),
        Math.max(Rooflines.drift(kernelCopy, later.kernelCopy), Rooflines.drift(read, later.read)));
  }

  /** By their names in JSON. */
  Map<String, Object> figures() {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("gpu_copy_gb_per_s", copy);
    figures.put("gpu_kernel_copy_gb_per_s", kernelCopy);
    figures.put("gpu_read_gb_per_s", read);
    figures.put("gpu_pinned_read_gb_per_s", pinnedRead);
    figures.put("gpu_smallest_kernel_us", smallestKernel);
    figures.put("gpu_graph_node_us", graphNode);
    return figures;
  }

  @Override
  public String toString() {
    return "GPU copy %.0f GB/s, by a kernel %.0f, read %.0f, from page-locked memory %.0f; "
            .formatted(copy, kernelCopy, read, pinnedRead)
        + "smallest kernel %.1f µs, in a graph %.1f".formatted(smallestKernel, graphNode);
  }
}

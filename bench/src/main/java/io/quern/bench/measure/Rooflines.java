package io.quern.bench.measure;

import io.quern.Backend;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * What memory gives a program here, in GB/s: medians of several passes over blocks larger than the
 * caches. {@link MemoryProbe} measures them.
 *
 * @param threads how many threads shared the work
 * @param copy {@link MemorySegment#copy}, bytes read plus bytes written
 * @param read comparing two equal blocks, bytes read
 * @param randomRows copying random rows of {@value #ROW_BYTES} bytes to one place in cache, bytes
 *     read
 * @param gpu what the GPU gives, where there is one
 */
public record Rooflines(
    int threads, double copy, double read, double randomRows, Optional<GpuRooflines> gpu) {
  static final int ROW_BYTES = 512;

  /** The largest change from this measurement to another one of the CPU, as a share. */
  public double cpuDrift(Rooflines later) {
    return Math.max(
        drift(copy, later.copy),
        Math.max(drift(read, later.read), drift(randomRows, later.randomRows)));
  }

  /** The largest change of the GPU, as a share; 0 without a GPU. */
  public double gpuDrift(Rooflines later) {
    return gpu.map(before -> before.drift(later.gpu.orElseThrow())).orElse(0.0);
  }

  static double drift(double before, double after) {
    return Math.abs(after / before - 1);
  }

  /**
   * The bandwidth of a contender as a share of what a copy reaches where it runs.
   *
   * @param memcpy taken in turns with it, of as many bytes
   */
  public double shareOfCopy(Workload workload, Timing timing, Timing memcpy) {
    return timing.name().equals(Backend.CUDA.id())
        ? timing.gigabytesPerSecond(workload.bytes()) / gpu.orElseThrow().copy()
        : timing.timesFasterThan(memcpy).median();
  }

  @Override
  public String toString() {
    return "memcpy %.1f GB/s (read plus written), read %.1f, random %d B rows %.1f, %d thread%s%s"
        .formatted(
            copy,
            read,
            ROW_BYTES,
            randomRows,
            threads,
            threads == 1 ? "" : "s",
            gpu.map(one -> "; " + one).orElse(""));
  }
}

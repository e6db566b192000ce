package io.quern.bench.measure;

import io.quern.CudaDevice;
import io.quern.timing.Statistics;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Measures {@link Rooflines} again and again in the same blocks. Blocks of their own for each
 * measurement would be other physical pages: what the system hands out first are small pages from
 * everywhere, freed by the process before, and a copy of them runs at 17 to 18 GB/s where later
 * ones give 21 to 22 (random rows: 5.2 and 5.6). That is a change of memory and not of the machine.
 */
public final class MemoryProbe implements AutoCloseable {
  private static final long BLOCK_BYTES = 512L << 20;
  private static final int BLOCK_ROWS = (int) (BLOCK_BYTES / Rooflines.ROW_BYTES);
  private static final int PASSES = 5;

  /**
   * Passes go piece by piece, so that the JIT compiler meets several calls and not one long loop;
   * pieces are long enough for the JVM's way of copying large blocks.
   */
  private static final long PIECE_BYTES = 32 << 20;

  private static final int WARM_UP_PASSES = 3;
  private static final VectorSpecies<Long> LONGS = LongVector.SPECIES_PREFERRED;

  /** A pass over bytes {@code [from, to)} of both blocks, or over as many bytes of random rows. */
  private interface Pass {
    void over(long from, long to);
  }

  private final int threads;
  private final Optional<CudaDevice> gpu;
  private final Arena arena = Arena.ofShared();
  private final HugePageMemory huge = new HugePageMemory();
  private final ExecutorService executor;
  private final MemorySegment a;
  private final MemorySegment b;
  private final int[] rows =
      new SplittableRandom(BLOCK_BYTES)
          .ints(2 * BLOCK_ROWS, 0, BLOCK_ROWS)
          .toArray(); // as many bytes as the other passes move

  /**
   * Allocates a gigabyte, which is held until it is closed.
   *
   * @param threads how many share the work on the CPU
   * @param hugePages whether the blocks are allocated as {@link HugePageMemory} does
   * @param gpu the GPU to measure as well
   */
  public MemoryProbe(int threads, boolean hugePages, Optional<CudaDevice> gpu) {
    this.threads = threads;
    this.gpu = gpu;
    SegmentAllocator memory = hugePages ? huge : arena;
    a = memory.allocate(BLOCK_BYTES, 64);
    b = memory.allocate(BLOCK_BYTES, 64);
    a.fill((byte) 1);
    b.fill((byte) 1); // equal blocks: a comparison reads both to their end
    executor = Executors.newFixedThreadPool(threads);
  }

  /** Measures; takes about three seconds. */
  public Rooflines measure() throws InterruptedException {
    return new Rooflines(
        threads,
        median((from, to) -> MemorySegment.copy(a, from, b, from, to - from)),
        median((from, to) -> requireEqual(differences(a, b, from, to))),
        median((from, to) -> readRows(a, rows, from, to)),
        gpu.map(one -> GpuRooflines.measure(one, GpuRooflines.BLOCK_BYTES)));
  }

  @Override
  public void close() {
    executor.close();
    huge.close();
    arena.close();
  }

  private double median(Pass pass) throws InterruptedException {
    double[] gigabytesPerSecond = new double[PASSES];
    for (int i = -WARM_UP_PASSES; i < PASSES; i++) {
      long start = System.nanoTime();
      everyThread(pass);
      if (i >= 0) {
        gigabytesPerSecond[i] = 2.0 * BLOCK_BYTES / (System.nanoTime() - start);
      }
    }
    return Statistics.median(gigabytesPerSecond);
  }

  private void everyThread(Pass pass) throws InterruptedException {
    long slice = BLOCK_BYTES / threads / Rooflines.ROW_BYTES * Rooflines.ROW_BYTES;
    List<Callable<Void>> work = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      long from = t * slice;
      long to = t == threads - 1 ? BLOCK_BYTES : from + slice;
      work.add(
          () -> {
            for (long at = from; at < to; at += PIECE_BYTES) {
              pass.over(at, Math.min(to, at + PIECE_BYTES));
            }
            return null;
          });
    }
    for (Future<Void> done : executor.invokeAll(work)) {
      try {
        done.get();
      } catch (ExecutionException e) {
        throw new IllegalStateException(e.getCause());
      }
    }
  }

  private static void readRows(MemorySegment table, int[] rows, long from, long to) {
    byte[] row = new byte[Rooflines.ROW_BYTES];
    for (int i = (int) (2 * from / Rooflines.ROW_BYTES); i < 2 * to / Rooflines.ROW_BYTES; i++) {
      long at = (long) rows[i] * Rooflines.ROW_BYTES;
      MemorySegment.copy(table, ValueLayout.JAVA_BYTE, at, row, 0, Rooflines.ROW_BYTES);
    }
  }

  /**
   * The bits in which two blocks differ, all of them read, in four sums that do not wait for each
   * other.
   */
  private static long differences(MemorySegment a, MemorySegment b, long from, long to) {
    LongVector d0 = LongVector.zero(LONGS);
    LongVector d1 = d0;
    LongVector d2 = d0;
    LongVector d3 = d0;
    int bytes = LONGS.vectorByteSize();
    ByteOrder order = ByteOrder.nativeOrder();
    for (long at = from; at < to; at += 4L * bytes) {
      d0 = differing(a, b, at, order).or(d0);
      d1 = differing(a, b, at + bytes, order).or(d1);
      d2 = differing(a, b, at + 2L * bytes, order).or(d2);
      d3 = differing(a, b, at + 3L * bytes, order).or(d3);
    }
    return d0.or(d1).or(d2.or(d3)).reduceLanes(VectorOperators.OR);
  }

  private static LongVector differing(MemorySegment a, MemorySegment b, long at, ByteOrder order) {
    return LongVector.fromMemorySegment(LONGS, a, at, order)
        .lanewise(VectorOperators.XOR, LongVector.fromMemorySegment(LONGS, b, at, order));
  }

  private static void requireEqual(long differences) {
    if (differences != 0) {
      throw new IllegalStateException("equal blocks were read as different");
    }
  }
}

package io.quern.bench.measure;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * The yardstick of bandwidth, beside the contenders in every turn: it moves as many bytes as the
 * workload must, half of them read and half written, out of a block as large as the workload's
 * largest input.
 */
final class Memcpy implements Contender {
  private final Arena arena = Arena.ofShared();
  private final MemorySegment source;
  private final MemorySegment target;
  private final int threads;
  private final ExecutorService team; // null where the calling thread does it all

  /**
   * Allocates the blocks.
   *
   * @param threads how many share the copying
   */
  Memcpy(Workload workload, int threads) {
    long half = workload.bytes() / 2;
    long rotating = Math.min(workload.inputSets() * half, workload.largestInputBytes());
    this.source = arena.allocate(Math.max(half, rotating), 64);
    this.target = arena.allocate(half, 64);
    this.threads = threads;
    this.team = threads == 1 ? null : Executors.newFixedThreadPool(threads);
    source.fill((byte) 1);
    target.fill((byte) 1);
  }

  @Override
  public String name() {
    return "memcpy";
  }

  @Override
  public void run(int set) {
    long bytes = target.byteSize();
    long from = Math.max(0, set) * bytes % (source.byteSize() - bytes + 1);
    if (threads == 1) {
      MemorySegment.copy(source, from, target, 0, bytes);
      return;
    }
    List<Future<?>> slices = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      long at = bytes / threads * t;
      long length = t == threads - 1 ? bytes - at : bytes / threads;
      slices.add(team.submit(() -> MemorySegment.copy(source, from + at, target, at, length)));
    }
    for (Future<?> slice : slices) {
      try {
        slice.get();
      } catch (ExecutionException | InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  @Override
  public void poison() {
    target.fill((byte) -1);
  }

  @Override
  public Map<String, MemorySegment> results() {
    return Map.of("target", target);
  }

  @Override
  public void close() {
    if (team != null) {
      team.close();
    }
    arena.close();
  }
}

package io.quern.timing;

import io.quern.Buffer;
import io.quern.CudaDevice;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.Event;
import io.quern.Graph;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.cuda.RuntimeDevice;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Times launches on a stream of a GPU, whoever's kernels they are. GPU time, issue time and
 * end-to-end time are measured apart:
 *
 * <ul>
 *   <li><b>GPU time</b>: launches are queued behind work that keeps the GPU busy until the last of
 *       them is issued, between two events, so that the time is that of the kernels and not of the
 *       caller. Kernels of less than ten microseconds are best judged by their graph time.
 *   <li><b>Issue time</b>: from the call to its return, with an empty queue.
 *   <li><b>End-to-end time</b>: from the call until the stream has been waited for.
 *   <li><b>Graph time</b>: the same launches captured once and replayed; without it there is a
 *       reason.
 * </ul>
 *
 * <p>Cold, one launch at a time finds an L2 cache full of something else; the eviction is outside
 * the time. A timer owns the memory for that and two events; it is used by the stream's thread.
 */
public final class GpuTimer implements AutoCloseable {
  /** How many times the L2 cache is read, and written, to evict what is in it. */
  private static final long EVICTION = 2;

  private static final int WARM_UP_LAUNCHES = 1000;
  private static final long WARM_UP_NANOS = 200_000_000L;
  private static final int LEAST_WARM_UP_LAUNCHES = 3;

  /**
   * How many times longer the GPU is kept busy than issuing a sample takes, which is issued twice
   * after what keeps it busy.
   */
  private static final double HEAD_START = 3;

  private final CudaDevice device;
  private final Stream stream;
  private final Buffer evicting;
  private final Buffer evicted;
  private final Event start;
  private final Event end;

  /** One launch, or several that belong together. */
  @FunctionalInterface
  public interface Launch {
    /**
     * Queues the work; it should neither wait nor allocate.
     *
     * @param stream the timer's
     * @param number of the launch, from 0 on, to go through sets of inputs with; in a graph the
     *     inputs are those of its capture
     */
    void on(Stream stream, int number);
  }

  /**
   * How to measure.
   *
   * @param samples of each kind
   * @param launches of a sample of GPU time, which is their mean; 1 where cold
   * @param cold whether each launch finds its data evicted from the L2 cache
   * @param graph whether to measure the launches as a graph as well
   */
  public record Settings(int samples, int launches, boolean cold, boolean graph) {
    /** Thirty samples of twenty launches, hot, and as a graph. */
    public static final Settings DEFAULT = new Settings(30, 20, false, true);

    /** Refuses less than one of anything. */
    public Settings {
      if (samples < 1 || launches < 1) {
        throw new IllegalArgumentException(
            "%d samples of %d launches, expected at least 1 of 1".formatted(samples, launches));
      }
      if (cold && launches > 1) {
        throw new IllegalArgumentException(
            "cold samples are of 1 launch, not %d: the first would warm the cache for the others"
                .formatted(launches));
      }
    }

    /** Thirty samples of single launches, each of which finds its data evicted; no graph. */
    public static Settings coldCache() {
      return new Settings(DEFAULT.samples, 1, true, false);
    }
  }

  /**
   * A timer of what is launched on a stream.
   *
   * @param stream of a {@link CudaDevice}, opened or wrapped; it stays the caller's
   * @throws IllegalArgumentException if it is a stream of a CPU
   * @throws CudaException if there is no memory to evict the L2 cache with
   */
  public GpuTimer(Stream stream) {
    Objects.requireNonNull(stream, "stream");
    if (!(stream.device() instanceof RuntimeDevice gpu)) {
      throw new IllegalArgumentException(
          "GpuTimer: stream is of %s, expected one of a GPU".formatted(stream.device().name()));
    }
    this.device = gpu;
    this.stream = stream;
    Shape shape = Shape.of(Math.ceilDiv(EVICTION * gpu.l2Bytes(), Float.BYTES));
    List<AutoCloseable> opened = new ArrayList<>();
    try {
      this.evicting = kept(opened, gpu.allocate(DType.F32, shape));
      this.evicted = kept(opened, gpu.allocate(DType.F32, shape));
      this.start = kept(opened, gpu.openEvent());
      this.end = kept(opened, gpu.openEvent());
    } catch (CudaException e) {
      for (AutoCloseable resource : opened) {
        try {
          resource.close();
        } catch (Exception suppressed) {
          e.addSuppressed(suppressed);
        }
      }
      throw e;
    }
  }

  private static <T extends AutoCloseable> T kept(List<AutoCloseable> opened, T resource) {
    opened.add(resource);
    return resource;
  }

  /** Queues reading twice the L2 cache and writing as much, after which nothing else is in it. */
  public void evictL2() {
    evicting.copyTo(evicted, stream);
  }

  /** Times a launch as {@link Settings#DEFAULT} says. */
  public GpuTiming time(Launch launch) {
    return time(Settings.DEFAULT, launch);
  }

  /**
   * Times a launch. Waits for the stream, again and again.
   *
   * @throws IllegalStateException while the stream captures
   * @throws CudaException if the work fails
   */
  public GpuTiming time(Settings settings, Launch launch) {
    Objects.requireNonNull(launch, "launch");
    stream.synchronize();
    int next = warmUp(launch);
    GpuState before = GpuState.of(device);
    List<Double> issue = new ArrayList<>();
    List<Double> endToEnd = new ArrayList<>();
    for (int i = 0; i < settings.samples; i++) {
      if (settings.cold) {
        evictL2();
        stream.synchronize();
      }
      long called = System.nanoTime();
      launch.on(stream, next++);
      long returned = System.nanoTime();
      stream.synchronize();
      long done = System.nanoTime();
      issue.add((returned - called) * 1e-3);
      endToEnd.add((done - called) * 1e-3);
    }
    int from = next;
    double issuing = median(issue) * settings.launches;
    List<Double> gpu =
        between(
            settings,
            issuing,
            sample -> {
              for (int i = 0; i < settings.launches; i++) {
                launch.on(stream, from + sample * settings.launches + i);
              }
            });
    List<Double> graphs = List.of();
    String noGraph = settings.graph ? "" : "not asked for";
    if (settings.graph) {
      try (Graph graph = captured(settings, launch)) {
        graphs = between(settings, issuing, sample -> graph.launch(stream));
      } catch (IllegalStateException | CudaException e) {
        noGraph = "not capturable: " + e.getMessage();
      }
    }
    return new GpuTiming(
        gpu, issue, endToEnd, graphs, noGraph, settings, before, GpuState.of(device));
  }

  private int warmUp(Launch launch) {
    long begin = System.nanoTime();
    int launches = 0;
    while (launches < LEAST_WARM_UP_LAUNCHES
        || (launches < WARM_UP_LAUNCHES && System.nanoTime() - begin < WARM_UP_NANOS)) {
      launch.on(stream, launches++);
      if (launches % LEAST_WARM_UP_LAUNCHES == 0) {
        stream.synchronize(); // or a queue would fill whose work takes long after that time
      }
    }
    stream.synchronize();
    return launches;
  }

  private Graph captured(Settings settings, Launch launch) {
    return stream.capture(
        () -> {
          for (int i = 0; i < settings.launches; i++) {
            launch.on(stream, i);
          }
        });
  }

  @FunctionalInterface
  private interface Sample {
    void queue(int number);
  }

  /** Samples of the time between two events, each the mean of the settings' launches. */
  private List<Double> between(Settings settings, double issuingMicros, Sample sample) {
    int evictions = settings.cold ? 1 : 0;
    int delays =
        Math.max(evictions, (int) Math.ceil(HEAD_START * issuingMicros / evictionMicros()));
    List<Double> micros = new ArrayList<>();
    for (int i = 0; i < settings.samples; i++) {
      for (int delay = 0; delay < delays; delay++) {
        evictL2();
      }
      if (!settings.cold) {
        sample.queue(i); // brings its data back into the cache
      }
      stream.record(start);
      sample.queue(i);
      stream.record(end);
      end.synchronize();
      micros.add(end.millisSince(start) * 1e3 / settings.launches);
    }
    stream.synchronize(); // throws what the launches met
    return micros;
  }

  private double evictionMicros() {
    evictL2();
    stream.record(start);
    evictL2();
    stream.record(end);
    end.synchronize();
    return Math.max(1, end.millisSince(start) * 1e3);
  }

  private static double median(List<Double> micros) {
    return Statistics.median(micros.stream().mapToDouble(d -> d).toArray());
  }

  /** Releases the timer's memory and events, not the stream. Idempotent. */
  @Override
  public void close() {
    evicting.close();
    evicted.close();
    start.close();
    end.close();
  }
}

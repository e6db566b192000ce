package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The yardstick of arithmetic, beside the contenders in every turn: fused multiply-adds in
 * registers, in twelve chains that do not wait for each other. Processors change their clock with
 * the load, so that a peak measured once says little.
 */
final class FmaPeak implements Contender {
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
  private static final int CHAINS = 12;
  private static final int STEPS = 20_000;

  private final float[] sums;
  private final ExecutorService team; // null where the calling thread does it all

  FmaPeak(int threads) {
    this.sums = new float[threads];
    this.team = threads == 1 ? null : Executors.newFixedThreadPool(threads);
  }

  /** Floating-point operations of a run. */
  long flops() {
    return 2L * sums.length * STEPS * CHAINS * FLOATS.length();
  }

  @Override
  public String name() {
    return "fma";
  }

  @Override
  public void run(int set) {
    if (team == null) {
      sums[0] = chains(STEPS);
      return;
    }
    List<Future<?>> parts = new ArrayList<>();
    for (int t = 0; t < sums.length; t++) {
      int part = t;
      parts.add(team.submit(() -> sums[part] = chains(STEPS)));
    }
    for (Future<?> part : parts) {
      try {
        part.get();
      } catch (ExecutionException | InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private static float chains(int steps) {
    FloatVector x = FloatVector.broadcast(FLOATS, 0.999f);
    FloatVector y = FloatVector.broadcast(FLOATS, 0.001f);
    FloatVector a = x;
    FloatVector b = x;
    FloatVector c = x;
    FloatVector d = x;
    FloatVector e = x;
    FloatVector f = x;
    FloatVector g = x;
    FloatVector h = x;
    FloatVector i = x;
    FloatVector j = x;
    FloatVector k = x;
    FloatVector l = x;
    for (int step = 0; step < steps; step++) {
      a = a.fma(x, y);
      b = b.fma(x, y);
      c = c.fma(x, y);
      d = d.fma(x, y);
      e = e.fma(x, y);
      f = f.fma(x, y);
      g = g.fma(x, y);
      h = h.fma(x, y);
      i = i.fma(x, y);
      j = j.fma(x, y);
      k = k.fma(x, y);
      l = l.fma(x, y);
    }
    FloatVector sum = a.add(b).add(c).add(d).add(e).add(f).add(g).add(h).add(i).add(j).add(k);
    return sum.add(l).lane(0); // read, or nothing would be computed
  }

  @Override
  public void poison() {}

  @Override
  public Map<String, MemorySegment> results() {
    return Map.of("sums", MemorySegment.ofArray(sums).asSlice(0, ValueLayout.JAVA_FLOAT));
  }

  @Override
  public void close() {
    if (team != null) {
      team.close();
    }
  }
}

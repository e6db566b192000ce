package io.quern.bench.jmh;

import io.quern.Backend;
import io.quern.Backends;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.Preference;
import io.quern.bench.measure.Comparison;
import io.quern.bench.measure.Contender;
import io.quern.bench.measure.TimedCase;
import io.quern.bench.measure.Workload;
import java.lang.foreign.Arena;
import java.util.List;

/** One contender at one case, checked before it is timed; the CPU back ends run in one thread. */
final class TimedContender implements AutoCloseable {
  private final Arena arena = Arena.ofShared();
  private final Device device;
  private final Contender contender;
  private final int sets;
  private int next;

  /**
   * Opens it.
   *
   * @param by the name of a plain loop such as {@code java-segment}, or a back end's id
   */
  TimedContender(TimedCase timed, String by) {
    Workload workload = timed.workload().apply(arena);
    sets = workload.inputSets();
    if (workload.loops().containsKey(by)) {
      device = null;
      contender = workload.loops().get(by).get();
    } else {
      Backend backend = Backend.of(by);
      device =
          switch (backend) {
            case SCALAR, SIMD -> CpuDevice.open(backend, 1);
            case CUDA, EMULATED -> Backends.open(Preference.require(backend));
          };
      contender = workload.on(device);
    }
    new Comparison(workload, List.of(first(workload), contender), 1)
        .disagreement()
        .ifPresent(
            where -> {
              throw new IllegalStateException(where);
            });
  }

  private static Contender first(Workload workload) {
    return workload.loops().values().iterator().next().get();
  }

  /** One run on the next input set; waits for a GPU. */
  double run() {
    next = next + 1 == sets ? 0 : next + 1;
    return contender.seconds(next, 1, sets);
  }

  @Override
  public void close() {
    contender.close();
    if (device != null) {
      device.close();
    }
    arena.close();
  }
}

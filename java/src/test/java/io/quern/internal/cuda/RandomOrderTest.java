package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.op.OperatorCase;
import io.quern.op.Outcome;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The order of threads and blocks decides nothing: not a bit, not which bad index is reported. */
class RandomOrderTest {
  private static final int SEEDS = 20;

  /** Each seed takes one case in so many; all of them together take every case twice. */
  private static final int STRIDE = SEEDS / 2;

  @Test
  void resultsAreThoseOfAscendingOrder() {
    List<OperatorCase> cases = OperatorCase.small();
    try (Device emulated = Emulation.open();
        Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      try {
        for (int seed = 1; seed <= SEEDS; seed++) {
          Emulation.setSeed(seed);
          for (int i = seed % STRIDE; i < cases.size(); i += STRIDE) {
            OperatorCase each = cases.get(i);
            Outcome expected = each.runOn(scalar);
            int order = seed;
            assertNull(
                each.runOn(emulated).difference(expected), () -> "seed " + order + ", " + each);
          }
        }
      } finally {
        Emulation.setSeed(0);
      }
    }
  }
}

package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Graph;
import io.quern.op.DiffRateBlockCases;
import io.quern.op.MergeStepCases;
import io.quern.op.OperatorCase;
import io.quern.op.PreparedCase;
import org.junit.jupiter.api.Test;

/** What is said to be one launch is one, in a call and in a graph. */
class OneLaunchTest {
  private static final long MOST_TOKENS = 1024;

  @Test
  void aMergeStepIsOneLaunch() {
    for (MergeStepCases.Case each : MergeStepCases.small()) {
      if (each.match().batch() > 0) {
        check(each, each.match().spec().tokens());
      }
    }
  }

  @Test
  void aDiffRateBlockIsOneLaunch() {
    for (DiffRateBlockCases.Case each : DiffRateBlockCases.small()) {
      check(each, each.spec().tokens());
    }
  }

  private static void check(OperatorCase each, long tokens) {
    try (RuntimeDevice device = Emulation.open();
        RuntimeStream stream = device.openStream();
        PreparedCase prepared = each.prepare(device, stream, device::allocate);
        Graph graph = stream.capture(prepared::run)) {
      prepared.poison();
      long before = Emulation.launches();
      prepared.run();
      stream.synchronize();
      long called = Emulation.launches() - before;
      graph.launch(stream);
      stream.synchronize();
      long replayed = Emulation.launches() - before - called;
      assertEquals(called, replayed, each::toString);
      assertEquals(tokens <= MOST_TOKENS, called == 1, () -> called + " launches of " + each);
      assertTrue(called > 0);
    }
  }
}

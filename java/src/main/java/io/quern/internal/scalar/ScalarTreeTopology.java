package io.quern.internal.scalar;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeTopologyTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeTopologyKernel;
import io.quern.op.TreeTopology;

/** {@link TreeTopology}: the outputs of {@link ScalarTreeOutputs} for given parents. */
final class ScalarTreeTopology implements TreeTopologyKernel {
  private static final ScalarTreeOutputs OUTPUTS = new ScalarTreeOutputs();

  ScalarTreeTopology(TreeTopology.Spec spec) {}

  @Override
  public void run(QueueStream stream, TreeTopology.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(TreeTopologyTask.class, workers -> new TreeTopologyTask())
        .run(host, operands, OUTPUTS);
  }
}

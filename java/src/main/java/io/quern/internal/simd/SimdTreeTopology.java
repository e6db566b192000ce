package io.quern.internal.simd;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeTopologyTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeTopologyKernel;
import io.quern.op.TreeTopology;

/** {@link TreeTopology}: the outputs of {@link SimdTreeOutputs} for given parents. */
final class SimdTreeTopology implements TreeTopologyKernel {
  SimdTreeTopology(TreeTopology.Spec spec) {}

  @Override
  public void run(QueueStream stream, TreeTopology.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(TreeTopologyTask.class, workers -> new TreeTopologyTask())
        .run(host, operands, host.kept(SimdTreeOutputs.class, SimdTreeOutputs::forWorkers));
  }
}

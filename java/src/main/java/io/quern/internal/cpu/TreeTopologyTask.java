package io.quern.internal.cpu;

import io.quern.internal.kernel.Operator;
import io.quern.op.TreeStatus;
import io.quern.op.TreeTopology;

/** The operands of a {@code TreeTopology}, whose parents are given. */
public final class TreeTopologyTask extends TreeOutputsTask {
  @Override
  protected Operator operator() {
    return Operator.TREE_TOPOLOGY;
  }

  /** Takes the operands of a call and runs it. */
  public void run(HostStream stream, TreeTopology.Operands operands, Writer writer) {
    long requests = operands.offsets().shape().size() - 1;
    long nodes = operands.parent().shape().size();
    requests(operands.offsets(), nodes, operands.prefix());
    outputs(operands.out(), writer);
    parents = segment(operands.parent());
    stream.run(this, requests, bytesPerRequest(operands.out(), requests, nodes));
  }

  @Override
  protected TreeStatus find(int worker, long b, long first, int count) {
    return TreeStatus.OK;
  }
}

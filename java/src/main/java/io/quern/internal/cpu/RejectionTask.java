package io.quern.internal.cpu;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.RejectionVerify;
import java.lang.foreign.MemorySegment;

/** A call of {@code RejectionVerify}: its operands, walked request by request. */
public final class RejectionTask extends RowTask {
  private RejectionWalk[] walks;
  RejectionVerify.Spec spec;
  long nodes;
  MemorySegment offsets;
  MemorySegment tokens;
  MemorySegment firstChild;
  MemorySegment nextSibling;
  MemorySegment target;
  long targetStride;
  MemorySegment draft;
  long draftStride;
  MemorySegment temperatures;
  MemorySegment uniforms;
  MemorySegment finalUniforms;
  MemorySegment nearest;
  long nearestStride;
  long nearestColumns;
  MemorySegment accepted;
  long acceptedStride;
  MemorySegment counts;
  MemorySegment next;
  MemorySegment status;
  MemorySegment distribution;
  long distributionStride;
  MemorySegment rho;

  /**
   * Takes the operands of a call.
   *
   * @param walks one for each worker
   */
  public void verify(
      RejectionWalk[] walks, RejectionVerify.Spec spec, RejectionVerify.Operands operands) {
    this.walks = walks;
    for (RejectionWalk walk : walks) {
      walk.reserve((int) spec.vocab(), spec.width());
    }
    this.spec = spec;
    nodes = operands.tokens().shape().size();
    offsets = segment(operands.offsets());
    tokens = segment(operands.tokens());
    firstChild = segment(operands.firstChild());
    nextSibling = segment(operands.nextSibling());
    target = segment(operands.target());
    targetStride = stride(operands.target());
    draft = segment(operands.draft());
    draftStride = stride(operands.draft());
    temperatures = segment(operands.temperatures());
    uniforms = segment(operands.uniforms());
    finalUniforms = segment(operands.finalUniforms());
    nearest = segment(operands.nearest());
    nearestStride = stride(operands.nearest());
    nearestColumns = operands.nearest() == null ? 0 : operands.nearest().shape().last();
    RejectionVerify.Outputs outputs = operands.outputs();
    accepted = segment(outputs.accepted());
    acceptedStride = stride(outputs.accepted());
    counts = segment(outputs.counts());
    next = segment(outputs.next());
    status = segment(outputs.status());
    distribution = segment(outputs.distribution());
    distributionStride = stride(outputs.distribution());
    rho = segment(outputs.rho());
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  /** In bytes. */
  private static long stride(Buffer buffer) {
    return buffer == null ? 0 : buffer.rowStride() * buffer.dtype().byteSize();
  }

  @Override
  protected Operator operator() {
    return Operator.REJECTION_VERIFY;
  }

  @Override
  protected void run(int worker, long from, long to) {
    for (long b = from; b < to; b++) {
      walks[worker].request(this, b);
    }
  }

  @Override
  protected void clear() {
    walks = null;
    offsets = null;
    tokens = null;
    firstChild = null;
    nextSibling = null;
    target = null;
    draft = null;
    temperatures = null;
    uniforms = null;
    finalUniforms = null;
    nearest = null;
    accepted = null;
    counts = null;
    next = null;
    status = null;
    distribution = null;
    rho = null;
  }
}

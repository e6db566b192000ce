package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.DeleteGate;
import java.lang.foreign.MemorySegment;

/** A call of DeleteGate: a back end makes the products, here they become gates and keys. */
public abstract class GateTask extends RowTask {
  private MemorySegment group;
  private MemorySegment gate;
  private MemorySegment key;

  /** What decides. */
  protected DeleteGate.Spec spec;

  /** The tokens, and bytes from one to the next. */
  protected MemorySegment x;

  protected long stride;
  protected MemorySegment weight;

  @Override
  protected final Operator operator() {
    return Operator.DELETE_GATE;
  }

  /** Takes the operands of a call. */
  public final void take(DeleteGate.Spec spec, DeleteGate.Operands operands) {
    this.spec = spec;
    x = HostDevice.segment(TypedMemory.of(operands.x()));
    stride = operands.x().rowStride() * spec.dtype().byteSize();
    weight = HostDevice.segment(TypedMemory.of(operands.weight()));
    group = operands.group() == null ? null : HostDevice.segment(TypedMemory.of(operands.group()));
    gate = operands.gate() == null ? null : HostDevice.segment(TypedMemory.of(operands.gate()));
    key = HostDevice.segment(TypedMemory.of(operands.key()));
  }

  @Override
  protected void clear() {
    x = null;
    weight = null;
    group = null;
    gate = null;
    key = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    for (long token = from; token < to; token++) {
      float z = product(worker, token * stride);
      if (spec.normalized()) {
        float mean = squaredNorm(worker, token * stride) / spec.dim();
        z /= (float) Math.sqrt(mean + spec.epsilon());
      }
      z += spec.bias();
      float value = spec.scale() / (1 + CanonicalMath.exp(-z));
      if (gate != null) {
        gate.set(JAVA_FLOAT, token * Float.BYTES, value);
      }
      int kept = group == null ? 0 : group.get(JAVA_INT, token * Integer.BYTES);
      key.set(JAVA_INT, token * Integer.BYTES, value <= spec.threshold() ? -1 : kept);
    }
  }

  /** The product of the token at a byte and the weight (rule 4). */
  protected abstract float product(int worker, long token);

  /** The sum of the squares of what {@link #product} was asked for last. */
  protected abstract float squaredNorm(int worker, long token);
}

package io.quern.internal.cpu;

import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.kernel.Operator;

/**
 * One call of a CPU kernel: its operands, and the work for a range of output rows. A stream keeps
 * one of each class and uses it again, so that a call allocates nothing. Ranges are run by several
 * threads at once; each has a number.
 */
public abstract class RowTask {
  private Kind kind;
  private long position;
  private long value;
  private long limit;

  /** The operator this is a call of. */
  protected abstract Operator operator();

  /** Whatever has to be done before any row is, in the calling thread. */
  protected void begin() {}

  /**
   * Computes rows {@code from} to {@code to}.
   *
   * @param worker the number of the thread, below the device's parallelism
   */
  protected abstract void run(int worker, long from, long to);

  /** Forgets the operands. */
  protected abstract void clear();

  /** Notes bad data; of several the lowest kind, then the lowest position is kept. */
  protected final synchronized void report(Kind kind, long position, long value, long limit) {
    int order = this.kind == null ? -1 : kind.compareTo(this.kind);
    if (order < 0 || (order == 0 && position < this.position)) {
      this.kind = kind;
      this.position = position;
      this.value = value;
      this.limit = limit;
    }
  }

  /** Throws what was noted and forgets it. */
  final void throwReported() {
    if (kind != null) {
      InvalidDataException failure =
          new InvalidDataException(operator().className(), kind, position, value, limit);
      kind = null;
      throw failure;
    }
  }

  final void forgetReported() {
    kind = null;
  }
}

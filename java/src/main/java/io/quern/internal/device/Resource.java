package io.quern.internal.device;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A native object with one owner: counted while in use, closed once. {@link #close()} waits until
 * nobody uses it any more, so an object never disappears under a call of another thread.
 */
public abstract class Resource {
  private static final int CLOSED = Integer.MIN_VALUE;
  private static final VarHandle USES;

  static {
    try {
      USES = MethodHandles.lookup().findVarHandle(Resource.class, "uses", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final Resources owner;
  private final String what;
  private final long bytes;
  private final Throwable opened;

  /** Number of calls inside, with the sign bit set once closed. */
  @SuppressWarnings("unused")
  private volatile int uses;

  /**
   * @param owner the device's list, or null if nobody keeps account of this object
   * @param what for messages
   * @param bytes memory it holds, 0 if it is not counted
   */
  protected Resource(Resources owner, String what, long bytes) {
    this.owner = owner;
    this.what = what;
    this.bytes = bytes;
    this.opened = Checked.ENABLED ? new Throwable("opened here") : null;
  }

  /** Releases the native object. Called once, when no use is left. */
  protected abstract void free();

  /**
   * Announces a use; {@link #exit()} ends it.
   *
   * @throws IllegalStateException if closed
   */
  public final void enter() {
    if ((int) USES.getAndAdd(this, 1) < 0) {
      USES.getAndAdd(this, -1);
      throw new IllegalStateException(what + " is closed");
    }
  }

  /** Ends a use. */
  public final void exit() {
    USES.getAndAdd(this, -1);
  }

  /** Whether {@link #close()} was called. */
  public final boolean isClosed() {
    return uses < 0;
  }

  /**
   * @throws IllegalStateException if closed
   */
  public final void requireOpen() {
    if (uses < 0) {
      throw new IllegalStateException(what + " is closed");
    }
  }

  /**
   * Closes it, after the uses in other threads have ended. Idempotent.
   *
   * @throws IllegalStateException if something else, such as a downcall on a host segment, still
   *     uses it; it stays open
   */
  public void close() {
    if ((int) USES.getAndBitwiseOr(this, CLOSED) < 0) {
      return;
    }
    while (uses != CLOSED) {
      Thread.onSpinWait();
      Thread.yield();
    }
    try {
      free();
    } catch (RuntimeException e) {
      USES.getAndBitwiseAnd(this, ~CLOSED); // it is still there, and can be closed later
      throw e;
    }
    if (owner != null) {
      owner.remove(this);
    }
  }

  final long bytes() {
    return bytes;
  }

  /** Where it was opened, in checked mode; else null. */
  final Throwable opened() {
    return opened;
  }

  @Override
  public final String toString() {
    return what;
  }
}

package io.quern.internal.cpu;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * A CPU device's threads. One call at a time is shared among them: ranges of rows are handed out in
 * order by a counter, to the calling thread as well. A call that finds the team busy runs in its
 * own thread, and so does one too small to be worth waking anybody. Nothing is allocated per call.
 */
final class WorkerTeam {
  /** How often an idle worker looks for the next call before it sleeps: some ten microseconds. */
  private static final int SPINS = 2_000;

  /** How often the caller looks whether the last worker is done before it lets others run. */
  private static final int SPINS_BEFORE_YIELD = 10_000;

  /** Ranges handed out per thread; more even out threads of unequal speed. */
  private static final int RANGES_PER_THREAD = 4;

  private final Thread[] workers;
  private final AtomicBoolean busy = new AtomicBoolean();
  private final AtomicLong nextRow = new AtomicLong();

  /**
   * Threads inside the call, the caller first; a call nobody is inside any more cannot be joined.
   */
  private final AtomicInteger inside = new AtomicInteger();

  /** Counts calls, to wake the workers; one that comes late finds nobody inside and sleeps on. */
  private final AtomicInteger call = new AtomicInteger();

  private volatile boolean closed;
  private volatile Throwable failure;
  private RowTask task;
  private long rows;
  private long range;

  WorkerTeam(String name, int parallelism) {
    workers = new Thread[parallelism - 1];
    for (int i = 0; i < workers.length; i++) {
      int number = i + 1;
      workers[i] =
          Thread.ofPlatform()
              .daemon()
              .inheritInheritableThreadLocals(false)
              .name(name + " worker " + number)
              .unstarted(() -> serve(number));
    }
    try {
      for (Thread worker : workers) {
        worker.start();
      }
    } catch (OutOfMemoryError noMoreThreads) {
      close();
      throw noMoreThreads;
    }
  }

  /**
   * Runs all rows of a task.
   *
   * @param grain the fewest rows worth a range of their own
   */
  void run(RowTask task, long rows, long grain) {
    if (workers.length == 0 || rows < 2 * grain || !busy.compareAndSet(false, true)) {
      task.run(0, 0, rows);
      return;
    }
    try {
      this.task = task;
      this.rows = rows;
      this.range =
          Math.max(grain, Math.ceilDiv(rows, (long) RANGES_PER_THREAD * (workers.length + 1)));
      nextRow.set(0);
      inside.set(1);
      call.incrementAndGet();
      for (Thread worker : workers) {
        LockSupport.unpark(worker);
      }
      work(0);
      inside.decrementAndGet();
      for (int spins = 0; inside.get() > 0; spins++) {
        if (spins < SPINS_BEFORE_YIELD) {
          Thread.onSpinWait();
        } else {
          Thread.yield();
        }
      }
      Throwable thrown = failure;
      if (thrown != null) {
        failure = null;
        throw rethrow(thrown);
      }
    } finally {
      this.task = null;
      busy.set(false);
    }
  }

  private void work(int number) {
    try {
      for (long from; (from = nextRow.getAndAdd(range)) < rows; ) {
        task.run(number, from, Math.min(rows, from + range));
      }
    } catch (Throwable thrown) {
      nextRow.set(rows);
      failure = thrown;
    }
  }

  private void serve(int number) {
    int served = 0;
    while (true) {
      for (int spins = 0; call.get() == served; spins++) {
        if (closed) {
          return;
        }
        if (spins < SPINS) {
          Thread.onSpinWait();
        } else {
          LockSupport.park(this);
          Thread
              .interrupted(); // nobody's business; left set it would keep this thread from sleeping
        }
      }
      served = call.get();
      int joined = inside.get();
      while (joined > 0 && !inside.compareAndSet(joined, joined + 1)) {
        joined = inside.get();
      }
      if (joined > 0) {
        work(number);
        inside.decrementAndGet();
      }
    }
  }

  /** Ends the threads, after the call they are in. */
  void close() {
    closed = true;
    for (Thread worker : workers) {
      LockSupport.unpark(worker);
    }
    boolean interrupted = false;
    for (Thread worker : workers) {
      while (worker.isAlive()) {
        try {
          worker.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  @SuppressWarnings("unchecked")
  private static <T extends Throwable> RuntimeException rethrow(Throwable thrown) throws T {
    throw (T) thrown;
  }
}

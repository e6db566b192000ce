package io.quern.bench;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One line on standard error about work that takes longer than two seconds: rewritten in place
 * where a person watches, otherwise written anew every ten seconds. Shorter work says nothing.
 */
public final class Progress implements AutoCloseable {
  static final Duration PATIENCE = Duration.ofSeconds(2);
  private static final Duration REWRITE = Duration.ofMillis(250);
  private static final Duration REPEAT = Duration.ofSeconds(10);

  private final Terminal terminal;
  private final String work;
  private final int steps;
  private final long start = System.nanoTime();
  private final Thread clock;
  private final AtomicInteger done = new AtomicInteger();
  private volatile String detail = "";
  private int width; // of the line that is on the screen; the clock's own

  Progress(Terminal terminal, String work, int steps, Duration patience) {
    this.terminal = terminal;
    this.work = work;
    this.steps = steps;
    // A thread of its own, since a single step may be what takes long.
    this.clock = Thread.ofPlatform().daemon().name("progress").start(() -> tick(patience));
  }

  /** Begins the next step. */
  public void step(String detail) {
    this.detail = detail;
    done.incrementAndGet();
  }

  private void tick(Duration patience) {
    try {
      Thread.sleep(patience);
      while (true) {
        show();
        Thread.sleep(terminal.interactive() ? REWRITE : REPEAT);
      }
    } catch (InterruptedException e) {
      if (terminal.interactive() && width > 0) {
        terminal.err().print("\r" + " ".repeat(width) + "\r");
        terminal.err().flush();
      }
    }
  }

  private void show() {
    long seconds = (System.nanoTime() - start) / 1_000_000_000;
    String line =
        "%s, %d of %d%s, %d s%s"
            .formatted(
                work,
                done.get(),
                steps,
                detail.isEmpty() ? "" : ": " + detail,
                seconds,
                left(seconds, done.get() - 1, steps));
    if (terminal.interactive()) {
      terminal.err().print("\r" + line + " ".repeat(Math.max(0, width - line.length())));
      width = line.length();
    } else {
      terminal.err().println(line);
    }
    terminal.err().flush();
  }

  /** The time left if steps go on taking as long as those that have ended, once there are some. */
  static String left(long seconds, int ended, int steps) {
    if (ended < 2 || ended >= steps) {
      return "";
    }
    long left = seconds * (steps - ended) / ended;
    return left < 100
        ? ", about %d s left".formatted(left)
        : ", about %d min left".formatted(Math.ceilDiv(left, 60));
  }

  /** Takes the line away; nothing of it is printed afterwards. */
  @Override
  public void close() {
    clock.interrupt();
    boolean interrupted = false;
    while (clock.isAlive()) {
      try {
        clock.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}

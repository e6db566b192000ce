package io.quern.internal.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.kernel.Operator;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class WorkerTeamTest {
  private static final String NAME = "team under test";

  /** Work on each row. */
  private interface Work {
    void on(int worker, long row);
  }

  private static RowTask task(Work work) {
    return new RowTask() {
      @Override
      protected Operator operator() {
        return Operator.EMBEDDING_BAG;
      }

      @Override
      protected void run(int worker, long from, long to) {
        for (long row = from; row < to; row++) {
          work.on(worker, row);
        }
      }

      @Override
      protected void clear() {}
    };
  }

  @Property(tries = 200)
  void everyRowIsRunOnce(
      @ForAll @IntRange(min = 1, max = 6) int parallelism,
      @ForAll @IntRange(max = 500) int rows,
      @ForAll @IntRange(min = 1, max = 50) int grain) {
    AtomicIntegerArray runs = new AtomicIntegerArray(rows);
    Set<Integer> workers = ConcurrentHashMap.newKeySet();
    WorkerTeam team = new WorkerTeam(NAME, parallelism);
    RowTask task =
        task(
            (worker, row) -> {
              workers.add(worker);
              runs.incrementAndGet((int) row);
            });
    for (int call = 1; call <= 3; call++) {
      team.run(task, rows, grain);
      for (int row = 0; row < rows; row++) {
        assertEquals(call, runs.get(row));
      }
    }
    team.close();
    assertTrue(workers.stream().allMatch(worker -> worker >= 0 && worker < parallelism));
  }

  @Test
  @Timeout(30)
  void anExceptionOfAnyThreadIsThrownAndTheTeamGoesOn() {
    WorkerTeam team = new WorkerTeam(NAME, 3);
    for (long bad : new long[] {0, 1, 500, 998, 999}) {
      IllegalStateException expected = new IllegalStateException("row " + bad);
      RowTask failing =
          task(
              (worker, row) -> {
                if (row == bad) {
                  throw expected;
                }
              });
      for (int i = 0; i < 50; i++) {
        assertSame(
            expected, assertThrows(IllegalStateException.class, () -> team.run(failing, 1000, 1)));
        everyRowRuns(team);
      }
    }
    team.close();
  }

  @Test
  @Timeout(30)
  void anErrorOfAWorkerIsThrownAsItIs() {
    WorkerTeam team = new WorkerTeam(NAME, 2);
    StackOverflowError expected = new StackOverflowError();
    AtomicBoolean thrown = new AtomicBoolean();
    RowTask failing =
        task(
            (worker, row) -> {
              if (worker == 1) {
                thrown.set(true);
                throw expected;
              }
              Thread.onSpinWait();
            });
    while (!thrown.get()) {
      try {
        team.run(failing, 100_000, 1);
      } catch (StackOverflowError error) {
        assertSame(expected, error);
      }
    }
    everyRowRuns(team);
    team.close();
  }

  @Test
  @Timeout(30)
  void anInterruptedWorkerGoesBackToSleep() throws InterruptedException {
    WorkerTeam team = new WorkerTeam(NAME, 2);
    everyRowRuns(team);
    Thread worker =
        Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> thread.getName().equals(NAME + " worker 1"))
            .findFirst()
            .orElseThrow();
    worker.interrupt();
    while (worker.isInterrupted() || worker.getState() == Thread.State.RUNNABLE) {
      Thread.sleep(1);
    }
    everyRowRuns(team);
    team.close();
  }

  @Test
  @Timeout(30)
  void aBusyTeamLeavesOtherCallsToTheirCallers() throws InterruptedException {
    WorkerTeam team = new WorkerTeam(NAME, 2);
    List<Thread> callers = new ArrayList<>();
    Set<Throwable> failures = ConcurrentHashMap.newKeySet();
    for (int i = 0; i < 4; i++) {
      Thread caller =
          Thread.ofPlatform()
              .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
              .start(
                  () -> {
                    for (int call = 0; call < 300; call++) {
                      everyRowRuns(team);
                    }
                  });
      callers.add(caller);
    }
    for (Thread caller : callers) {
      caller.join();
    }
    assertEquals(Set.of(), failures);
    team.close();
  }

  @Test
  void threadsEndWithTheTeam() {
    WorkerTeam team = new WorkerTeam("short-lived team", 4);
    assertEquals(3, threads("short-lived team"));
    team.close();
    team.close();
    assertEquals(0, threads("short-lived team"));
  }

  @Test
  void anInterruptDoesNotKeepATeamFromClosing() {
    WorkerTeam team = new WorkerTeam("interrupted team", 3);
    Thread.currentThread().interrupt();
    team.close();
    assertTrue(Thread.interrupted(), "the interrupt is kept for the caller");
    assertEquals(0, threads("interrupted team"));
  }

  /** Whoever finds it first: the lowest kind, then the lowest position is thrown, once. */
  @Test
  void theLowestFaultIsThrown() {
    WorkerTeam team = new WorkerTeam(NAME, 3);
    RowTask task =
        new RowTask() {
          @Override
          protected Operator operator() {
            return Operator.EMBEDDING_BAG;
          }

          @Override
          protected void run(int worker, long from, long to) {
            for (long row = from; row < to; row++) {
              if (row % 7 == 5) {
                report(Kind.INDEX, 1000 - row, row, 1);
              }
              if (row % 100 == 99) {
                report(Kind.TABLE_ID, row, row, 1);
              }
            }
          }

          @Override
          protected void clear() {}
        };
    for (int i = 0; i < 50; i++) {
      team.run(task, 1000, 1);
      InvalidDataException thrown = assertThrows(InvalidDataException.class, task::throwReported);
      assertEquals("EmbeddingBag", thrown.operator());
      assertSame(Kind.TABLE_ID, thrown.kind());
      assertEquals(99, thrown.position());
      task.throwReported();
    }
    team.close();
  }

  private static void everyRowRuns(WorkerTeam team) {
    AtomicIntegerArray runs = new AtomicIntegerArray(100);
    team.run(task((worker, row) -> runs.incrementAndGet((int) row)), 100, 1);
    for (int row = 0; row < 100; row++) {
      assertEquals(1, runs.get(row));
    }
    assertFalse(Thread.currentThread().isInterrupted());
  }

  private static long threads(String name) {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith(name))
        .count();
  }
}

package io.quern.bench.report;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bench.BadArgumentsException;
import io.quern.bench.Outcome;
import io.quern.bench.report.Change.Verdict;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CompareCommandTest {
  private static final double MARGIN = 0.1;

  private static final int CASES = 400;

  @TempDir private Path folder;

  private final SplittableRandom random = new SplittableRandom(1);

  /** Times that differ from run to run of one binary, beyond what a yardstick takes away. */
  private double[] runs(int count, double micros, double noise) {
    double[] runs = new double[count];
    Arrays.setAll(runs, i -> micros * Math.exp(noise * random.nextGaussian()));
    return runs;
  }

  private int count(Verdict verdict, int runs, double noise, double slowdown) {
    int count = 0;
    for (int i = 0; i < CASES; i++) {
      Change change = Change.between(runs(runs, 10, noise), runs(runs, 10 * slowdown, noise));
      count += change.verdict(MARGIN) == verdict ? 1 : 0;
    }
    return count;
  }

  @ParameterizedTest
  @CsvSource({"4, 0.015", "5, 0.02", "8, 0.03", "20, 0.05"})
  void noiseIsTheSame(int runs, double noise) {
    int same = count(Verdict.SAME, runs, noise, 1);
    assertTrue(same >= 0.95 * CASES, same + " of " + CASES);
  }

  @ParameterizedTest
  @CsvSource({"4, 0.015", "5, 0.02", "8, 0.03", "20, 0.05"})
  void aSlowdownOfTenPercentIsFound(int runs, double noise) {
    int slower = count(Verdict.SLOWER, runs, noise, 1.1);
    int same = count(Verdict.SAME, runs, noise, 1.1);
    assertAll(
        () -> assertTrue(slower >= 0.95 * CASES, slower + " of " + CASES),
        () -> assertTrue(same <= 0.02 * CASES, same + " of " + CASES));
  }

  /** How {@code bench --against} ends: after the look at which the case is decided, or the last. */
  private Verdict lookedAt(int[] looks, double noise, double slowdown) {
    Verdict verdict = Verdict.AMBIGUOUS;
    double[] ratios = runs(27, slowdown, noise);
    for (int i = 0; i < looks.length && verdict == Verdict.AMBIGUOUS; i++) {
      verdict = Change.beside(Arrays.copyOf(ratios, looks[i])).verdict(MARGIN);
    }
    return verdict;
  }

  @ParameterizedTest
  @ValueSource(doubles = {0.01, 0.03, 0.05, 0.08})
  void lookingFiveTimesErrsInOneOfTwentyAtMost(double noise) {
    int[] looks = {5, 8, 12, 18, 27};
    int wrong = 0;
    int same = 0;
    int found = 0;
    int missed = 0;
    for (int i = 0; i < CASES; i++) {
      Verdict unchanged = lookedAt(looks, noise, 1);
      same += unchanged == Verdict.SAME ? 1 : 0;
      wrong += unchanged == Verdict.SLOWER || unchanged == Verdict.FASTER ? 1 : 0;
      Verdict changed = lookedAt(looks, noise, 1.1);
      found += changed == Verdict.SLOWER ? 1 : 0;
      missed += changed == Verdict.SAME || changed == Verdict.FASTER ? 1 : 0;
    }
    String counts = "%d same, %d wrong, %d found, %d missed".formatted(same, wrong, found, missed);
    assertTrue(same >= 0.95 * CASES && wrong <= 0.02 * CASES, counts);
    assertTrue(found >= 0.95 * CASES && missed <= 0.05 * CASES, counts);
  }

  @Test
  void theIntervalOfFourIsThatOfTheTables() {
    double[] ratios = {Math.exp(-0.3), Math.exp(-0.1), Math.exp(0.1), Math.exp(0.3)};
    double error = Math.sqrt(0.2 / 3) / 2;
    Change four = Change.beside(ratios);
    assertAll(
        () -> assertEquals(1, four.ratio(), 1e-12),
        () -> assertEquals(5.841, Math.log(four.high()) / error, 0.25), // Student, 3 degrees
        () -> assertEquals(four.high(), 1 / four.low(), 1e-9));
  }

  @Test
  void aBadMinuteIsTrimmed() {
    double[] ratios = {1, 1.01, 0.99, 1, 1.01, 0.99, 3};
    assertEquals(Verdict.SAME, Change.beside(ratios).verdict(MARGIN));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void fewerThanFourRunsDecideNothing(int runs) {
    double[] threefold = new double[runs];
    Arrays.fill(threefold, 3);
    assertAll(
        () -> assertEquals(Verdict.AMBIGUOUS, Change.beside(threefold).verdict(MARGIN)),
        () ->
            assertEquals(
                Verdict.AMBIGUOUS,
                Change.between(runs(runs, 1, 0), runs(runs, 3, 0)).verdict(MARGIN)));
  }

  /** JVMs of both builds: that many times as long as before, each. */
  private Path beside(String name, double... ratios) throws Exception {
    Written written = new Written();
    for (int run = 0; run < ratios.length; run++) {
      double weather = 1 + 0.3 * run;
      written.beside("run" + run, "op/case0", 10 * weather, 10 * weather * ratios[run]);
    }
    return written.in(folder, name);
  }

  @Test
  void twoBuildsInOneFileAreCompared() throws Exception {
    Path same = beside("same", 1.01, 0.99, 1, 1.02, 0.98);
    Path slower = beside("slower", 1.11, 1.1, 1.09, 1.1, 1.1);
    Path faster = beside("faster", 0.8, 0.81, 0.79, 0.8, 0.8);
    Path few = beside("few", 1.5, 1.5, 1.5);
    Written.Ended unchanged = Written.run(new CompareCommand(), same);
    Written.Ended changed = Written.run(new CompareCommand(), slower);
    assertAll(
        () -> assertEquals(Outcome.OK, unchanged.outcome()),
        () -> assertTrue(unchanged.out().startsWith("SAME      1.000 [0.9"), unchanged.out()),
        () -> assertTrue(unchanged.out().contains("same:2 and 4 more"), unchanged.out()),
        () -> assertTrue(unchanged.out().endsWith("0 AMBIGUOUS\n"), unchanged.out()),
        () -> assertEquals(Outcome.FAILED, changed.outcome()),
        () -> assertTrue(changed.out().startsWith("SLOWER    1.100 [1.0"), changed.out()),
        () -> assertTrue(out(faster).startsWith("FASTER    0.800 ["), out(faster)),
        () -> assertTrue(out(few).startsWith("AMBIGUOUS 1.500 [too few runs]"), out(few)));
  }

  private String out(Path... files) throws Exception {
    return Written.run(new CompareCommand(), (Object[]) files).out();
  }

  @Test
  void whatIsUndecidedIsNamed() throws Exception {
    Path wild = beside("wild", 1, 1.7, 0.8, 2.5, 0.6);
    Path slower = beside("slower", 1.11, 1.1, 1.09, 1.1, 1.1);
    assertAll(
        () -> assertEquals(List.of("op/case0"), CompareCommand.undecided(wild.toString())),
        () -> assertEquals(List.of(), CompareCommand.undecided(slower.toString())));
  }

  @Test
  void buildsThatDifferAreARegression() throws Exception {
    Path refused =
        new Written()
            .line(
                "{\"schema\":\"quern-bench/1\",\"run\":\"r\",\"id\":\"op/case1\","
                    + "\"verified\":false,\"difference\":\"before:simd gives 3\"}")
            .in(folder, "refused");
    Written.Ended ended = Written.run(new CompareCommand(), refused);
    assertAll(
        () -> assertEquals(Outcome.FAILED, ended.outcome()),
        () ->
            assertTrue(
                ended.out().contains("REFUSED   op/case1: before:simd gives 3"), ended.out()));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          plain                  | plain has no case of two builds
          beside --all           | --all is for two files
          plain beside plain     | takes one file, or two
          """)
  void badArgumentsAreNamed(String words, String message) throws Exception {
    new Written().figure("r", "op/case0", 10, 30).in(folder, "plain");
    beside("beside", 1, 1, 1, 1);
    Object[] arguments =
        Arrays.stream(words.split(" "))
            .map(word -> word.startsWith("-") ? word : folder.resolve(word))
            .toArray();
    BadArgumentsException refused =
        assertThrows(
            BadArgumentsException.class, () -> Written.run(new CompareCommand(), arguments));
    assertTrue(refused.getMessage().contains(message), refused.getMessage());
  }

  @Test
  void theIntervalHoldsTheTruthInNineteenOfTwenty() {
    int holds = 0;
    for (int i = 0; i < CASES; i++) {
      Change change = Change.between(runs(5, 10, 0.03), runs(5, 13, 0.03));
      holds += change.low() <= 1.3 && 1.3 <= change.high() ? 1 : 0;
    }
    assertTrue(holds >= 0.93 * CASES, holds + " of " + CASES);
  }

  @Test
  void boundsAreThoseOfTheTables() {
    // Critical values of U at 5 %, two-sided: none for 3 and 3, 0 for 4 and 4, 2 for 5 and 5.
    double[] three = {1, 1, 1};
    double[] four = {1, 1, 1, 1};
    double[] ones = {1, 1, 1, 1, 1};
    double[] rising = {1, 1.1, 1.2, 1.3, 1.4};
    assertAll(
        () -> assertEquals(false, Change.between(three, three).hasInterval()),
        () -> assertEquals(1, Change.between(four, four).high()),
        () -> assertEquals(1.4, Change.between(ones, rising).high(), 1e-9),
        () -> assertEquals(1.0, Change.between(ones, rising).low(), 1e-9));
  }

  private Path file(String name, double codeFactor, double machineFactor) throws Exception {
    Written written = new Written();
    for (int run = 0; run < 6; run++) {
      for (int i = 0; i < 3; i++) {
        double weather = machineFactor * Math.exp(0.2 * random.nextGaussian());
        double noise = Math.exp(0.01 * random.nextGaussian());
        double factor = i == 1 ? codeFactor : 1;
        written.figure(name + run, "op/case" + i, 10 * factor * weather * noise, 30 * weather);
      }
    }
    return written.in(folder, name);
  }

  @Test
  void aSeededSlowdownIsFoundAndIsTheExitCode() throws Exception {
    Written.Ended ended =
        Written.run(new CompareCommand(), file("before", 1, 1), file("after", 1.1, 1));
    assertAll(
        () -> assertEquals(Outcome.FAILED, ended.outcome()),
        () -> assertTrue(ended.out().contains("2 SAME, 0 FASTER, 1 SLOWER"), ended.out()),
        () ->
            assertTrue(
                ended.out().lines().anyMatch(l -> l.startsWith("SLOWER") && l.contains("op/case1")),
                ended.out()));
  }

  @Test
  void aSlowerHourOfTheMachineIsNoChange() throws Exception {
    Written.Ended ended =
        Written.run(new CompareCommand(), file("before", 1, 1), file("after", 1, 1.4));
    assertAll(
        () -> assertEquals(Outcome.OK, ended.outcome()),
        () -> assertTrue(ended.out().contains("3 SAME, 0 FASTER, 0 SLOWER"), ended.out()));
  }

  @Test
  void fasterIsNoFailure() throws Exception {
    Written.Ended ended =
        Written.run(new CompareCommand(), file("before", 1, 1), file("after", 0.8, 1));
    assertAll(
        () -> assertEquals(Outcome.OK, ended.outcome()),
        () -> assertTrue(ended.out().contains("1 FASTER"), ended.out()));
  }

  @Test
  void whatIsRefusedNowIsARegression() throws Exception {
    Path before = file("before", 1, 1);
    Path after =
        new Written()
            .figure("r", "op/case0", 10, 30)
            .line(
                "{\"schema\":\"quern-bench/1\",\"run\":\"r\",\"id\":\"op/case1\","
                    + "\"verified\":false,\"difference\":\"simd gives 3\"}")
            .in(folder, "after");
    Written.Ended ended = Written.run(new CompareCommand(), before, after);
    assertAll(
        () -> assertEquals(Outcome.FAILED, ended.outcome()),
        () -> assertTrue(ended.out().contains("REFUSED   op/case1: simd gives 3"), ended.out()),
        () -> assertTrue(ended.out().contains("MISSING   op/case2 by simd"), ended.out()));
  }

  @Test
  void filesWithNothingInCommonAreAnError() throws Exception {
    Path before = file("before", 1, 1);
    Path after = new Written().figure("r", "op/other", 10, 30).in(folder, "after");
    assertThrows(
        BadArgumentsException.class, () -> Written.run(new CompareCommand(), before, after));
  }

  @Test
  void unstableRunsAreLeftOut() throws Exception {
    Written after = new Written();
    for (int run = 0; run < 5; run++) {
      after.figure("run" + run, "op/case0", run == 4 ? 30 : 10, 30);
    }
    after.line(
        "{\"schema\":\"quern-bench-run/1\",\"run\":\"run4\",\"unstable\":true,"
            + "\"rooflines_first\":{},\"rooflines_last\":{}}");
    Written.Ended ended =
        Written.run(new CompareCommand(), file("before", 1, 1), after.in(folder, "after"));
    assertAll(
        () -> assertTrue(ended.out().contains("after: 1 of 5 runs left out"), ended.out()),
        () -> assertTrue(ended.out().contains("1 SAME, 0 FASTER, 0 SLOWER"), ended.out()));
  }
}

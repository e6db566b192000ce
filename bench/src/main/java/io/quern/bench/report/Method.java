package io.quern.bench.report;

import java.util.List;

/** How figures come about, in the words of every form of a report. */
final class Method {
  static final String SUMMARY =
      "Every figure is verified before it is timed, and names the line of the result file that it is"
          + " taken from.";

  static final List<String> RULES =
      List.of(
          "Before a case is timed, every implementation must give the same bits as a plain loop, or,"
              + " where a peer rounds differently, values within a tolerance that its line states.",
          "Implementations take turns in one process on the same operands (A B C C B A). A ratio is"
              + " the median of the ratios of neighbouring samples, with its 95 % bootstrap"
              + " interval. Where the interval has 1 in it, nothing is claimed.",
          "× is the other's time over ours: above 1 ours is faster, below 1 it is a loss, and"
              + " losses are shown.",
          "A time is the median of the samples with its interval. On a GPU it is the time between"
              + " two events around queued launches, never that of the call.",
          "% copy compares with a copy of as many bytes that takes its turn among the others; on a"
              + " GPU with a copy of 1 GiB within its memory. % FMA likewise with multiply-adds in"
              + " registers.",
          "Copy, read and random-row rooflines are measured first and last. If they differ by more"
              + " than 15 % (3 % on a GPU) the run is marked unstable.",
          "Bytes are those that any implementation must read and write, whatever a cache saves.",
          "Ratios against what another process measured on the same GPU are not paired; their"
              + " interval is made of both medians' intervals.",
          "B/op is heap memory that the calling thread allocates in a call.",
          "Of several runs in one file the middle one is shown, of several files the last.");

  private Method() {}
}

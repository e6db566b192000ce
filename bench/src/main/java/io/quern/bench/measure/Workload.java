package io.quern.bench.measure;

import io.quern.Device;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/** One operator at one shape, with several sets of inputs, and the ways to compute it. */
public interface Workload {
  /** The operator's file stem: {@code embedding_gather}. */
  String operator();

  /** The shape as a table shows it. */
  String shape();

  /** What distinguishes this workload from others of its operator. */
  Map<String, Object> parameters();

  /** Bytes that a run must read and write: rows, indices and output, whatever a cache may save. */
  long bytes();

  /** Bytes of the table. */
  long tableBytes();

  /** How many input sets there are, so that no run finds the rows of the one before it. */
  int inputSets();

  /** The output that contenders on the CPU share. */
  MemorySegment sharedOutput();

  /** The loop of {@link PlainJava} over memory segments. */
  Contender segmentLoop();

  /** The loop of {@link PlainJava} over arrays; copies the table into the heap. */
  Contender arrayLoop();

  /** A back end of Quern. */
  Contender on(Device device);
}

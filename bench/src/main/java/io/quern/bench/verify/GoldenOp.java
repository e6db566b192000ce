package io.quern.bench.verify;

import java.util.Map;
import java.util.Optional;

/** Runs the golden vectors of one operator. */
interface GoldenOp {
  /** The operator's name in golden vectors. */
  String name();

  /**
   * Names the variant of the operator that a case asks for, if the library does not have it yet.
   *
   * @return a few words such as {@code softmax weights}; empty if {@link #run} can run the case
   */
  Optional<String> missingVariant(GoldenCase golden);

  /**
   * Runs a case.
   *
   * @param golden inputs and parameters
   * @param operands where inputs, outputs and scratch are allocated
   * @return the outputs by name, at least those the case expects
   */
  Map<String, GoldenTensor> run(GoldenCase golden, Operands operands);

  /**
   * Computes what a case expects that is no tensor.
   *
   * @return maps, lists, longs, doubles, booleans and strings, as in {@link GoldenCase#expected()}
   */
  default Object value(GoldenCase golden) {
    throw new UnsupportedOperationException(name() + " gives tensors");
  }
}

package io.quern.bench.measure;

import io.quern.bench.verify.Tolerance;
import java.util.List;

/**
 * A program of another library that computes a workload. It takes part where its engine is on the
 * class path (Maven profile {@code peers}).
 *
 * @param engine that runs it: {@link #TORCH} or {@link #ONNX}
 * @param program a TorchScript archive of {@code bench/peers}, or the name of an ONNX operator
 * @param arguments in order: a String names an input or an output of the workload; Long, Double and
 *     Boolean are passed as they are
 * @param outputs the workload's outputs that it returns, in order, besides those among its
 *     arguments, which it writes
 * @param tolerance how close its results have to be to Quern's
 */
public record Peer(
    String engine,
    String program,
    List<Object> arguments,
    List<String> outputs,
    Tolerance tolerance) {
  /** libtorch, through DJL. */
  public static final String TORCH = "libtorch";

  /** ONNX Runtime. */
  public static final String ONNX = "onnxruntime";

  /** Copies the lists. */
  public Peer {
    arguments = List.copyOf(arguments);
    outputs = List.copyOf(outputs);
  }

  /** A TorchScript archive, equal bit for bit until {@link #within} says otherwise. */
  public static Peer torch(String program, Object... arguments) {
    return new Peer(TORCH, program, List.of(arguments), List.of(), new Tolerance.Exact());
  }

  /** One ONNX operator, equal bit for bit until {@link #within} says otherwise. */
  public static Peer onnx(String program, Object... arguments) {
    return new Peer(ONNX, program, List.of(arguments), List.of(), new Tolerance.Exact());
  }

  /** With results, which are these outputs. */
  public Peer returning(String... outputs) {
    return new Peer(engine, program, arguments, List.of(outputs), tolerance);
  }

  /** With a tolerance of {@code atol + rtol · |Quern's|}. */
  public Peer within(double rtol, double atol) {
    return new Peer(engine, program, arguments, outputs, new Tolerance.AllClose(rtol, atol));
  }

  /** What reports call it: {@code libtorch:topk}. */
  public String name() {
    return engine + ":" + program;
  }
}

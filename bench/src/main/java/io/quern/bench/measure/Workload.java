package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.ServiceLoader;
import java.util.function.Function;
import java.util.function.IntConsumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * One operator at one shape, with one or several sets of inputs, and the ways to compute it. An
 * operator family describes it once; everything else only reads it.
 */
public final class Workload {
  private final SegmentAllocator memory;
  private final String operator;
  private final String shape;
  private final Map<String, Object> parameters = new LinkedHashMap<>();
  private final Map<String, Input> inputs = new LinkedHashMap<>();
  private final Map<String, Output> outputs = new LinkedHashMap<>();
  private final Map<String, Supplier<Contender>> loops = new LinkedHashMap<>();
  private final List<Peer> peers = new ArrayList<>();
  private Function<Placement, IntConsumer> plan;
  private long bytes;
  private long flops;
  private boolean knowsFew;

  /**
   * A workload without inputs, outputs and ways to compute it.
   *
   * @param memory where operands go
   * @param operator the operator's file stem: {@code embedding_gather}
   * @param shape as a table shows it
   */
  public Workload(SegmentAllocator memory, String operator, String shape) {
    this.memory = memory;
    this.operator = operator;
    this.shape = shape;
  }

  // What a family says.

  /** Something that distinguishes this workload from others of its operator. */
  public Workload with(String parameter, Object value) {
    parameters.put(parameter, value);
    return this;
  }

  /** Bytes that a run must read and write, whatever a cache may save. */
  public Workload bytes(long bytes) {
    this.bytes = bytes;
    return this;
  }

  /** Floating-point operations of a run, an fma being two, where they and not bytes bound it. */
  public Workload flops(long flops) {
    this.flops = flops;
    return this;
  }

  /** Its runs know {@link Contender#FEW}. */
  public Workload knowingFew() {
    knowsFew = true;
    return this;
  }

  /**
   * Adds an input.
   *
   * @param name of the operand
   * @param sets native memory, dense: one for all runs, or one per input set
   */
  public Workload input(String name, DType dtype, Shape shape, List<MemorySegment> sets) {
    inputs.put(name, new Input(dtype, shape, sets));
    return this;
  }

  /** Adds an input that is the same for all runs. */
  public Workload input(String name, DType dtype, Shape shape, MemorySegment memory) {
    return input(name, dtype, shape, List.of(memory));
  }

  /** Adds an output, which every run writes completely. */
  public MemorySegment output(String name, DType dtype, Shape shape) {
    return output(name, dtype, shape, null);
  }

  /**
   * Adds an output.
   *
   * @param before what it holds before a run that changes it in place
   * @return the memory that contenders on the CPU share
   */
  public MemorySegment output(String name, DType dtype, Shape shape, MemorySegment before) {
    MemorySegment shared = memory.allocate(shape.size() * dtype.byteSize(), 64);
    outputs.put(name, new Output(dtype, shape, shared, before));
    return shared;
  }

  /**
   * Adds a plain loop that reads the inputs and writes the outputs where they are, in one thread.
   */
  public Workload loop(String name, IntConsumer run) {
    return loop(name, () -> new PlainContender(name, outputs, run));
  }

  /** Adds a plain loop with memory of its own, which is made when it is needed. */
  public Workload loop(String name, Supplier<Contender> contender) {
    loops.put(name, contender);
    return this;
  }

  /** Adds a program of another library. */
  public Workload peer(Peer peer) {
    peers.add(peer);
    return this;
  }

  /**
   * How Quern computes it.
   *
   * @param plan plans the operator and fetches its operands; what it returns is timed
   */
  public Workload runs(Function<Placement, IntConsumer> plan) {
    this.plan = plan;
    return this;
  }

  // What the measurement asks.

  public String operator() {
    return operator;
  }

  public String shape() {
    return shape;
  }

  public Map<String, Object> parameters() {
    return Collections.unmodifiableMap(parameters);
  }

  public long bytes() {
    return bytes;
  }

  public long flops() {
    return flops;
  }

  public Map<String, Input> inputs() {
    return Collections.unmodifiableMap(inputs);
  }

  public Map<String, Output> outputs() {
    return Collections.unmodifiableMap(outputs);
  }

  /** How many input sets there are, so that no run finds the rows of the one before it. */
  public int inputSets() {
    return inputs.values().stream().mapToInt(input -> input.sets().size()).max().orElse(1);
  }

  /** Bytes of the largest operand that is read: what a run's reads are spread over. */
  public long largestInputBytes() {
    return Stream.concat(
            inputs.values().stream().flatMap(input -> input.sets().stream()),
            outputs.values().stream().map(Output::before).filter(Objects::nonNull))
        .mapToLong(MemorySegment::byteSize)
        .max()
        .orElse(0);
  }

  /** What warms contenders up: few rows if there is such a thing, an input set otherwise. */
  int warmUpSet() {
    return knowsFew ? Contender.FEW : 0;
  }

  /** The plain loops by name, the first being what the others are held to. */
  public Map<String, Supplier<Contender>> loops() {
    return Collections.unmodifiableMap(loops);
  }

  /** A back end of Quern. */
  public Contender on(Device device) {
    return new DeviceContender(device, this, plan);
  }

  /** Whether Quern computes it. */
  boolean hasBackends() {
    return plan != null;
  }

  /**
   * Back ends, if there are any for this, each in several instances; to be closed by the caller.
   */
  List<Contender> instances(List<Device> devices) {
    return plan == null
        ? List.of()
        : devices.stream()
            .<Contender>map(
                device ->
                    new Instances(
                        Stream.generate(() -> on(device)).limit(Instances.COUNT).toList()))
            .toList();
  }

  /**
   * All of them, perhaps none: the plain loops, the devices, the peers whose engine is on the class
   * path. A peer may lack outputs, so it is never the first, whom all others are held to.
   *
   * @param threads how many a peer may use
   * @return a list that can be added to; to be closed by the caller
   */
  public List<Contender> contenders(List<Device> devices, int threads) {
    List<Contender> contenders = new ArrayList<>();
    try {
      loops.values().forEach(loop -> contenders.add(loop.get()));
      if (plan != null) {
        devices.forEach(device -> contenders.add(on(device)));
      }
      ServiceLoader<PeerEngine> engines = ServiceLoader.load(PeerEngine.class);
      for (Peer peer : peers) {
        for (PeerEngine engine : engines) {
          if (engine.name().equals(peer.engine())) {
            contenders.add(engine.open(peer, this, threads));
          }
        }
      }
      return contenders;
    } catch (RuntimeException | Error e) {
      contenders.forEach(Contender::close);
      throw e;
    }
  }
}

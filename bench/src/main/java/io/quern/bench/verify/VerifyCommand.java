package io.quern.bench.verify;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.Device;
import io.quern.Preference;
import io.quern.Probe;
import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Runs golden vectors, made by the published reference implementations, on every back end. */
public final class VerifyCommand implements Command {
  static final String SUFFIX = ".safetensors";

  private static final Map<String, GoldenOp> OPS =
      all().stream().collect(Collectors.toMap(GoldenOp::name, Function.identity()));

  private static List<GoldenOp> all() {
    List<GoldenOp> ops = new ArrayList<>();
    ops.add(new EmbeddingGatherGolden());
    ops.add(new EmbeddingBagGolden());
    ops.add(new KvCompactPathGolden());
    ops.add(new KvSlotCompactionGolden());
    ops.add(new SampleWithoutReplacementGolden());
    ops.add(new StochasticBeamSearchGolden());
    ops.add(new NudgeThresholdGolden());
    ops.add(new SuperposeEmbeddingGolden());
    ops.add(new SuperposedStepGolden());
    ops.addAll(TreeMaskGolden.all());
    ops.add(DynamicTreeGolden.ofEagle());
    ops.add(DynamicTreeGolden.ofSglang());
    ops.add(TreeFromMaskGolden.ofSglang());
    ops.add(TreeFromMaskGolden.ofTensorRt());
    ops.add(new PackBitsGolden());
    ops.add(new VerifyTreeGreedyGolden());
    ops.add(new TreeVerifyPathsGolden());
    ops.add(new TreeSamplingTargetOnlyGolden());
    ops.add(new ChainGolden());
    ops.add(new RecursiveRejectionGolden());
    ops.add(new SequoiaVerifyGolden());
    ops.add(StochasticPathsGolden.eagle());
    ops.add(StochasticPathsGolden.lantern());
    ops.add(new KSeqGolden());
    ops.add(new SeededCoinsGolden());
    ops.add(new StaticTreeGolden());
    ops.add(new TreeOrderGolden());
    ops.add(new DySpecGolden(false));
    ops.add(new DySpecGolden(true));
    ops.add(new OptTreeGolden());
    ops.add(new SequoiaTreeGolden());
    ops.add(new PromptLookupGolden());
    ops.add(new DdTreeGolden());
    ops.add(new TokenRecyclingGolden());
    ops.add(new SegmentReduceGolden());
    ops.add(new PonetSegmentMaxGolden());
    ops.add(new PonetWindowMaxGolden());
    ops.add(new PonetSegmentIndexGolden());
    ops.add(new PonetMixGolden());
    ops.add(new PonetSelfAttentionGolden());
    ops.add(new TomeBipartiteGolden());
    ops.add(new TomeEveryKthGolden());
    ops.add(new TomePermutedGolden());
    ops.add(new TomeSchedulesGolden());
    ops.add(new TomesdGridGolden());
    ops.add(new TomesdPlanGolden());
    ops.add(new DiffRateMergeGolden());
    ops.add(new DiffRateBlockGolden());
    ops.add(new DiffRateUncompressGolden());
    ops.add(new DiffRateFlopsGolden());
    return ops;
  }

  @Override
  public String name() {
    return "verify";
  }

  @Override
  public String summary() {
    return "compares every back end with vectors made by the reference implementations";
  }

  @Override
  public List<String> operands() {
    return List.of("DIR");
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND, Option.OP);
  }

  @Override
  public String details() {
    return """
    DIR is searched, with the folders in it, for golden vectors: safetensors files that hold the
    inputs and the expected outputs of one operator. Each is run on each available back end and
    gives one line: pass, FAIL with the first difference, or skip where the library does not have
    the operator, or that variant of it, yet; these are named once at the end. Vectors marked
    informative, where the reference itself is ill-defined, say agrees or differs and do not count.
    The last line is 'N passed, M failed, K skipped', one count per vector and back end.

    A back end named by --backend, or by the property quern.backend, has to be available. The back
    end emulated runs the CUDA kernels on the CPU, for tests; the property quern.emulation names its
    library, which is otherwise looked for in the build folder native/target/cmake.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of(
        "verify golden", "verify golden/gather --op embedding_bag --backend scalar,simd");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws IOException {
    Path dir = Path.of(arguments.operand(0));
    List<Path> files = files(dir);
    Set<String> ops = arguments.operators(ops(files));
    Optional<Set<Backend>> required = required(arguments);
    if (required.isPresent() && required.get().contains(Backend.EMULATED)) {
      EmulationLibrary.use();
    }
    Probe probe = Backends.probe();
    VerifyReport report = new VerifyReport(dir, terminal.out());
    List<Device> devices = new ArrayList<>();
    try {
      for (Backend backend : required.orElseGet(() -> available(probe, report))) {
        devices.add(Backends.open(Preference.require(backend)));
      }
      for (Path file : files) {
        verify(file, ops, devices, report);
      }
    } finally {
      devices.forEach(Device::close);
    }
    return report.finish();
  }

  private static List<Path> files(Path dir) throws IOException {
    if (!Files.isDirectory(dir)) {
      throw new BadArgumentsException("DIR is no folder: " + dir);
    }
    try (Stream<Path> tree = Files.walk(dir)) {
      List<Path> files =
          tree.filter(path -> path.getFileName().toString().endsWith(SUFFIX)).sorted().toList();
      if (files.isEmpty()) {
        throw new BadArgumentsException("no golden vectors (*" + SUFFIX + ") under " + dir);
      }
      return files;
    }
  }

  /** The operators of all vectors, and those that the library has. */
  private static Set<String> ops(List<Path> files) {
    Set<String> ops = new TreeSet<>(OPS.keySet());
    for (Path file : files) {
      try (GoldenCase golden = GoldenCase.open(file)) {
        ops.add(golden.op());
      } catch (IOException e) {
        // Reported as a failure when its turn comes.
      }
    }
    return ops;
  }

  private static Optional<Set<Backend>> required(Arguments arguments) {
    Optional<Set<Backend>> asked = arguments.backends();
    String property = System.getProperty("quern.backend");
    if (property == null) {
      return asked;
    }
    Set<Backend> only;
    try {
      only = EnumSet.of(Backend.of(property));
    } catch (IllegalArgumentException e) {
      throw new BadArgumentsException("quern.backend: " + e.getMessage());
    }
    if (asked.isPresent() && !asked.get().equals(only)) {
      throw new BadArgumentsException(
          "--backend asks for more or other than the property quern.backend, " + property);
    }
    return Optional.of(only);
  }

  private static Set<Backend> available(Probe probe, VerifyReport report) {
    Set<Backend> available = EnumSet.noneOf(Backend.class);
    for (Backend backend : probe.availability().keySet()) {
      if (probe.of(backend) instanceof Unavailable why) {
        report.unavailable(backend, why);
      } else {
        available.add(backend);
      }
    }
    return available;
  }

  private static void verify(
      Path file, Set<String> ops, List<Device> devices, VerifyReport report) {
    try (GoldenCase golden = GoldenCase.open(file)) {
      if (!ops.contains(golden.op())) {
        return;
      }
      GoldenOp op = OPS.get(golden.op());
      Optional<String> missing = op == null ? Optional.of("") : op.missingVariant(golden);
      for (Device device : devices) {
        if (missing.isPresent()) {
          report.skipped(file, device.backend(), golden.isRequired(), golden.op(), missing.get());
        } else {
          report.ran(file, device.backend(), golden.isRequired(), difference(golden, op, device));
        }
      }
    } catch (IOException e) {
      for (Device device : devices) {
        report.ran(file, device.backend(), true, Optional.of(e.getMessage()));
      }
    }
  }

  /** Runs a case and says what is wrong with the result. */
  private static Optional<String> difference(GoldenCase golden, GoldenOp op, Device device) {
    try (var stream = device.openStream();
        Operands operands = new Operands(device, stream)) {
      Object expected = golden.expected();
      if (expected != null) {
        return GoldenValue.difference(op.value(golden), expected, golden);
      }
      Map<String, GoldenTensor> results = op.run(golden, operands);
      List<String> outputs = golden.outputs();
      if (outputs.isEmpty()) {
        return Optional.of("the vector expects no outputs");
      }
      for (String output : outputs) {
        Optional<String> difference =
            results.containsKey(output)
                ? GoldenComparison.difference(
                    results.get(output), golden.output(output), golden.tolerance(output))
                : Optional.of("not among the results");
        if (difference.isPresent()) {
          return Optional.of(output + ": " + difference.get());
        }
      }
      return Optional.empty();
    } catch (RuntimeException | IOException e) {
      return Optional.of(e.toString());
    }
  }
}

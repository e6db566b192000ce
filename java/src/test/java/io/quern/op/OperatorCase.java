package io.quern.op;

import io.quern.Device;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A call of one operator with inputs that its seed decides. */
public interface OperatorCase {
  /** A name, unique among the cases of the operator. */
  String id();

  /** The small calls of all operators. */
  static List<OperatorCase> small() {
    List<OperatorCase> cases = new ArrayList<>();
    cases.addAll(EmbeddingGatherCases.small());
    cases.addAll(EmbeddingBagCases.small());
    cases.addAll(ScatterRowsCases.small());
    cases.addAll(KvCompactionCases.small());
    cases.addAll(TreeTopologyCases.small());
    cases.addAll(TreeMaskCases.small());
    cases.addAll(DynamicTreeCases.small());
    cases.addAll(TreeFromMaskCases.small());
    cases.addAll(PackBitsCases.small());
    cases.addAll(TreeVerifyCases.small());
    cases.addAll(RejectionVerifyCases.small());
    cases.addAll(TopKCases.small());
    cases.addAll(SampleRowsCases.small());
    cases.addAll(BeamExpandCases.small());
    cases.addAll(SeededCoinsCases.small());
    cases.addAll(AdjacencyFillCases.small());
    cases.addAll(SegmentReduceCases.small());
    cases.addAll(SegmentBroadcastCases.small());
    cases.addAll(SegmentMaxCases.small());
    cases.addAll(WindowPoolCases.small());
    cases.addAll(PonetSegmentsCases.small());
    cases.addAll(PonetPoolingCases.small());
    cases.addAll(PonetMixerCases.small());
    cases.addAll(PonetChunksCases.small());
    cases.addAll(TokenMatchCases.small());
    cases.addAll(TokenMergeCases.small());
    cases.addAll(TokenUnmergeCases.small());
    cases.addAll(TokenPruneCases.small());
    cases.addAll(MergeStepCases.small());
    cases.addAll(DiffRateBlockCases.small());
    cases.addAll(PartitionCases.small());
    cases.addAll(SourceMapCases.small());
    cases.addAll(DeleteGateCases.small());
    return cases;
  }

  /** At most so many of the small calls of each operator, spread over its table. */
  static List<OperatorCase> some(int ofEach) {
    Map<Class<?>, List<OperatorCase>> byOperator = new LinkedHashMap<>();
    for (OperatorCase each : small()) {
      byOperator.computeIfAbsent(each.getClass(), operator -> new ArrayList<>()).add(each);
    }
    List<OperatorCase> some = new ArrayList<>();
    for (List<OperatorCase> cases : byOperator.values()) {
      int step = Math.ceilDiv(cases.size(), ofEach);
      for (int i = 0; i < cases.size(); i += step) {
        some.add(cases.get(i));
      }
    }
    return some;
  }

  /** What documentation says a run leaves behind, computed without any back end's code. */
  Outcome expected();

  /** Makes the operands in {@code memory}, fills them and plans the operator. */
  PreparedCase prepare(Device device, Stream stream, OperandMemory memory);

  /** Runs it once on a device, over a poisoned output. */
  default Outcome runOn(Device device) {
    try (Stream stream = device.openStream();
        PreparedCase prepared = prepare(device, stream, device::allocate)) {
      return prepared.outcome();
    }
  }
}

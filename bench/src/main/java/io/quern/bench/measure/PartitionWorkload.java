package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.IndexPolicy;
import io.quern.op.Partition;
import io.quern.op.SourceMap;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * Elements by key, and source maps of merged tokens, both on indices alone. Beside them the
 * counting sort, and the composition, that one writes on arrays.
 */
final class PartitionWorkload {
  private PartitionWorkload() {}

  static Stream<TimedCase> cases() {
    return Stream.of(
        partition("half-of-4096-b64", 64, 4096, 1).quickly(true),
        partition("4096-by-64-b64", 64, 4096, 64),
        partition("1048576-by-8-b1", 1, 1 << 20, 8),
        sourceMap("4096-to-2048-b64", 64, 4096, 2048).quickly(true));
  }

  /** One key is a compaction that keeps every other element or so. */
  private static TimedCase partition(String shape, int batch, int count, int keys) {
    return TimedCase.of(
        "partition",
        shape,
        memory -> {
          SplittableRandom random = new SplittableRandom(keys);
          int[] key = random.ints((long) batch * count, keys == 1 ? -1 : 0, keys).toArray();
          Shape all = Shape.of(batch, count);
          Workload workload =
              new Workload(memory, "partition", shape)
                  .with("batch", batch)
                  .with("count", count)
                  .with("keys", keys)
                  .bytes(3L * Integer.BYTES * batch * count)
                  .input("key", DType.I32, all, ints(memory, key));
          workload.output("perm", DType.I32, all);
          workload.output("offsets", DType.I32, Shape.of(batch, keys + 1));
          workload.output("inverse", DType.I32, all);
          var spec = new Partition.Spec(count, keys, IndexPolicy.SKIP);
          return workload
              .loop("java-array", () -> countingSort(key, batch, count, keys))
              .runs(
                  place -> {
                    Partition plan = Partition.plan(place.device(), spec);
                    long bytes = plan.workspaceBytes(batch);
                    var operands =
                        Partition.Operands.of(
                                place.input("key"), place.output("perm"), place.output("offsets"))
                            .withInverse(place.output("inverse"))
                            .withWorkspace(
                                bytes == 0 ? null : place.scratch(DType.U8, Shape.of(bytes)));
                    return set -> plan.run(place.stream(), operands);
                  });
        });
  }

  private static Contender countingSort(int[] key, int batch, int count, int keys) {
    int[] perm = new int[key.length];
    int[] inverse = new int[key.length];
    int[] offsets = new int[batch * (keys + 1)];
    int[] next = new int[keys];
    Map<String, MemorySegment> results = new LinkedHashMap<>();
    results.put("perm", MemorySegment.ofArray(perm));
    results.put("offsets", MemorySegment.ofArray(offsets));
    results.put("inverse", MemorySegment.ofArray(inverse));
    return PlainContender.writing(
        "java-array",
        results,
        set -> {
          for (int b = 0; b < batch; b++) {
            int base = b * count;
            int offset = b * (keys + 1);
            Arrays.fill(offsets, offset, offset + keys + 1, 0);
            for (int n = base; n < base + count; n++) {
              if (key[n] >= 0) {
                offsets[offset + key[n] + 1]++;
              }
            }
            for (int e = 0; e < keys; e++) {
              next[e] = offsets[offset + e];
              offsets[offset + e + 1] += offsets[offset + e];
            }
            Arrays.fill(perm, base, base + count, -1);
            for (int n = base; n < base + count; n++) {
              inverse[n] = key[n] < 0 ? -1 : next[key[n]]++;
              if (key[n] >= 0) {
                perm[base + inverse[n]] = n - base;
              }
            }
          }
        });
  }

  private static TimedCase sourceMap(String shape, int batch, int sources, int tokens) {
    return TimedCase.of(
        "source_map",
        shape,
        memory -> {
          int merged = tokens / 2;
          SplittableRandom random = new SplittableRandom(tokens);
          int[] slot = random.ints((long) batch * tokens, -1, merged).toArray();
          int[] source = random.ints((long) batch * sources, -1, tokens).toArray();
          Shape all = Shape.of(batch, sources);
          Workload workload =
              new Workload(memory, "source_map", shape)
                  .with("batch", batch)
                  .with("sources", sources)
                  .with("tokens", tokens)
                  .bytes((long) Integer.BYTES * batch * (2L * sources + tokens))
                  .input("slot", DType.I32, Shape.of(batch, tokens), ints(memory, slot))
                  .input("source", DType.I32, all, ints(memory, source));
          workload.output("groups", DType.I32, all);
          int[] groups = new int[source.length];
          return workload
              .loop(
                  "java-array",
                  () ->
                      PlainContender.writing(
                          "java-array",
                          Map.of("groups", MemorySegment.ofArray(groups)),
                          set -> compose(slot, source, groups, batch)))
              .runs(
                  place -> {
                    SourceMap plan =
                        SourceMap.plan(place.device(), SourceMap.Spec.of(sources, tokens, merged));
                    var operands =
                        SourceMap.Operands.of(
                            place.input("slot"), place.input("source"), place.output("groups"));
                    return set -> plan.run(place.stream(), operands);
                  });
        });
  }

  private static void compose(int[] slot, int[] source, int[] groups, int batch) {
    int sources = source.length / batch;
    int tokens = slot.length / batch;
    for (int b = 0; b < batch; b++) {
      for (int n = b * sources; n < (b + 1) * sources; n++) {
        groups[n] = source[n] < 0 ? -1 : slot[b * tokens + source[n]];
      }
    }
  }

  private static MemorySegment ints(SegmentAllocator memory, int[] values) {
    return memory.allocateFrom(ValueLayout.JAVA_INT, values);
  }
}

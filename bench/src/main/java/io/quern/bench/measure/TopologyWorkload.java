package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeKind;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeTopology;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/**
 * Ancestor bits, depths, position ids and links of draft trees of one size. Beside it the loops one
 * writes first: every node walks to the root and marks whom it meets in a mask of bytes, links are
 * put in front of each other, and the mask is packed; on arrays, without checks of the trees.
 */
final class TopologyWorkload {
  private static final String OPERATOR = "tree_topology";
  private static final String QUICK = "levels-nodes64-requests64";

  private final int requests;
  private final int nodes;
  private final int words;
  private final int[] parent;
  private final int[] prefix;

  private TopologyWorkload(TreeKind kind, int nodes, int requests) {
    SplittableRandom random = new SplittableRandom(nodes);
    this.requests = requests;
    this.nodes = nodes;
    this.words = Math.ceilDiv(nodes, Long.SIZE);
    this.parent = new int[requests * nodes];
    this.prefix = random.ints(requests, 0, 1 << 15).toArray();
    for (int b = 0; b < requests; b++) {
      System.arraycopy(kind.parents(nodes, random), 0, parent, b * nodes, nodes);
    }
  }

  static Stream<TimedCase> cases() {
    return Stream.of(TreeKind.LEVELS, TreeKind.SCATTERED, TreeKind.DEEP, TreeKind.CHAIN)
        .flatMap(kind -> Stream.of(timed(kind, 64, 64), timed(kind, 64, 1), timed(kind, 256, 8)));
  }

  private static TimedCase timed(TreeKind kind, int nodes, int requests) {
    String shape =
        "%s-nodes%d-requests%d".formatted(kind.name().toLowerCase(Locale.ROOT), nodes, requests);
    return TimedCase.of(
            OPERATOR,
            shape,
            memory -> new TopologyWorkload(kind, nodes, requests).in(memory, shape))
        .quickly(shape.equals(QUICK));
  }

  private Workload in(SegmentAllocator memory, String shape) {
    int all = parent.length;
    int[] offsets = new int[requests + 1];
    Arrays.setAll(offsets, b -> b * nodes);
    Workload workload =
        new Workload(memory, OPERATOR, shape)
            .with("nodes", nodes)
            .with("requests", requests)
            .bytes(all * (5L * Integer.BYTES + (long) words * Long.BYTES))
            .input("parent", DType.I32, Shape.of(all), ints(memory, parent))
            .input("offsets", DType.I32, Shape.of(requests + 1), ints(memory, offsets))
            .input("prefix", DType.I32, Shape.of(requests), ints(memory, prefix));
    workload.output("bits", DType.U64, Shape.of(all, words));
    for (String output : new String[] {"depth", "positions", "firstChild", "nextSibling"}) {
      workload.output(output, DType.I32, Shape.of(all));
    }
    workload.output("status", DType.I32, Shape.of(requests));
    return workload.loop("java-array", this::loop).runs(TopologyWorkload::onDevice);
  }

  private static MemorySegment ints(SegmentAllocator memory, int[] values) {
    return memory.allocateFrom(ValueLayout.JAVA_INT, values);
  }

  private static IntConsumer onDevice(Placement place) {
    TreeTopology plan = TreeTopology.plan(place.device(), TreeTopology.Spec.DEFAULT);
    TreeTopology.Operands operands =
        TreeTopology.Operands.of(
                place.input("parent"),
                place.input("offsets"),
                TreeOutputs.of(place.output("status"))
                    .withBits(place.output("bits"))
                    .withDepth(place.output("depth"))
                    .withPositions(place.output("positions"))
                    .withLinks(place.output("firstChild"), place.output("nextSibling")))
            .withPrefix(place.input("prefix"));
    return set -> plan.run(place.stream(), operands);
  }

  private Contender loop() {
    int all = parent.length;
    byte[] mask = new byte[nodes * nodes];
    long[] bits = new long[all * words];
    int[] depth = new int[all];
    int[] positions = new int[all];
    int[] firstChild = new int[all];
    int[] nextSibling = new int[all];
    int[] status = new int[requests];
    Map<String, MemorySegment> results = new LinkedHashMap<>();
    results.put("bits", MemorySegment.ofArray(bits));
    results.put("depth", MemorySegment.ofArray(depth));
    results.put("positions", MemorySegment.ofArray(positions));
    results.put("firstChild", MemorySegment.ofArray(firstChild));
    results.put("nextSibling", MemorySegment.ofArray(nextSibling));
    results.put("status", MemorySegment.ofArray(status));
    return PlainContender.writing(
        "java-array",
        results,
        set -> {
          for (int b = 0; b < requests; b++) {
            int base = b * nodes;
            mark(parent, base, nodes, prefix[b], mask, depth, positions);
            link(parent, base, nodes, firstChild, nextSibling);
            pack(mask, nodes, bits, base * words, words);
            status[b] = 0;
          }
        });
  }

  private static void mark(
      int[] parent, int base, int n, int prefix, byte[] mask, int[] depth, int[] positions) {
    Arrays.fill(mask, (byte) 0);
    for (int i = 0; i < n; i++) {
      int row = i * n;
      int d = -1;
      for (int a = i; a >= 0; a = parent[base + a]) {
        mask[row + a] = 1;
        d++;
      }
      depth[base + i] = d;
      positions[base + i] = prefix + d;
    }
  }

  private static void link(int[] parent, int base, int n, int[] firstChild, int[] nextSibling) {
    Arrays.fill(firstChild, base, base + n, -1);
    Arrays.fill(nextSibling, base, base + n, -1);
    for (int i = n - 1; i > 0; i--) {
      int p = base + parent[base + i];
      nextSibling[base + i] = firstChild[p];
      firstChild[p] = i;
    }
  }

  private static void pack(byte[] mask, int n, long[] bits, int target, int words) {
    for (int i = 0; i < n; i++) {
      for (int w = 0; w < words; w++) {
        long word = 0;
        int from = w * Long.SIZE;
        int to = Math.min(n, from + Long.SIZE);
        for (int j = from; j < to; j++) {
          word |= (long) mask[i * n + j] << j;
        }
        bits[target + i * words + w] = word;
      }
    }
  }
}

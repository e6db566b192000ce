package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;

/**
 * Which {@link TreeOutputs} a case asks for, and what has to be in them.
 *
 * @param which one bit for each of bits, depth, positions, links, paths and leaf count
 * @param words of a row of bits
 * @param leaves paths of a request
 * @param width nodes of a path
 * @param strided whether rows of bits have gaps
 */
record TreeWanted(
    int which, TreeTopology.Spec spec, int words, int leaves, int width, boolean strided) {
  static final int BITS = 1;
  static final int DEPTH = 2;
  static final int POSITIONS = 4;
  static final int LINKS = 8;
  static final int PATHS = 16;
  static final int LEAF_COUNT = 32;
  static final int ALL = 63;

  private boolean has(int output) {
    return (which & output) != 0;
  }

  /** Makes the outputs, in an order that {@link #expected} keeps. */
  TreeOutputs in(PreparedCase into, int requests, int nodes, boolean parent) {
    return new TreeOutputs(
        parent ? into.denseOutput("parent", DType.I32, Shape.of(nodes)) : null,
        has(BITS) ? into.output("bits", spec.bits(), Shape.of(nodes, words)) : null,
        has(DEPTH) ? into.denseOutput("depth", DType.I32, Shape.of(nodes)) : null,
        has(POSITIONS) ? into.denseOutput("positions", spec.positions(), Shape.of(nodes)) : null,
        has(LINKS) ? into.denseOutput("firstChild", DType.I32, Shape.of(nodes)) : null,
        has(LINKS) ? into.denseOutput("nextSibling", DType.I32, Shape.of(nodes)) : null,
        has(PATHS) ? into.denseOutput("paths", DType.I32, Shape.of(requests, leaves, width)) : null,
        has(LEAF_COUNT) ? into.denseOutput("leafCount", DType.I32, Shape.of(requests)) : null,
        into.denseOutput("status", DType.I32, Shape.of(requests)));
  }

  /** Memory that begins as poison. */
  static final class Image {
    private final String name;
    private final DType dtype;
    private final byte[] bytes;

    Image(String name, DType dtype, long elements) {
      this.name = name;
      this.dtype = dtype;
      this.bytes = PreparedCase.poison(elements * dtype.byteSize());
    }

    void set(long i, long bits) {
      MemorySegment segment = MemorySegment.ofArray(bytes);
      switch (dtype.byteSize()) {
        case 1 -> bytes[(int) i] = (byte) bits;
        case Short.BYTES -> segment.setAtIndex(JAVA_SHORT_UNALIGNED, i, (short) bits);
        case Integer.BYTES -> segment.setAtIndex(JAVA_INT_UNALIGNED, i, (int) bits);
        default -> segment.setAtIndex(JAVA_LONG_UNALIGNED, i, bits);
      }
    }

    Outcome.Output output() {
      return new Outcome.Output(name, dtype, bytes);
    }
  }

  /** What has to be in the outputs. */
  List<Outcome.Output> expected(
      List<TreeBatch.Request> requests, int nodes, long[] prefixes, boolean parent) {
    Image parents = new Image("parent", DType.I32, nodes);
    Image bits =
        new Image("bits", spec.bits(), PreparedCase.elements(strided, Shape.of(nodes, words)));
    Image depths = new Image("depth", DType.I32, nodes);
    Image positions = new Image("positions", spec.positions(), nodes);
    Image firstChild = new Image("firstChild", DType.I32, nodes);
    Image nextSibling = new Image("nextSibling", DType.I32, nodes);
    Image paths = new Image("paths", DType.I32, (long) requests.size() * leaves * width);
    Image leafCount = new Image("leafCount", DType.I32, requests.size());
    Image statuses = new Image("status", DType.I32, requests.size());
    for (int b = 0; b < requests.size(); b++) {
      TreeBatch.Request request = requests.get(b);
      boolean good = request.status() == TreeStatus.OK;
      List<List<Integer>> children = new ArrayList<>();
      List<List<Integer>> ancestors = new ArrayList<>(); // from the root to the node
      List<Integer> found = new ArrayList<>();
      for (int i = 0; i < request.count(); i++) {
        children.add(new ArrayList<>());
        List<Integer> path = new ArrayList<>();
        if (good && i > 0) {
          children.get(request.parents()[i]).add(i);
          path.addAll(ancestors.get(request.parents()[i]));
        }
        path.add(i);
        ancestors.add(path);
      }
      for (int i = 0; i < request.count(); i++) {
        if (children.get(i).isEmpty()) {
          found.add(i);
        }
      }
      TreeStatus status = request.status();
      if (good && isTooSmall(request.count(), found.size(), ancestors)) {
        status = TreeStatus.CAPACITY;
        good = false;
      }
      int wordBits = spec.bits().byteSize() * Byte.SIZE;
      for (int i = 0; i < request.count(); i++) {
        int row = request.first() + i;
        parents.set(row, good ? request.parents()[i] : -1);
        int depth = good ? ancestors.get(i).size() - 1 : 0;
        depths.set(row, depth);
        positions.set(row, good ? (prefixes == null ? 0 : prefixes[b]) + depth : 0);
        firstChild.set(
            row, good && !children.get(i).isEmpty() ? Collections.min(children.get(i)) : -1);
        nextSibling.set(row, -1);
        TreeMap<Integer, Long> row64 = new TreeMap<>();
        if (good) {
          for (int ancestor : ancestors.get(i)) {
            row64.merge(ancestor / wordBits, 1L << ancestor % wordBits, (x, y) -> x | y);
          }
        }
        for (int w = 0; w < words && has(BITS); w++) {
          bits.set(PreparedCase.position(strided, row, w, words), row64.getOrDefault(w, 0L));
        }
      }
      for (List<Integer> siblings : good ? children : List.<List<Integer>>of()) {
        for (int k = 1; k < siblings.size(); k++) {
          nextSibling.set(request.first() + siblings.get(k - 1), siblings.get(k));
        }
      }
      for (int r = 0; r < leaves && has(PATHS); r++) {
        List<Integer> path =
            good && r < found.size() ? ancestors.get(found.get(r)) : List.<Integer>of();
        for (int d = 0; d < width; d++) {
          paths.set(((long) b * leaves + r) * width + d, d < path.size() ? path.get(d) : -1);
        }
      }
      leafCount.set(b, good ? found.size() : 0);
      statuses.set(b, status.ordinal());
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    add(outputs, parent, parents);
    add(outputs, has(BITS), bits);
    add(outputs, has(DEPTH), depths);
    add(outputs, has(POSITIONS), positions);
    add(outputs, has(LINKS), firstChild);
    add(outputs, has(LINKS), nextSibling);
    add(outputs, has(PATHS), paths);
    add(outputs, has(LEAF_COUNT), leafCount);
    add(outputs, true, statuses);
    return outputs;
  }

  private boolean isTooSmall(int count, int found, List<List<Integer>> ancestors) {
    boolean small = has(BITS) && count > (long) words * spec.bits().byteSize() * Byte.SIZE;
    int longest = ancestors.stream().mapToInt(List::size).max().orElse(0);
    return small || (has(PATHS) && (found > leaves || longest > width));
  }

  private static void add(List<Outcome.Output> outputs, boolean wanted, Image image) {
    if (wanted) {
      outputs.add(image.output());
    }
  }
}

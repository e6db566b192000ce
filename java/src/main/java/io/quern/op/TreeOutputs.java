package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.internal.device.QueueStream;

/**
 * What {@link TreeTopology}, {@link DynamicTree} and {@link TreeFromMask} can say about draft
 * trees; null is not wanted. Node ids are local to their request, requests follow each other; N
 * counts the nodes of all.
 *
 * <p>A request that is not {@link TreeStatus#OK} gets −1 in {@code parent}, {@code firstChild},
 * {@code nextSibling} and {@code paths}, and 0 elsewhere. Rows that belong to no request stay
 * untouched. {@link TreeStatus#CAPACITY}: a row of bits is too short, or there are more leaves or
 * longer paths than fit.
 *
 * @param parent I32 [N]; for operators that find the parents, which need it
 * @param bits [N, words], any row stride: the ancestors of each node, itself and the root included,
 *     little-endian: node j is bit j mod w of word j / w for words of w bits
 * @param depth I32 [N]; the root's is 0
 * @param positions [N]: prefix length + depth, its low 32 bits where it is I32
 * @param firstChild I32 [N]: the lowest child, −1 for none
 * @param nextSibling I32 [N]: the next higher child of the same parent, −1 for none
 * @param paths I32 [B, leaves, width], dense: the nodes from the root to each leaf, leaves
 *     ascending, the rest −1 (Medusa's and EAGLE's retrieve indices)
 * @param leafCount I32 [B]
 * @param status I32 [B]: ordinals of {@link TreeStatus}; never null
 */
public record TreeOutputs(
    Buffer parent,
    Buffer bits,
    Buffer depth,
    Buffer positions,
    Buffer firstChild,
    Buffer nextSibling,
    Buffer paths,
    Buffer leafCount,
    Buffer status) {
  private static final int BITS = 1;
  private static final int POSITIONS = 3;
  private static final int PATHS = 6;
  private static final int STATUS = 8;
  private static final int COUNT = 9;

  /** The status alone. */
  public static TreeOutputs of(Buffer status) {
    return new TreeOutputs(null, null, null, null, null, null, null, null, status);
  }

  /** The same with parents. */
  public TreeOutputs withParent(Buffer parent) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  /** The same with ancestor bits. */
  public TreeOutputs withBits(Buffer bits) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  /** The same with depths. */
  public TreeOutputs withDepth(Buffer depth) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  /** The same with position ids. */
  public TreeOutputs withPositions(Buffer positions) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  /** The same with the links of a walk over children and siblings. */
  public TreeOutputs withLinks(Buffer firstChild, Buffer nextSibling) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  /** The same with leaf paths and their number. */
  public TreeOutputs withPaths(Buffer paths, Buffer leafCount) {
    return new TreeOutputs(
        parent, bits, depth, positions, firstChild, nextSibling, paths, leafCount, status);
  }

  private Buffer output(int i) {
    return switch (i) {
      case 0 -> parent;
      case 1 -> bits;
      case 2 -> depth;
      case 3 -> positions;
      case 4 -> firstChild;
      case 5 -> nextSibling;
      case 6 -> paths;
      case 7 -> leafCount;
      default -> status;
    };
  }

  private static String name(int i) {
    return switch (i) {
      case 0 -> "parent";
      case 1 -> "bits";
      case 2 -> "depth";
      case 3 -> "positions";
      case 4 -> "firstChild";
      case 5 -> "nextSibling";
      case 6 -> "paths";
      case 7 -> "leafCount";
      default -> "status";
    };
  }

  /** Checks what does not depend on the inputs. */
  void check(
      String op, Device device, long requests, long nodes, DType bitsDtype, DType positionsDtype) {
    for (int i = 0; i < COUNT; i++) {
      Buffer out = output(i);
      if (out == null && i != STATUS) {
        continue;
      }
      DType dtype = i == BITS ? bitsDtype : i == POSITIONS ? positionsDtype : DType.I32;
      Check.operand(op, name(i), out, dtype, device);
      Check.writable(op, name(i), out);
      if (i == BITS) {
        if (out.shape().rank() != 2 || out.shape().dim(0) != nodes) {
          throw new IllegalArgumentException(
              "%s: bits has shape %s, expected [%d, words]".formatted(op, out.shape(), nodes));
        }
      } else if (i == PATHS) {
        if (out.shape().rank() != 3 || out.shape().dim(0) != requests) {
          throw new IllegalArgumentException(
              "%s: paths has shape %s, expected [%d, leaves, width]"
                  .formatted(op, out.shape(), requests));
        }
        Check.dense(op, "paths", out);
      } else {
        Check.vector(op, name(i), out, i < PATHS ? nodes : requests);
      }
      for (int j = 0; j < i; j++) {
        Check.disjoint(op, name(i), out, name(j), output(j));
      }
    }
  }

  /** Checks that no output shares an element with an input, which may be absent. */
  void disjoint(String op, String operand, Buffer input) {
    for (int i = 0; i < COUNT && input != null; i++) {
      Check.disjoint(op, name(i), output(i), operand, input);
    }
  }

  void hold(QueueStream queue) {
    for (int i = 0; i < COUNT; i++) {
      queue.hold(output(i));
    }
  }
}

package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeMask;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeTopology;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Masks of given parents: {@code tree_mask_formats} in rows, {@code tree_mask_full_and_packed} for
 * a ragged batch, {@code kconfig_tree_mask} of full k-ary levels without the root.
 */
final class TreeMaskGolden implements GoldenOp {
  private final String name;

  private TreeMaskGolden(String name) {
    this.name = name;
  }

  static List<GoldenOp> all() {
    return List.of(
        new TreeMaskGolden("tree_mask_formats"),
        new TreeMaskGolden("tree_mask_full_and_packed"),
        new TreeMaskGolden("kconfig_tree_mask"));
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    return switch (name) {
      case "tree_mask_formats" -> formats(golden, operands);
      case "tree_mask_full_and_packed" -> ragged(golden, operands);
      default -> levels(golden.input("k_config"), operands);
    };
  }

  /** A batch on the device. */
  private record Trees(Operands operands, Buffer parent, Buffer offsets, Buffer prefix) {
    static Trees one(Operands operands, GoldenTensor parent, int prefix) {
      GoldenTensor offsets = TreeResults.tensor(Shape.of(2), 0, (int) parent.shape().size());
      return new Trees(
          operands,
          operands.input(parent),
          operands.input(offsets),
          operands.input(TreeResults.tensor(Shape.of(1), prefix)));
    }

    GoldenTensor mask(TreeMaskFormat format, DType dtype, Shape shape, boolean prefixed) {
      Buffer mask = operands.output(dtype, shape);
      run(format, dtype, mask, null, prefixed);
      return operands.result(mask);
    }

    void run(TreeMaskFormat format, DType dtype, Buffer mask, Buffer indptr, boolean prefixed) {
      Buffer status = operands.output(DType.I32, Shape.of(offsets.shape().size() - 1));
      TreeMask.plan(operands.device(), TreeMask.Spec.of(format, dtype))
          .run(
              operands.stream(),
              TreeMask.Operands.of(parent, offsets, mask, status)
                  .withPrefix(prefixed ? prefix : null)
                  .withIndptr(indptr));
    }
  }

  private static Map<String, GoldenTensor> formats(GoldenCase golden, Operands operands) {
    GoldenTensor parent = golden.input("parents");
    int n = (int) parent.shape().size();
    int prefix = ((Number) golden.params().get("prefix")).intValue();
    Trees trees = Trees.one(operands, parent, prefix);
    Shape tree = Shape.of(n, n);
    Shape full = Shape.of(n, prefix + n);
    Buffer depth = operands.output(DType.I32, Shape.of(n));
    TreeTopology.plan(operands.device(), TreeTopology.Spec.DEFAULT)
        .run(
            operands.stream(),
            TreeTopology.Operands.of(
                trees.parent,
                trees.offsets,
                TreeOutputs.of(operands.output(DType.I32, Shape.of(1))).withDepth(depth)));
    return Map.of(
        "bool_tree",
        trees.mask(TreeMaskFormat.ONE_ZERO, DType.BOOL, tree, false),
        "bool_full",
        trees.mask(TreeMaskFormat.ONE_ZERO, DType.BOOL, full, true),
        "additive_f32_neginf",
        trees.mask(TreeMaskFormat.ADDITIVE_INF, DType.F32, full, true),
        "additive_f16_min",
        trees.mask(TreeMaskFormat.ADDITIVE_MIN, DType.F16, full, true),
        "additive_f32_min",
        trees.mask(TreeMaskFormat.ADDITIVE_MIN, DType.F32, full, true),
        "bits_u32",
        bits(golden, "bits_u32", trees, DType.U32),
        "bits_i64",
        bits(golden, "bits_i64", trees, DType.I64),
        "bytes_little",
        bits(golden, "bytes_little", trees, DType.U8),
        "depth",
        operands.result(depth));
  }

  private static GoldenTensor bits(GoldenCase golden, String output, Trees trees, DType words) {
    return trees.mask(TreeMaskFormat.BITS, words, golden.output(output).shape(), false);
  }

  private static Map<String, GoldenTensor> ragged(GoldenCase golden, Operands operands) {
    GoldenTensor offsets = golden.input("qo_indptr");
    GoldenTensor prefix = golden.input("prefix_len");
    Trees trees =
        new Trees(
            operands,
            operands.input(golden.input("parents")),
            operands.input(offsets),
            operands.input(prefix));
    long elements = 0;
    long bytes = 0;
    for (int b = 0; b < prefix.shape().size(); b++) {
      long n = offsets.asLong(b + 1) - offsets.asLong(b);
      elements += n * (prefix.asLong(b) + n);
      bytes += Math.ceilDiv(n * (prefix.asLong(b) + n), Byte.SIZE);
    }
    Buffer mask = operands.output(DType.BOOL, Shape.of(elements));
    Buffer indptr = operands.output(DType.I64, offsets.shape());
    Buffer packed = operands.output(DType.U8, Shape.of(bytes));
    Buffer packedIndptr = operands.output(DType.I64, offsets.shape());
    trees.run(TreeMaskFormat.FLAT, DType.BOOL, mask, indptr, true);
    trees.run(TreeMaskFormat.PACKED, DType.U8, packed, packedIndptr, true);
    return Map.of(
        "mask_flat",
        operands.result(mask),
        "mask_indptr",
        operands.result(indptr),
        "packed",
        operands.result(packed),
        "packed_indptr",
        operands.result(packedIndptr));
  }

  /** The mask of a tree with a root, of which the root's row and column are then left out. */
  private static Map<String, GoldenTensor> levels(GoldenTensor fanOut, Operands operands) {
    List<Integer> parents = new ArrayList<>(List.of(-1));
    int from = 0;
    for (int level = 0; level < fanOut.shape().size(); level++) {
      int to = parents.size();
      for (int parent = from; parent < to; parent++) {
        for (int child = 0; child < fanOut.asLong(level); child++) {
          parents.add(parent);
        }
      }
      from = to;
    }
    int n = parents.size();
    GoldenTensor parent =
        TreeResults.tensor(Shape.of(n), parents.stream().mapToInt(p -> p).toArray());
    GoldenTensor mask =
        Trees.one(operands, parent, 0)
            .mask(TreeMaskFormat.ONE_ZERO, DType.BOOL, Shape.of(n, n), false);
    int[] rootless = new int[(n - 1) * (n - 1)];
    for (int i = 0; i < rootless.length; i++) {
      rootless[i] = (int) mask.asLong((i / (n - 1) + 1L) * n + i % (n - 1) + 1);
    }
    return Map.of("mask", TreeResults.tensor(Shape.of(n - 1, n - 1), rootless));
  }
}

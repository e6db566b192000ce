package io.quern.internal.cuda;

import static io.quern.bindings.cublas.Cublas.CUBLAS_COMPUTE_32F;
import static io.quern.bindings.cublas.Cublas.CUBLAS_COMPUTE_32F_FAST_TF32;
import static io.quern.bindings.cublas.Cublas.CUDA_R_16BF;
import static io.quern.bindings.cublas.Cublas.CUDA_R_16F;
import static io.quern.bindings.cublas.Cublas.CUDA_R_32F;
import static io.quern.internal.cuda.Operand.address;

import io.quern.DType;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_token_match_desc;
import io.quern.bindings.quern.quern_token_match_fast_layout;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.op.TokenMatch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * {@code quern_token_match_fast}: rows are packed, cuBLAS makes the products of a tile, a kernel
 * keeps the best of them, and so on; then the slots. No more than a tile of products is ever in
 * memory.
 */
final class CublasTokenMatch implements TokenMatchKernel {
  private static final MethodHandle PACK =
      Downcalls.withLongs(
          QuernAbi.quern_token_match_fast_pack$address(),
          QuernAbi.quern_token_match_fast_pack$descriptor());
  private static final MethodHandle ARGMAX =
      Downcalls.withLongs(
          QuernAbi.quern_token_match_fast_argmax$address(),
          QuernAbi.quern_token_match_fast_argmax$descriptor());
  private static final MethodHandle PLACE =
      Downcalls.withLongs(
          QuernAbi.quern_token_match_fast_place$address(),
          QuernAbi.quern_token_match_fast_place$descriptor());

  /** Up to so many tokens the fused kernel needs one launch; this one needs five at least. */
  private static final long ONE_LAUNCH_TOKENS = 1024;

  /**
   * A product costs the fused kernel {@code dim} fma, this one a store and a load of four bytes
   * besides the tensor cores: on an H100, by its data sheet, as much as about 45 fma.
   */
  private static final long LEAST_DIM = 64;

  /**
   * Multiplications of a batch row. The fused kernel takes about 10 µs for so many at 25 Tfma/s,
   * which is as much as the further launches and the packing of rows cost here.
   */
  private static final long LEAST_MULTIPLICATIONS = 1L << 28;

  /**
   * Why the fused kernel is taken. The rule is an estimate; it has not been measured on a GPU yet.
   */
  static final String RULE =
      "that pays from %d tokens, dim %d and 2^%d multiplications on"
          .formatted(
              ONE_LAUNCH_TOKENS + 1, LEAST_DIM, Long.numberOfTrailingZeros(LEAST_MULTIPLICATIONS));

  private final PrimaryContext context;
  private final TokenMatch.Spec spec;
  private final CublasHandle cublas;
  private final int type;
  private final int compute;

  // Of a call: see quern_token_match_fast_layout.
  private final long sources;
  private final long destinations;
  private final int depth;
  private final long tileBatches;
  private final long tileSources;
  private final long tileDestinations;
  private final int scoreStride;
  private final long packed;

  /** Bytes of workspace, without that of cuBLAS, whatever the batch. */
  private final long fixedBytes;

  /** Further ones for each batch row. */
  private final long rowBytes;

  CublasTokenMatch(PrimaryContext context, TokenMatch.Spec spec, CublasHandle cublas) {
    this.context = context;
    this.spec = spec;
    this.cublas = cublas;
    this.type =
        switch (spec.metric()) {
          case F16 -> CUDA_R_16F();
          case BF16 -> CUDA_R_16BF();
          default -> CUDA_R_32F();
        };
    this.compute =
        spec.metric() == DType.F32 ? CUBLAS_COMPUTE_32F_FAST_TF32() : CUBLAS_COMPUTE_32F();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_token_match_desc.allocate(arena);
      CudaTokenMatch.describe(desc, spec, 0, spec.dim());
      MemorySegment layout = plan(desc, arena);
      fixedBytes = quern_token_match_fast_layout.bytes(layout);
      quern_token_match_desc.batch(desc, 1);
      layout = plan(desc, arena);
      rowBytes = quern_token_match_fast_layout.bytes(layout) - fixedBytes;
      sources = quern_token_match_fast_layout.sources(layout);
      destinations = quern_token_match_fast_layout.destinations(layout);
      depth = Math.toIntExact(quern_token_match_fast_layout.depth(layout));
      tileBatches = quern_token_match_fast_layout.tile_batches(layout);
      tileSources = quern_token_match_fast_layout.tile_sources(layout);
      tileDestinations = quern_token_match_fast_layout.tile_destinations(layout);
      scoreStride = Math.toIntExact(quern_token_match_fast_layout.score_stride(layout));
      packed = quern_token_match_fast_layout.packed(layout);
      context.call(
          "quern_token_match_fast_prepare",
          () -> QuernAbi.quern_token_match_fast_prepare(desc, context.ordinal()));
    }
  }

  private MemorySegment plan(MemorySegment desc, Arena arena) {
    MemorySegment layout = quern_token_match_fast_layout.allocate(arena);
    quern_token_match_fast_layout.size(layout, (int) quern_token_match_fast_layout.sizeof());
    context.call(
        "quern_token_match_fast_plan", () -> QuernAbi.quern_token_match_fast_plan(desc, layout));
    return layout;
  }

  /** Whether it is expected to take less time than the fused kernel. */
  static boolean pays(TokenMatch.Spec spec) {
    if (spec.isIdentity() || spec.tokens() <= ONE_LAUNCH_TOKENS || spec.dim() < LEAST_DIM) {
      return false;
    }
    // At most 2^31 · 2^31: tokens · dim are below 2^31.
    long elements = spec.scheme().sources(spec.tokens()) * spec.dim();
    return elements * spec.scheme().destinations(spec.tokens()) >= LEAST_MULTIPLICATIONS;
  }

  @Override
  public String name() {
    return "cublas %s: %s in tiles of %d × %d"
        .formatted(
            cublas.version(),
            spec.metric() == DType.F32 ? "TF32 products" : spec.metric() + " products",
            tileSources,
            tileDestinations);
  }

  @Override
  public long workspaceBytes(long batch) {
    return Math.addExact(
        Math.addExact(fixedBytes, Math.multiplyExact(batch, rowBytes)),
        CublasHandle.WORKSPACE_BYTES + CublasHandle.WORKSPACE_ALIGNMENT);
  }

  @Override
  public void run(QueueStream stream, TokenMatch.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    long batch = operands.slot().shape().dim(0);
    long workspace = address(operands.workspace());
    long bytes = fixedBytes + batch * rowBytes;
    long alignment = CublasHandle.WORKSPACE_ALIGNMENT;
    MemorySegment desc = queue.descriptor();
    CudaTokenMatch.describe(desc, spec, batch, Operand.stride(operands.metric()));
    try {
      require(
          (int)
              PACK.invokeExact(
                  desc.address(),
                  context.ordinal(),
                  address(operands.metric()),
                  address(operands.order()),
                  address(operands.slot()),
                  workspace,
                  bytes,
                  queue.handle()),
          "quern_token_match_fast_pack");
      synchronized (cublas) {
        cublas.bind(queue.handle(), Math.ceilDiv(workspace + bytes, alignment) * alignment);
        compare(desc, queue, batch, workspace, bytes);
      }
      queue.launched(
          (int)
              PLACE.invokeExact(
                  desc.address(),
                  context.ordinal(),
                  address(operands.limits()),
                  address(operands.slot()),
                  address(operands.similarity()),
                  address(operands.count()),
                  workspace,
                  bytes,
                  queue.handle()),
          "quern_token_match_fast_place");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }

  /** Queues the products and the argmax of one tile after the other. */
  private void compare(
      MemorySegment desc, RuntimeStream queue, long batch, long workspace, long bytes)
      throws Throwable {
    long listed = sources + destinations;
    long row = depth * (long) spec.metric().byteSize();
    for (long b = 0; b < batch; b += tileBatches) {
      long batches = Math.min(tileBatches, batch - b);
      long rows = workspace + packed + b * listed * row;
      for (long i = 0; i < sources; i += tileSources) {
        long ofSources = Math.min(tileSources, sources - i);
        for (long j = 0; j < destinations; j += tileDestinations) {
          long ofDestinations = Math.min(tileDestinations, destinations - j);
          cublas.products(
              type,
              compute,
              rows + i * row,
              (int) ofSources,
              rows + (sources + j) * row,
              (int) ofDestinations,
              depth,
              listed * depth,
              workspace,
              scoreStride,
              tileSources * scoreStride,
              (int) batches);
          require(
              (int)
                  ARGMAX.invokeExact(
                      desc.address(),
                      context.ordinal(),
                      b,
                      batches,
                      i,
                      ofSources,
                      j,
                      ofDestinations,
                      workspace,
                      bytes,
                      queue.handle()),
              "quern_token_match_fast_argmax");
        }
      }
    }
  }

  private void require(int status, String call) {
    if (status != QuernAbi.QUERN_OK()) {
      throw context.failure(status, call, "");
    }
  }
}

package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetMixerKernel;
import io.quern.internal.simd.PonetPasses.Pass;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Passes of pooling over x, whose queries and values go through two of the layers; products of x
 * with the other three, whose rows pass by once more.
 */
final class SimdPonetMixer implements PonetMixerKernel {
  /** Projections that are made: o, local, segment. */
  private static final int MADE = 3;

  /**
   * Rows of x that are read at a time: they stay in the second-level cache beside a block of
   * weights, while all of these pass by once.
   */
  private static final int PACKED_ROWS = 2 * Product.BLOCK_ROWS;

  private final PonetPooling.Spec spec;

  SimdPonetMixer(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    long places = PonetSoftmax.places(sequences, tokens);
    long wide = (places * (spec.heads() - 1) + sequences * spec.heads()) * spec.columns();
    return projected(tokens)
        + PonetTask.projectedBytes(spec, tokens)
        + PonetSoftmax.shareBytes(spec, sequences, tokens)
        + Math.ceilDiv(wide * Float.BYTES, 16) * 16;
  }

  private static long projected(long tokens) {
    return PonetTask.chainBytes(tokens);
  }

  @Override
  public void run(QueueStream stream, PonetMixer.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long rowBytes = (long) spec.columns() * Float.BYTES;
    long places = PonetSoftmax.places(sequences, tokens);
    long layerBytes = 2 * spec.columns() * rowBytes;
    Packed packed = host.kept(Packed.class, Packed::new);
    packed.reserve(spec);
    Projection projection = host.task(Projection.class, workers -> new Projection());
    projection.mix(spec, operands, projected(tokens));
    projection.packed = packed;
    projection.packing = true;
    int panels = Product.rightPanels(spec.columns());
    host.run(projection, (long) MADE * panels, Product.COLUMNS * rowBytes);
    projection = host.task(Projection.class, workers -> new Projection());
    projection.mix(spec, operands, projected(tokens));
    projection.packed = packed;
    projection.packing = false;
    host.run(
        projection,
        Math.ceilDiv(tokens, (long) Product.BLOCK_ROWS),
        Product.BLOCK_ROWS * layerBytes / Species.LANES);
    run(host, operands, Pass.QUERIES, places, PonetTask.CHUNK * rowBytes);
    run(host, operands, Pass.MEAN, sequences, layerBytes);
    run(host, operands, Pass.KEYS, places, PonetTask.CHUNK * spec.heads() * rowBytes);
    run(host, operands, Pass.VALUE, sequences, layerBytes);
    run(host, operands, Pass.FUSION, tokens, 4 * rowBytes);
  }

  private void run(
      HostStream host, PonetMixer.Operands operands, Pass pass, long rows, long bytesPerRow) {
    Passes task = host.task(Passes.class, workers -> new Passes());
    long tokens = operands.out().shape().dim(0);
    task.mix(spec, operands, projected(tokens));
    task.lay(pass, host, projected(tokens) + PonetTask.projectedBytes(spec, tokens));
    task.folded =
        task.valueSums
            + PonetSoftmax.places(operands.offsets().shape().dim(0) - 1, tokens)
                * spec.heads()
                * spec.columns()
                * Float.BYTES;
    task.layers = host.kept(Layer[].class, Layer::ofEach);
    host.run(task, rows, bytesPerRow);
  }

  /** A worker's rows on their way through the layers of q and k. */
  private static final class Layer {
    private final float[] in = new float[PonetMixer.MAX_COLUMNS];
    private final float[] out = new float[PonetMixer.MAX_COLUMNS];
    private final float[] sum = new float[PonetMixer.MAX_COLUMNS];
    private float[] queries = {};

    private static Layer[] ofEach(int workers) {
      Layer[] layers = new Layer[workers];
      Arrays.setAll(layers, i -> new Layer());
      return layers;
    }
  }

  /** Pooling whose keys are rows of x, of which every head has a query as wide as they are. */
  private static final class Passes extends PonetPasses {
    private Layer[] layers;

    /** Where the heads' queries are in the workspace. */
    private long folded;

    private long folded(long s, int head) {
      return folded + (s * spec.heads() + head) * spec.columns() * Float.BYTES;
    }

    @Override
    void meanOfQueries(int worker, long s, int head, int heads) {
      super.meanOfQueries(worker, s, head, heads);
      if (head + heads < spec.heads()) {
        return;
      }
      Scratch scratch = scratches[worker];
      Layer layer = layers[worker];
      int dim = spec.columns();
      MemorySegment.copy(workspace, JAVA_FLOAT, row(queries, s, 0), layer.in, 0, dim);
      project(scratch, layer, 0, 0, dim);
      for (int h = 0; h < spec.heads(); h++) {
        Arrays.fill(layer.sum, 0, dim, 0);
        for (int chunk = 0; chunk < spec.headDim(); chunk += CHUNK) {
          int n = Math.min(CHUNK, spec.headDim() - chunk);
          for (int i = 0; i < n; i++) {
            int c = h * spec.headDim() + chunk + i;
            scratch.at[i] = (long) (dim + c) * dim * Float.BYTES;
            scratch.weights[i] = layer.out[c];
          }
          PonetRows.weightedSum(weight, scratch.at, n, 0, scratch.weights, 0, scratch.chunk, dim);
          PonetRows.add(layer.sum, scratch.chunk, dim);
        }
        MemorySegment.copy(layer.sum, 0, workspace, JAVA_FLOAT, folded(s, h), dim);
      }
    }

    /** {@code layer.out = in Wᵀ + b} of columns of a layer: q is 0, k is 1. */
    private void project(Scratch scratch, Layer layer, int number, int from, int to) {
      int dim = spec.columns();
      for (int c = from; c < to; c++) {
        long row = (long) number * dim + c;
        MemorySegment.copy(weight, JAVA_FLOAT, row * dim * Float.BYTES, scratch.row, 0, dim);
        layer.out[c] =
            scratch.reduction.dot(scratch.row, 0, layer.in, 0, dim)
                + bias.get(JAVA_FLOAT, row * Float.BYTES);
      }
    }

    @Override
    void addKeys(
        int worker, long s, long begin, int chunk, int n, long place, int head, int heads) {
      Scratch scratch = scratches[worker];
      Layer layer = layers[worker];
      int dim = spec.columns();
      if (layer.queries.length < heads * dim) {
        layer.queries = new float[heads * dim];
      }
      MemorySegment.copy(workspace, JAVA_FLOAT, folded(s, head), layer.queries, 0, heads * dim);
      locate(worker, keyType, k, begin * strideK, strideK, n, dim);
      score(scratch, layer, n, heads);
      PonetScores.spread(scratch.scores, scratch.tokens, n, chunk, heads);
      if (probabilities != null) {
        keepScores(scratch, begin + chunk, n, chunk, head, heads);
      }
      weigh(scratch, n, chunk, place, head, heads);
      for (int h = 0; h < heads; h++) {
        if (scratch.maxima[h] != Float.NEGATIVE_INFINITY) {
          PonetRows.weightedSum(
              scratch.rows, scratch.at, n, 0, scratch.scores, h * CHUNK, scratch.chunk, dim);
          long to = valueSums + (place * spec.heads() + head + h) * dim * Float.BYTES;
          MemorySegment.copy(scratch.chunk, 0, workspace, JAVA_FLOAT, to, dim);
        }
      }
    }

    private void score(Scratch scratch, Layer layer, int n, int heads) {
      int dim = spec.columns();
      float scale = spec.scale();
      if (dim % 64 == 0) {
        PonetScores.scores(
            scratch.rows,
            scratch.at,
            n,
            0,
            layer.queries,
            dim,
            heads,
            scale,
            scratch.sums,
            scratch.scores);
        return;
      }
      for (int i = 0; i < n; i++) {
        MemorySegment.copy(scratch.rows, JAVA_FLOAT, scratch.at[i], scratch.row, 0, dim);
        for (int h = 0; h < heads; h++) {
          scratch.scores[h * CHUNK + i] =
              scratch.reduction.dot(layer.queries, h * dim, scratch.row, 0, dim) * scale;
        }
      }
    }

    @Override
    void mergeStates(int worker, long s, int head, int heads) {
      Scratch scratch = scratches[worker];
      Layer layer = layers[worker];
      int dim = spec.columns();
      int headDim = spec.headDim();
      long place = offset(s) / CHUNK + s;
      long chunks = Math.ceilDiv(offset(s + 1) - offset(s), (long) CHUNK);
      for (int h = head; h < head + heads; h++) {
        Arrays.fill(scratch.value, 0, dim, 0);
        scratch.max = Float.NEGATIVE_INFINITY;
        scratch.sum = 0;
        merge(scratch, place, chunks, h, dim);
        PonetRows.divide(scratch.value, scratch.sum, dim);
        System.arraycopy(scratch.value, 0, layer.in, 0, dim);
        project(scratch, layer, 1, h * headDim, (h + 1) * headDim);
        MemorySegment.copy(
            layer.out, h * headDim, workspace, JAVA_FLOAT, row(values, s, h), headDim);
        setHead(max, s, h, scratch.max);
        setHead(sum, s, h, scratch.sum);
      }
    }
  }

  /** Packed operands: the weights of all workers, and a range of x of each. */
  private static final class Packed {
    private final float[][] rows;
    private final float[][] staged;
    private final float[][] tiles;
    private final Tile[] tile;
    private float[] weights = {};

    private Packed(int workers) {
      rows = new float[workers][0];
      staged = new float[workers][0];
      tiles = new float[workers][Product.BLOCK_ROWS * Product.BLOCK_PANELS * Product.COLUMNS];
      tile = Tile.ofEach(workers);
    }

    private void reserve(PonetPooling.Spec spec) {
      int dim = spec.columns();
      int size = MADE * Product.rightPanels(dim) * Product.COLUMNS * dim;
      if (weights.length < size) {
        weights = new float[size];
      }
      for (int i = 0; i < rows.length; i++) {
        int left = Product.leftPanels(PACKED_ROWS) * Product.leftPanel(dim);
        if (rows[i].length < left) {
          rows[i] = new float[left];
        }
        if (staged[i].length < Product.COLUMNS * dim) {
          staged[i] = new float[Product.COLUMNS * dim];
        }
      }
    }
  }

  /** Works on panels of the weights, then on blocks of tokens. */
  private static final class Projection extends PonetTask {
    /** Columns of a block of products. */
    private static final int WIDTH = Product.BLOCK_PANELS * Product.COLUMNS;

    private Packed packed;
    private boolean packing;

    @Override
    protected void run(int worker, long from, long to) {
      if (packing) {
        for (long panel = from; panel < to; panel++) {
          pack(worker, (int) panel);
        }
        return;
      }
      long end = Math.min(tokens, to * Product.BLOCK_ROWS);
      for (long token = from * Product.BLOCK_ROWS; token < end; token += PACKED_ROWS) {
        project(worker, token, (int) Math.min(PACKED_ROWS, end - token));
      }
    }

    /** Packs a panel of one of the layers. */
    private void pack(int worker, int panel) {
      int dim = spec.columns();
      int panels = Product.rightPanels(dim);
      int first = panel % panels * Product.COLUMNS;
      int count = Math.min(Product.COLUMNS, dim - first);
      float[] rows = packed.staged[worker];
      long layer = (long) (PonetMixer.PROJECTIONS - MADE + panel / panels) * dim + first;
      MemorySegment.copy(
          weight, JAVA_FLOAT, layer * dim * Float.BYTES, rows, 0, Math.multiplyExact(count, dim));
      int at = panel * Product.COLUMNS * dim;
      Product.packRight(rows, dim, count, dim, packed.weights, at);
    }

    /** Rows of o, local and segment of up to PACKED_ROWS tokens. */
    private void project(int worker, long token, int n) {
      int dim = spec.columns();
      float[] rows = packed.rows[worker];
      Tile tile = packed.tile[worker];
      int lefts = Product.leftPanels(n);
      float[] staged = packed.staged[worker];
      for (int i = 0; i < n; i++) {
        tile.read(keyType, q, (token + i) * strideQ, staged, 0, dim);
        int panel = i / Product.ROWS * Product.leftPanel(dim);
        Product.putLeft(staged, 0, dim, rows, panel, i % Product.ROWS);
      }
      int panels = Product.rightPanels(dim);
      int block = Product.BLOCK_ROWS / Product.ROWS;
      for (int layer = 0; layer < MADE; layer++) {
        for (int right = 0; right < panels; right += Product.BLOCK_PANELS) {
          int endRight = Math.min(panels, right + Product.BLOCK_PANELS);
          for (int left = 0; left < lefts; left += block) {
            int endLeft = Math.min(lefts, left + block);
            multiply(worker, left, endLeft, layer * panels + right, layer * panels + endRight);
            store(worker, token, n, left, endLeft, layer, right, endRight);
          }
        }
      }
    }

    private void multiply(int worker, int left, int endLeft, int right, int endRight) {
      int dim = spec.columns();
      float[] rows = packed.rows[worker];
      float[] out = packed.tiles[worker];
      for (int l = left; l < endLeft; l++) {
        for (int r = right; r < endRight; r++) {
          int at = (l - left) * Product.ROWS * WIDTH + (r - right) * Product.COLUMNS;
          int row = l * Product.leftPanel(dim);
          int column = r * Product.COLUMNS * dim;
          Product.tile(rows, row, packed.weights, column, dim, out, at, WIDTH);
        }
      }
    }

    /** Adds the bias to a block of products and stores it. */
    private void store(
        int worker, long token, int n, int left, int endLeft, int layer, int right, int endRight) {
      int dim = spec.columns();
      int first = right * Product.COLUMNS;
      int columns = Math.min(dim, endRight * Product.COLUMNS) - first;
      float[] out = packed.tiles[worker];
      float[] biases = packed.tile[worker].floats;
      long row = (long) (PonetMixer.PROJECTIONS - MADE + layer) * dim + first;
      MemorySegment.copy(bias, JAVA_FLOAT, row * Float.BYTES, biases, 0, columns);
      int end = Math.min(n, endLeft * Product.ROWS);
      for (int i = left * Product.ROWS; i < end; i++) {
        int at = (i - left * Product.ROWS) * WIDTH;
        long to = firstO + (layer * tokens + token + i) * strideO + (long) first * Float.BYTES;
        PonetRows.store(out, at, biases, workspace, to, columns);
      }
    }

    @Override
    protected void clear() {
      super.clear();
      packed = null;
    }
  }
}

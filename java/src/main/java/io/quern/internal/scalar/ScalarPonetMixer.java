package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetMixerKernel;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import java.util.Arrays;

/** Pooling of x with queries and values folded through two of the layers (rules 3, 4, 5, 6, 8). */
final class ScalarPonetMixer implements PonetMixerKernel {
  private static final int O = 2;

  private final PonetPooling.Spec spec;

  ScalarPonetMixer(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return PonetTask.chainBytes(tokens) + PonetTask.projectedBytes(spec, tokens);
  }

  @Override
  public void run(QueueStream stream, PonetMixer.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long length = tokens / Math.max(1, sequences);
    long projected = PonetTask.chainBytes(tokens);
    var chains =
        host.task(ScalarPonetPooling.Chains.class, workers -> new ScalarPonetPooling.Chains());
    chains.mix(spec, operands, projected);
    host.run(chains, sequences, length * Integer.BYTES);
    Projection projection = host.task(Projection.class, workers -> new Projection());
    projection.mix(spec, operands, projected);
    host.run(projection, tokens, 3L * spec.columns() * spec.columns());
    Heads heads = host.task(Heads.class, Heads::new);
    heads.mix(spec, operands, projected);
    host.run(heads, sequences * spec.heads(), 6 * length * spec.columns());
  }

  /** Works on tokens: their rows of o, local and segment. */
  private static final class Projection extends PonetTask {
    @Override
    protected void run(int worker, long from, long to) {
      int dim = spec.columns();
      for (long token = from; token < to; token++) {
        for (int c = 0; c < 3 * dim; c++) {
          long layer = (long) O * dim + c;
          float sum = 0;
          for (int i = 0; i < dim; i++) {
            float x = Element.load(keyType, q, token * strideQ + (long) i * keyType.byteSize());
            sum = Math.fma(x, weight.getAtIndex(JAVA_FLOAT, layer * dim + i), sum);
          }
          long to0 = firstO + ((c / dim) * tokens + token) * strideO;
          workspace.set(
              JAVA_FLOAT,
              to0 + (long) (c % dim) * Float.BYTES,
              sum + bias.getAtIndex(JAVA_FLOAT, layer));
        }
      }
    }
  }

  /** Heads whose keys are rows of x, asked and answered through the layers of q and k. */
  private static final class Heads extends PonetHeads {
    private final Layer[] layers;

    Heads(int workers) {
      super(workers);
      layers = new Layer[workers];
      Arrays.setAll(layers, i -> new Layer());
    }

    @Override
    int keyDim() {
      return spec.columns();
    }

    @Override
    int keyColumn(Head one) {
      return 0;
    }

    @Override
    void meanOfQueries(int worker, Head one, long valid) {
      Layer layer = layers[worker];
      int dim = spec.columns();
      for (int i = 0; i < dim; i++) {
        layer.in[i] = sumOfQueries(one, i, 0) / valid;
      }
      project(layer, one, 0);
      long first = dim + column(one, 0);
      for (int i = 0; i < dim; i++) {
        float total = 0;
        for (int chunk = 0; chunk < spec.headDim(); chunk += CHUNK) {
          float partial = 0;
          for (int d = chunk; d < Math.min(spec.headDim(), chunk + CHUNK); d++) {
            float w = weight.getAtIndex(JAVA_FLOAT, (first + d) * dim + i);
            partial = Math.fma(layer.out[d], w, partial);
          }
          total += partial;
        }
        one.query[i] = total;
      }
    }

    @Override
    void value(int worker, Head one) {
      super.value(worker, one);
      Layer layer = layers[worker];
      System.arraycopy(one.value, 0, layer.in, 0, spec.columns());
      project(layer, one, 1);
      System.arraycopy(layer.out, 0, one.value, 0, spec.headDim());
    }

    /** A head's columns of a layer: q is 0, k is 1. */
    private void project(Layer layer, Head one, int number) {
      int dim = spec.columns();
      for (int d = 0; d < spec.headDim(); d++) {
        long row = (long) number * dim + column(one, d);
        layer.weights.of(DType.F32, weight, row * dim * Float.BYTES);
        layer.out[d] =
            one.reduction.dot(layer.weights, layer.row, dim) + bias.getAtIndex(JAVA_FLOAT, row);
      }
    }
  }

  /** A row on its way through a layer. */
  private static final class Layer {
    private final float[] in = new float[PonetMixer.MAX_COLUMNS];
    private final float[] out = new float[PonetPooling.MAX_HEAD_DIM];
    private final RowReduction.Row row = i -> in[(int) i];
    private final RowReduction.Stored weights = new RowReduction.Stored();
  }
}

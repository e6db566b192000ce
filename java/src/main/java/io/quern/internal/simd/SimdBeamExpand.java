package io.quern.internal.simd;

import io.quern.internal.cpu.BeamTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.BeamExpandKernel;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.BeamExpand;
import java.util.Arrays;

/** The first extensions of a request's beams: all scores, beam by beam, then the first of them. */
final class SimdBeamExpand implements BeamExpandKernel {
  private final BeamExpand.Spec spec;

  SimdBeamExpand(BeamExpand.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, BeamExpand.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.expand(spec, operands);
    long extensions = (long) spec.beams() * spec.candidates();
    host.run(task, operands.outParents().shape().dim(0), (extensions + 1) * Float.BYTES);
  }

  /** What one worker computes in. */
  private static final class Scratch {
    private final RowReduction reduction = new RowReduction();
    private final RowRank rank = new RowRank();
    private float[] scores = new float[0];
    private float[] perturbed = new float[0];
    private float[] ranked = new float[0];
    private int[] extensions = new int[0];

    /** A beam's inputs, noise or bias, and what becomes of them. */
    private float[] list = new float[0];

    private float[] logs = new float[0];
    private float[] kept = new float[0];

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }

    private void grow(BeamExpand.Spec spec) {
      int extensions = spec.beams() * spec.candidates();
      if (scores.length < extensions) {
        scores = new float[extensions];
        perturbed = new float[extensions];
        ranked = new float[extensions];
        this.extensions = new int[extensions];
      }
      if (list.length < spec.candidates()) {
        list = new float[spec.candidates()];
        logs = new float[spec.candidates()];
      }
      if (kept.length < spec.keep()) {
        kept = new float[spec.keep()];
      }
    }
  }

  private static final class Task extends BeamTask {
    private Scratch[] scratches;

    @Override
    protected void run(int worker, long from, long to) {
      Scratch scratch = scratches[worker];
      scratch.grow(spec);
      for (long request = from; request < to; request++) {
        expand(scratch, request);
      }
    }

    private void expand(Scratch scratch, long request) {
      boolean stochastic = spec.mode() == BeamExpand.Mode.STOCHASTIC;
      int candidates = spec.candidates();
      int found = 0;
      for (int beam = 0; beam < spec.beams(); beam++) {
        int at = beam * candidates;
        score(scratch, request, beam, at);
        if (stochastic) {
          perturb(scratch, request, beam, at);
        }
        long list = list(request, beam);
        for (int c = 0; c < candidates; c++) {
          if (token(list, c) >= 0 && !(scratch.scores[at + c] < spec.threshold())) {
            scratch.ranked[found] = stochastic ? scratch.perturbed[at + c] : scratch.scores[at + c];
            scratch.extensions[found] = at + c;
            found++;
          }
        }
      }
      int keep = Math.min(spec.keep(), found);
      scratch.rank.begin(keep, found);
      scratch.rank.offer(scratch.ranked, 0, found, 0);
      scratch.rank.end();
      for (int rank = 0; rank < keep; rank++) {
        int extension = scratch.extensions[scratch.rank.index(rank)];
        int beam = extension / candidates;
        emit(
            request,
            rank,
            beam,
            token(list(request, beam), extension % candidates),
            scratch.scores[extension],
            scratch.perturbed[extension]);
      }
      for (int rank = keep; rank < spec.keep(); rank++) {
        emitNothing(request, rank);
      }
      if (wantsWeights()) {
        weigh(scratch, request);
      }
    }

    private void score(Scratch scratch, long request, int beam, int at) {
      int candidates = spec.candidates();
      float[] x = scratch.list;
      long list = list(request, beam);
      inputs.copy(list, x, 0, candidates);
      if (spec.probabilities()) {
        float[] present = scratch.logs;
        for (int c = 0; c < candidates; c++) {
          present[c] = token(list, c) >= 0 ? x[c] : 0;
        }
        float total = scratch.reduction.sum(present, 0, candidates);
        for (int c = 0; c < candidates; c++) {
          x[c] /= total;
        }
        RowReduction.log(x, 0, candidates);
      }
      float own = scores.at(request, beam);
      float scale = spec.scale();
      float[] scores = scratch.scores;
      if (bias.isAbsent()) {
        for (int c = 0; c < candidates; c++) {
          scores[at + c] = own + scale * x[c];
        }
      } else {
        float[] add = scratch.logs;
        bias.copy(beamRow(request, beam), add, 0, candidates);
        for (int c = 0; c < candidates; c++) {
          scores[at + c] = own + Math.fma(scale, x[c], add[c]);
        }
      }
    }

    private void perturb(Scratch scratch, long request, int beam, int at) {
      int candidates = spec.candidates();
      float[] g = scratch.list;
      float[] logs = scratch.logs;
      long list = list(request, beam);
      float base = scores.at(request, beam);
      noisy.copy(beamRow(request, beam), g, 0, candidates);
      float greatest = Float.NEGATIVE_INFINITY;
      for (int c = 0; c < candidates; c++) {
        g[c] = base + g[c];
        greatest = g[c] > greatest && token(list, c) >= 0 ? g[c] : greatest;
      }
      float own = perturbed.at(request, beam);
      float[] v = scratch.perturbed;
      for (int c = 0; c < candidates; c++) {
        v[at + c] = own - g[c];
      }
      VectorMath.exp(g, 0, candidates, greatest);
      for (int c = 0; c < candidates; c++) {
        g[c] = -g[c];
      }
      log1p(g, logs, candidates);
      for (int c = 0; c < candidates; c++) {
        v[at + c] += logs[c];
        g[c] = -Math.abs(v[at + c]);
      }
      VectorMath.exp(g, 0, candidates, 0);
      log1p(g, logs, candidates);
      for (int c = 0; c < candidates; c++) {
        v[at + c] = (own - (v[at + c] > 0 ? v[at + c] : 0)) - logs[c];
      }
    }

    /** {@code logs = log(1 + x)}, as {@link CanonicalMath#log1p} has it. */
    private static void log1p(float[] x, float[] logs, int n) {
      for (int i = 0; i < n; i++) {
        logs[i] = 1 + x[i];
      }
      RowReduction.log(logs, 0, n);
      for (int i = 0; i < n; i++) {
        float u = 1 + x[i];
        logs[i] = u == 1 || u == Float.POSITIVE_INFINITY ? x[i] : logs[i] * (x[i] / (u - 1));
      }
    }

    private void weigh(Scratch scratch, long request) {
      int keep = spec.keep();
      float[] kept = scratch.kept;
      for (int rank = 0; rank < keep; rank++) {
        kept[rank] = keptScore(request, rank);
      }
      float max = RowReduction.max(kept, 0, keep);
      VectorMath.exp(kept, 0, keep, max);
      float total = scratch.reduction.sum(kept, 0, keep);
      for (int rank = 0; rank < keep; rank++) {
        emitWeight(request, rank, max == Float.NEGATIVE_INFINITY ? 0 : kept[rank] / total);
      }
    }
  }
}

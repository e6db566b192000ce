package io.quern.internal.scalar;

import io.quern.internal.cpu.BeamTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.BeamExpandKernel;
import io.quern.op.BeamExpand;
import java.util.Arrays;

/** The first extensions of a request's beams, one after the other. */
final class ScalarBeamExpand implements BeamExpandKernel {
  private final BeamExpand.Spec spec;

  ScalarBeamExpand(BeamExpand.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, BeamExpand.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, Task::new);
    task.expand(spec, operands);
    long extensions = (long) spec.beams() * spec.candidates();
    host.run(task, operands.outParents().shape().dim(0), (extensions + 1) * Float.BYTES);
  }

  private static final class Task extends BeamTask {
    private final Request[] requests;

    Task(int workers) {
      requests = new Request[workers];
      Arrays.setAll(requests, i -> new Request());
    }

    @Override
    protected void run(int worker, long from, long to) {
      for (long request = from; request < to; request++) {
        requests[worker].expand(request);
      }
    }

    /** What a worker knows of the request it works on. */
    private final class Request {
      private final RowReduction reduction = new RowReduction();
      private final RowReduction.Row probabilities = this::probability;
      private final RowReduction.Row keptScores = this::kept;

      /** Of each beam's g. */
      private final float[] greatest = new float[BeamExpand.MAX_BEAMS];

      /** Of each beam's probabilities. */
      private final float[] totals = new float[BeamExpand.MAX_BEAMS];

      private long request;
      private int beam;

      void expand(long request) {
        this.request = request;
        for (beam = 0; beam < spec.beams(); beam++) {
          if (spec.mode() == BeamExpand.Mode.STOCHASTIC) {
            greatest[beam] = greatest();
          }
          if (spec.probabilities()) {
            totals[beam] = reduction.sum(probabilities, spec.candidates());
          }
        }
        long last = -1;
        boolean more = true;
        for (long rank = 0; rank < spec.keep(); rank++) {
          long next = more ? firstAfter(last) : -1;
          if (next < 0) {
            more = false;
            emitNothing(request, rank);
          } else {
            int b = (int) (next / spec.candidates());
            int c = (int) (next % spec.candidates());
            emit(
                request,
                rank,
                b,
                token(list(request, b), c),
                score(b, c),
                spec.mode() == BeamExpand.Mode.STOCHASTIC ? perturbed(b, c) : 0);
            last = next;
          }
        }
        if (wantsWeights()) {
          weights();
        }
      }

      private float greatest() {
        float greatest = Float.NEGATIVE_INFINITY;
        for (int c = 0; c < spec.candidates(); c++) {
          if (token(list(request, beam), c) >= 0) {
            float g = noisy(beam, c);
            greatest = g > greatest ? g : greatest;
          }
        }
        return greatest;
      }

      private float probability(long c) {
        long list = list(request, beam);
        return token(list, (int) c) >= 0 ? inputs.at(list, c) : 0;
      }

      private float noisy(int b, int c) {
        return scores.at(request, b) + noisy.at(beamRow(request, b), c);
      }

      private float score(int b, int c) {
        float x = inputs.at(list(request, b), c);
        if (spec.probabilities()) {
          x = CanonicalMath.log(x / totals[b]);
        }
        float step =
            bias.isAbsent()
                ? spec.scale() * x
                : Math.fma(spec.scale(), x, bias.at(beamRow(request, b), c));
        return scores.at(request, b) + step;
      }

      private float perturbed(int b, int c) {
        float own = perturbed.at(request, b);
        float g = noisy(b, c);
        float v = (own - g) + CanonicalMath.log1p(-CanonicalMath.exp(g - greatest[b]));
        return (own - (v > 0 ? v : 0)) - CanonicalMath.log1p(CanonicalMath.exp(-Math.abs(v)));
      }

      private boolean exists(long extension) {
        int b = (int) (extension / spec.candidates());
        int c = (int) (extension % spec.candidates());
        return token(list(request, b), c) >= 0 && !(score(b, c) < spec.threshold());
      }

      private float rankedBy(long extension) {
        int b = (int) (extension / spec.candidates());
        int c = (int) (extension % spec.candidates());
        return spec.mode() == BeamExpand.Mode.STOCHASTIC ? perturbed(b, c) : score(b, c);
      }

      private long firstAfter(long last) {
        long first = -1;
        long extensions = (long) spec.beams() * spec.candidates();
        for (long i = 0; i < extensions; i++) {
          if (exists(i) && (last < 0 || isBefore(last, i)) && (first < 0 || isBefore(i, first))) {
            first = i;
          }
        }
        return first;
      }

      private boolean isBefore(long a, long b) {
        float first = rankedBy(a);
        float second = rankedBy(b);
        return RowReduction.isBefore(first, second)
            || (!RowReduction.isBefore(second, first) && a < b);
      }

      private float kept(long rank) {
        return keptScore(request, rank);
      }

      private void weights() {
        int keep = spec.keep();
        float max = RowReduction.max(keptScores, keep);
        float total = reduction.sumExp(keptScores, keep, max);
        for (long rank = 0; rank < keep; rank++) {
          float weight = CanonicalMath.exp(kept(rank) - max) / total;
          emitWeight(request, rank, max == Float.NEGATIVE_INFINITY ? 0 : weight);
        }
      }
    }
  }
}

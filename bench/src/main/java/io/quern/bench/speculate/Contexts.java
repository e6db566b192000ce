package io.quern.bench.speculate;

import java.util.Arrays;

/** Tokens and more tokens. */
final class Contexts {
  private Contexts() {}

  /** Both, one after the other. */
  static int[] longer(int[] context, int... more) {
    int[] all = Arrays.copyOf(context, context.length + more.length);
    System.arraycopy(more, 0, all, context.length, more.length);
    return all;
  }

  /** A context and the tokens of a path whose first one, the root's, is the context's last. */
  static int[] below(int[] context, int[] path) {
    return longer(context, Arrays.copyOfRange(path, 1, path.length));
  }
}

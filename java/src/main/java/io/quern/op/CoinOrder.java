package io.quern.op;

/** Which of a request's uniforms a test of a draft token takes. */
public enum CoinOrder {
  /** The tested node's own (Sequoia); the root's is not used. */
  NODE,
  /** The next one, so that the t-th test takes the t-th (SGLang's chains, MCSD, EAGLE). */
  TEST
}

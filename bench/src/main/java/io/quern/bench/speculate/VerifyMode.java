package io.quern.bench.speculate;

import io.quern.op.RejectionRule;
import java.util.Optional;

/** How drafts are verified, as the table shows it. */
enum VerifyMode {
  GREEDY("greedy", null),
  TYPICAL("typical", null),
  TARGET_ONLY("target-only sampling", null),
  POINT_DRAFTS("rejection, drafts without chance", RejectionRule.POINT_DRAFTS),
  WITHOUT_REPLACEMENT("rejection, draws without replacement", RejectionRule.WITHOUT_REPLACEMENT),
  WITH_REPLACEMENT("rejection, independent draws", RejectionRule.WITH_REPLACEMENT),
  K_SEQ("K-SEQ", RejectionRule.K_SEQ),
  BLOCK("block", RejectionRule.BLOCK);

  private final String text;
  private final RejectionRule rejection;

  VerifyMode(String text, RejectionRule rejection) {
    this.text = text;
    this.rejection = rejection;
  }

  /** The rule of {@code RejectionVerify}, if it is one. */
  Optional<RejectionRule> rejection() {
    return Optional.ofNullable(rejection);
  }

  /** Whether coins decide. */
  boolean isRandom() {
    return this != GREEDY && this != TYPICAL;
  }

  @Override
  public String toString() {
    return text;
  }
}

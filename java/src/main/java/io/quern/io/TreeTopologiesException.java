package io.quern.io;

import java.io.IOException;
import java.util.Optional;

/** A file is not a valid list of tree topologies. */
public final class TreeTopologiesException extends IOException {
  private static final long serialVersionUID = 1L;

  private final String file;
  private final String tree;
  private final String reason;

  TreeTopologiesException(String file, String tree, String reason, Throwable cause) {
    super(
        file
            + ": "
            + (tree == null ? "" : "tree " + SafeTensorsException.quoted(tree) + ": ")
            + reason,
        cause);
    this.file = file;
    this.tree = tree;
    this.reason = reason;
  }

  /** The file. */
  public String file() {
    return file;
  }

  /**
   * The tree whose entry is wrong, as the file spells it; empty if the fault is in no single tree
   * or comes before its name.
   */
  public Optional<String> tree() {
    return Optional.ofNullable(tree);
  }

  /** What is wrong. */
  public String reason() {
    return reason;
  }
}

package io.quern.io;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** A file is not a valid safetensors file. */
public final class SafeTensorsException extends IOException {
  private static final long serialVersionUID = 1L;

  private final String file;
  private final String tensor;
  private final String reason;

  SafeTensorsException(Path file, String tensor, String reason, Throwable cause) {
    super(file + ": " + (tensor == null ? "" : "tensor " + quoted(tensor) + ": ") + reason, cause);
    this.file = file.toString();
    this.tensor = tensor;
    this.reason = reason;
  }

  /** The file. */
  public String file() {
    return file;
  }

  /**
   * The tensor whose entry is wrong, as the file spells it; empty if the fault is in no single
   * tensor.
   */
  public Optional<String> tensor() {
    return Optional.ofNullable(tensor);
  }

  /** What is wrong. */
  public String reason() {
    return reason;
  }

  /** Text from a file, fit for one line of a log: short, and without control characters. */
  static String quoted(String text) {
    StringBuilder line = new StringBuilder("'");
    text.codePoints()
        .limit(80)
        .map(c -> Character.isISOControl(c) || Character.getType(c) == Character.FORMAT ? '?' : c)
        .forEach(line::appendCodePoint);
    if (text.codePointCount(0, text.length()) > 80) {
      line.append('…');
    }
    return line.append('\'').toString();
  }
}

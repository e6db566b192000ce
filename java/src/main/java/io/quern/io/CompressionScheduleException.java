package io.quern.io;

import java.io.IOException;
import java.nio.file.Path;

/** A file is not a valid compression schedule. */
public final class CompressionScheduleException extends IOException {
  private static final long serialVersionUID = 1L;

  CompressionScheduleException(Path file, String reason, Throwable cause) {
    super(file + ": " + reason, cause);
  }
}

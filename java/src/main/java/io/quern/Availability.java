package io.quern;

/** Whether a back end can be used in this JVM, and why. */
public sealed interface Availability {
  /**
   * It can be opened.
   *
   * @param detail what was found: vector width, device name, versions
   */
  record Available(String detail) implements Availability {}

  /**
   * It cannot be opened.
   *
   * @param reason what is missing or broken, with the status or version that says so
   * @param hint what would change it
   */
  record Unavailable(String reason, String hint) implements Availability {}
}

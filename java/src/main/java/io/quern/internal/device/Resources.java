package io.quern.internal.device;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.ref.Cleaner;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Everything opened from one device. Nothing here is freed by the garbage collector; what it finds
 * is reported.
 */
public final class Resources {
  private static final Logger LOG = System.getLogger("io.quern");
  private static final Cleaner CLEANER = Cleaner.create();

  private final String device;
  private final Set<Resource> open = new LinkedHashSet<>();
  private long bytes;
  private boolean closed;

  public Resources(String device) {
    this.device = device;
  }

  /**
   * Takes a resource into account.
   *
   * @throws IllegalStateException if the device is closed; the resource is closed then
   */
  public <R extends Resource> R add(R resource) {
    synchronized (this) {
      if (!closed) {
        open.add(resource);
        bytes += resource.bytes();
        return resource;
      }
    }
    resource.close();
    throw new IllegalStateException(device + " is closed");
  }

  /**
   * Reports the resource if {@code handle}, the only way to close it, is collected while it is
   * open.
   */
  void reportIfDropped(Object handle, Resource resource) {
    CLEANER.register(
        handle,
        () -> {
          if (!resource.isClosed()) {
            report("was dropped without close()", resource);
          }
        });
  }

  synchronized void remove(Resource resource) {
    if (open.remove(resource)) {
      bytes -= resource.bytes();
    }
  }

  /** Bytes of the open resources. */
  public synchronized long bytes() {
    return bytes;
  }

  public synchronized boolean isClosed() {
    return closed;
  }

  /**
   * @throws IllegalStateException if closed
   */
  public void requireOpen() {
    if (isClosed()) {
      throw new IllegalStateException(device + " is closed");
    }
  }

  /**
   * Closes all of them: streams first, so that no work is left, then the rest, latest first. What
   * cannot be closed does not keep the others from it, and is tried again by the next call.
   *
   * @throws RuntimeException of the first that could not be closed, the others suppressed
   */
  public void close() {
    List<Resource> left;
    synchronized (this) {
      closed = true;
      left = new ArrayList<>(open);
    }
    left.forEach(resource -> report("was still open when " + device + " was closed", resource));
    List<RuntimeException> failures = new ArrayList<>();
    left.stream().filter(QueueStream.class::isInstance).forEach(each -> close(each, failures));
    left.reversed().forEach(each -> close(each, failures));
    if (!failures.isEmpty()) {
      RuntimeException first = failures.removeFirst();
      failures.forEach(first::addSuppressed);
      throw first;
    }
  }

  private static void close(Resource resource, List<RuntimeException> failures) {
    try {
      resource.close();
    } catch (RuntimeException e) {
      failures.add(e);
    }
  }

  private static void report(String how, Resource resource) {
    LOG.log(Level.WARNING, () -> resource + " " + how, resource.opened());
  }
}

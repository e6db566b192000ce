package io.quern.internal.device;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * What the buffers of all devices share: the type, the geometry of a view, and the memory behind
 * it.
 */
public abstract class TypedMemory {
  private final DType dtype;
  private final Shape shape;
  private final long rowStride;
  private final Resource memory;

  /**
   * What this is a view of, which must not be collected before it; null if this owns the memory.
   */
  private final TypedMemory parent;

  /** The buffer that owns {@code memory}. */
  protected TypedMemory(DType dtype, Shape shape, Resource memory, Resources owner) {
    this.dtype = dtype;
    this.shape = shape;
    this.rowStride = shape.last();
    this.memory = memory;
    this.parent = null;
    if (owner != null) {
      owner.reportIfDropped(this, memory);
    }
  }

  /** A view of {@code parent}. */
  protected TypedMemory(TypedMemory parent, Shape shape, long rowStride) {
    this.dtype = parent.dtype;
    this.shape = shape;
    this.rowStride = rowStride;
    this.memory = parent.memory;
    this.parent = parent;
  }

  /** The buffer's other face. */
  public static TypedMemory of(Buffer buffer) {
    return (TypedMemory) buffer;
  }

  /** Bytes of a dense array; checked against overflow. */
  public static long bytes(DType dtype, Shape shape) {
    try {
      return Math.multiplyExact(shape.size(), dtype.byteSize());
    } catch (ArithmeticException overflow) {
      throw new IllegalArgumentException(
          "%s%s has more than 2^63 - 1 bytes".formatted(dtype, shape), overflow);
    }
  }

  /** The native address of the first element, on the host or on the device. */
  public abstract long address();

  /** Whether operators of that device can use it. */
  public abstract boolean usableOn(Device device);

  /** Whether the memory may only be read. */
  public boolean isReadOnly() {
    return false;
  }

  /** What is counted while in use and closed once. */
  public final Resource memory() {
    return memory;
  }

  public final DType dtype() {
    return dtype;
  }

  public final Shape shape() {
    return shape;
  }

  public final long rowStride() {
    return rowStride;
  }

  public final boolean isDense() {
    return rowStride == shape.last() || shape.rows() <= 1;
  }

  public final boolean isClosed() {
    return memory.isClosed();
  }

  /** Closes the memory if this buffer owns it. */
  public final void close() {
    if (parent == null) {
      memory.close();
    }
  }

  /** Elements from the first to the last one, gaps included. */
  public final long span() {
    return span(shape, rowStride);
  }

  /** The same for a view yet to be made. */
  protected static long span(Shape shape, long rowStride) {
    return shape.size() == 0
        ? 0
        : Math.addExact(Math.multiplyExact(shape.rows() - 1, rowStride), shape.last());
  }

  /** Checks the geometry of a view of this buffer. */
  protected final void checkView(long first, Shape shape, long rowStride) {
    memory.requireOpen();
    boolean inside;
    try {
      inside =
          first >= 0
              && (rowStride >= shape.last() || shape.rows() <= 1)
              && Math.addExact(first, span(shape, rowStride)) <= span();
    } catch (ArithmeticException overflow) {
      inside = false;
    }
    if (!inside) {
      throw new IllegalArgumentException(
          "view %s from element %d with row stride %d does not fit into %s with row stride %d"
              .formatted(shape, first, rowStride, this.shape, this.rowStride));
    }
  }

  /** Whether an element of one is an element of the other. Rows of equal stride may interleave. */
  public static boolean overlap(TypedMemory a, TypedMemory b) {
    long spanA = a.span() * a.dtype.byteSize();
    long spanB = b.span() * b.dtype.byteSize();
    long distance = b.address() - a.address();
    if (spanA == 0 || spanB == 0 || distance >= spanA || -distance >= spanB) {
      return false;
    }
    long stride = a.rowStride * a.dtype.byteSize();
    if (stride == 0 || stride != b.rowStride * b.dtype.byteSize()) {
      return true;
    }
    long column = Math.floorMod(distance, stride);
    return column < a.shape.last() * a.dtype.byteSize()
        || column + b.shape.last() * b.dtype.byteSize() > stride;
  }

  public final void copyFrom(MemorySegment source, Stream stream) {
    QueueStream queue = QueueStream.of(stream, "copyFrom");
    checkSegment("source", source);
    if (isReadOnly()) {
      throw new IllegalArgumentException("copyFrom: the buffer is read-only");
    }
    requireUsableOn(queue.device(), "copyFrom");
    queue.begin();
    try {
      queue.hold(this);
      queue.copyIn(source, this);
    } finally {
      queue.end();
    }
  }

  public final void copyTo(MemorySegment target, Stream stream) {
    QueueStream queue = QueueStream.of(stream, "copyTo");
    checkSegment("target", target);
    if (target.isReadOnly()) {
      throw new IllegalArgumentException("copyTo: the target segment is read-only");
    }
    requireUsableOn(queue.device(), "copyTo");
    queue.begin();
    try {
      queue.hold(this);
      queue.copyOut(this, target);
    } finally {
      queue.end();
    }
  }

  public final void copyTo(Buffer target, Stream stream) {
    QueueStream queue = QueueStream.of(stream, "copyTo");
    TypedMemory to = of(Objects.requireNonNull(target, "target"));
    if (to.dtype != dtype || !to.shape.equals(shape)) {
      throw new IllegalArgumentException(
          "copyTo: target is %s%s, expected %s%s".formatted(to.dtype, to.shape, dtype, shape));
    }
    if (to.isReadOnly()) {
      throw new IllegalArgumentException("copyTo: the target is read-only");
    }
    if (overlap(this, to)) {
      throw new IllegalArgumentException("copyTo: source and target overlap");
    }
    requireUsableOn(queue.device(), "copyTo");
    to.requireUsableOn(queue.device(), "copyTo");
    queue.begin();
    try {
      queue.hold(this);
      queue.hold(to);
      queue.copy(this, to);
    } finally {
      queue.end();
    }
  }

  private void requireUsableOn(Device device, String call) {
    if (!usableOn(device)) {
      throw new IllegalArgumentException(
          "%s: %s is not memory of %s".formatted(call, this, device.name()));
    }
  }

  private void checkSegment(String operand, MemorySegment segment) {
    Objects.requireNonNull(segment, operand);
    if (segment.byteSize() != bytes(dtype, shape)) {
      throw new IllegalArgumentException(
          "%s has %d bytes, expected %d for %s%s"
              .formatted(operand, segment.byteSize(), bytes(dtype, shape), dtype, shape));
    }
  }

  @Override
  public final String toString() {
    return "%s %s%s".formatted(getClass().getSimpleName(), dtype, shape);
  }
}

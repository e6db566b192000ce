package io.quern;

import java.lang.foreign.MemorySegment;

/**
 * Typed memory that operators read and write: rows of {@code shape().last()} elements, {@link
 * #rowStride()} elements apart. A view shares the memory and the lifetime of the buffer it was made
 * from.
 *
 * <p>Using a closed buffer throws {@link IllegalStateException}; {@code close} waits for calls that
 * use the buffer in other threads.
 */
public sealed interface Buffer extends AutoCloseable
    permits HostBuffer, PinnedBuffer, DeviceBuffer {
  /** Element type. */
  DType dtype();

  /** Extents. */
  Shape shape();

  /**
   * Elements from the start of one row to the start of the next; at least {@code shape().last()}
   * where there are several.
   */
  long rowStride();

  /** Whether rows follow each other without a gap. */
  boolean isDense();

  /**
   * A view of a part: rows of {@code shape.last()} elements, {@code rowStride} apart, from element
   * {@code first} on.
   *
   * @param first the first element, counted from the start of this buffer
   * @param shape the extents of the view
   * @param rowStride elements between rows; at least {@code shape.last()} where there are several
   *     rows
   * @throws IllegalArgumentException if the view would leave this buffer
   */
  Buffer view(long first, Shape shape, long rowStride);

  /**
   * Copies dense host memory into this buffer, in stream order. The source may be reused when the
   * call returns.
   *
   * @param source exactly {@code shape().size()} elements, heap or native
   */
  void copyFrom(MemorySegment source, Stream stream);

  /**
   * Waits for the stream, copies this buffer into dense host memory and reports bad data like
   * {@link Stream#synchronize()}, after the copy.
   *
   * @param target exactly {@code shape().size()} elements, heap or native, writable
   */
  void copyTo(MemorySegment target, Stream stream);

  /**
   * Copies into a buffer of the same dtype and shape, in stream order, without waiting.
   *
   * @throws IllegalArgumentException if dtype or shape differ, or the memories overlap
   */
  void copyTo(Buffer target, Stream stream);

  /** Whether the memory was released. */
  boolean isClosed();

  /**
   * Releases the memory that this buffer owns; a view or a wrapped buffer owns none. Idempotent.
   */
  @Override
  void close();
}

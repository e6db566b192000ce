package io.quern.internal.device;

import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.HostBuffer;
import io.quern.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/** Host memory: allocated, or wrapped and left to its owner. */
public final class HostMemory extends TypedMemory implements HostBuffer {
  /** Allocations begin on a cache line, which is also the widest vector. */
  private static final long ALIGNMENT = 64;

  private static final Thread ANY_THREAD = Thread.ofPlatform().unstarted(() -> {});

  private final MemorySegment segment;

  private HostMemory(
      MemorySegment segment, DType dtype, Shape shape, Resource memory, Resources owner) {
    super(dtype, shape, memory, owner);
    this.segment = segment;
  }

  private HostMemory(HostMemory parent, MemorySegment segment, Shape shape, long rowStride) {
    super(parent, shape, rowStride);
    this.segment = segment;
  }

  /** Allocates for a device that keeps account in {@code owner}. */
  @SuppressWarnings("MustBeClosedChecker") // the arena is closed with the resource
  public static HostMemory allocate(DType dtype, Shape shape, Resources owner) {
    long bytes = bytes(dtype, shape);
    owner.requireOpen();
    Arena arena = Arena.ofShared();
    MemorySegment segment;
    try {
      MemorySegment mapped = HugePages.allocate(bytes, arena);
      segment = mapped != null ? mapped : arena.allocate(bytes, ALIGNMENT);
    } catch (OutOfMemoryError | IllegalArgumentException e) {
      arena.close();
      throw e;
    }
    Resource memory =
        new Resource(owner, "host buffer %s%s of %d bytes".formatted(dtype, shape, bytes), bytes) {
          @Override
          protected void free() {
            arena.close();
          }
        };
    return new HostMemory(segment, dtype, shape, owner.add(memory), owner);
  }

  /** See {@link HostBuffer#wrap}. */
  public static HostMemory wrap(MemorySegment segment, DType dtype, Shape shape) {
    Objects.requireNonNull(segment, "segment");
    long bytes = bytes(Objects.requireNonNull(dtype, "dtype"), shape);
    if (!segment.isNative()) {
      throw new IllegalArgumentException(
          "a heap segment cannot be wrapped: copy it into a buffer with copyFrom");
    }
    if (!segment.isAccessibleBy(ANY_THREAD)) {
      throw new IllegalArgumentException(
          "a confined segment cannot be wrapped, since a device has several threads: use a shared or automatic arena");
    }
    if (segment.byteSize() != bytes) {
      throw new IllegalArgumentException(
          "segment has %d bytes, expected %d for %s%s"
              .formatted(segment.byteSize(), bytes, dtype, shape));
    }
    if (segment.address() % dtype.byteSize() != 0) {
      throw new IllegalArgumentException(
          "segment at 0x%x is not aligned to the %d bytes of %s"
              .formatted(segment.address(), dtype.byteSize(), dtype));
    }
    Resource nothing =
        new Resource(null, "wrapped host buffer %s%s".formatted(dtype, shape), 0) {
          @Override
          protected void free() {}
        };
    return new HostMemory(plain(segment), dtype, shape, nothing, null);
  }

  /**
   * The memory of a mapped file as a segment of the class that all other native memory has, with
   * the same scope: kernels are compiled for one class.
   */
  private static MemorySegment plain(MemorySegment segment) {
    return segment.getClass() == MemorySegment.NULL.getClass()
        ? segment
        : segment.reinterpret(segment.byteSize());
  }

  @Override
  public HostBuffer view(long first, Shape shape, long rowStride) {
    checkView(first, shape, rowStride);
    long size = dtype().byteSize();
    return new HostMemory(
        this, segment.asSlice(first * size, span(shape, rowStride) * size), shape, rowStride);
  }

  @Override
  public MemorySegment segment() {
    return segment;
  }

  @Override
  public long address() {
    return segment.address();
  }

  @Override
  public boolean usableOn(Device device) {
    return device instanceof CpuDevice;
  }

  @Override
  public boolean isReadOnly() {
    return segment.isReadOnly();
  }
}

package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.HostBuffer;
import io.quern.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Host buffers with a page before and behind them that nobody may touch: who does ends the process.
 */
final class GuardedMemory implements OperandMemory, AutoCloseable {
  private static final long PAGE = 4096;
  private static final int PROT_NONE = 0;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;

  private static final MethodHandle MMAP =
      find("mmap", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle MPROTECT =
      find("mprotect", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
  private static final MethodHandle MUNMAP = find("munmap", JAVA_INT, JAVA_LONG, JAVA_LONG);

  private final boolean atEnd;
  private final Arena arena = Arena.ofShared();

  /**
   * @param atEnd whether operands end where the page behind them begins; else they begin where the
   *     one before them ends
   */
  GuardedMemory(boolean atEnd) {
    this.atEnd = atEnd;
  }

  @Override
  public Buffer allocate(DType dtype, Shape shape) {
    return HostBuffer.wrap(allocate(shape.size() * dtype.byteSize()), dtype, shape);
  }

  MemorySegment allocate(long bytes) {
    long inside = Math.ceilDiv(bytes, PAGE) * PAGE;
    long whole = inside + 2 * PAGE;
    long address = map(whole);
    MemorySegment pages =
        MemorySegment.ofAddress(address + PAGE)
            .reinterpret(inside, arena, unused -> unmap(address, whole));
    return pages.asSlice(atEnd ? inside - bytes : 0, bytes);
  }

  private static long map(long whole) {
    try {
      long address =
          (long) MMAP.invokeExact(0L, whole, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
      if (address == -1
          || (int) MPROTECT.invokeExact(address, PAGE, PROT_NONE) != 0
          || (int) MPROTECT.invokeExact(address + whole - PAGE, PAGE, PROT_NONE) != 0) {
        throw new OutOfMemoryError("cannot map " + whole + " guarded bytes");
      }
      return address;
    } catch (Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static void unmap(long address, long whole) {
    try {
      if ((int) MUNMAP.invokeExact(address, whole) != 0) {
        throw new AssertionError("munmap failed");
      }
    } catch (Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static MethodHandle find(String name, MemoryLayout result, MemoryLayout... arguments) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().findOrThrow(name), FunctionDescriptor.of(result, arguments));
  }

  @Override
  public void close() {
    arena.close();
  }
}

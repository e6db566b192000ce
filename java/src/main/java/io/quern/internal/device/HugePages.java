package io.quern.internal.device;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * Memory that the Linux kernel is asked to back with 2 MiB pages. Random rows of a large table
 * otherwise miss the TLB as often as the cache. The advice has to come before the first touch, and
 * {@link Arena#allocate} touches everything.
 */
final class HugePages {
  /** The page size of x86-64, and of aarch64 with 4 KiB base pages. */
  private static final long PAGE = 2 << 20;

  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;
  private static final int MADV_HUGEPAGE = 14;
  private static final long MAP_FAILED = -1;

  private static HugePages instance;
  private static boolean tried;

  private final MethodHandle mmap;
  private final MethodHandle madvise;
  private final MethodHandle munmap;

  private HugePages() {
    Linker linker = Linker.nativeLinker();
    SymbolLookup libc = linker.defaultLookup();
    mmap =
        linker.downcallHandle(
            libc.findOrThrow("mmap"),
            FunctionDescriptor.of(
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    madvise =
        linker.downcallHandle(
            libc.findOrThrow("madvise"),
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    munmap =
        linker.downcallHandle(
            libc.findOrThrow("munmap"), FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
  }

  /**
   * Zeroed memory of the arena, or null if it is too small to gain, or this is no Linux that lets
   * us.
   */
  static MemorySegment allocate(long bytes, Arena arena) {
    if (bytes < PAGE || bytes > Long.MAX_VALUE - PAGE) {
      return null;
    }
    HugePages pages = get();
    return pages == null ? null : pages.map(bytes, arena);
  }

  private static synchronized HugePages get() {
    if (!tried) {
      tried = true;
      if (System.getProperty("os.name").equals("Linux")) {
        try {
          instance = new HugePages();
        } catch (IllegalCallerException nativeAccessDenied) {
          instance = null;
        }
      }
    }
    return instance;
  }

  private MemorySegment map(long bytes, Arena arena) {
    long length = bytes + PAGE;
    try {
      long address =
          (long) mmap.invokeExact(0L, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
      if (address == MAP_FAILED) {
        throw new OutOfMemoryError("cannot map " + bytes + " bytes");
      }
      MemorySegment whole =
          MemorySegment.ofAddress(address).reinterpret(length, arena, this::unmap);
      // Refused advice (a kernel without transparent huge pages) leaves ordinary memory.
      int ignored = (int) madvise.invokeExact(address, length, MADV_HUGEPAGE);
      return whole.asSlice(Math.ceilDiv(address, PAGE) * PAGE - address, bytes);
    } catch (Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private void unmap(MemorySegment whole) {
    try {
      int ignored = (int) munmap.invokeExact(whole.address(), whole.byteSize());
    } catch (Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}

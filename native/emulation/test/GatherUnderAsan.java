import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * Gathers two rows from Java into an output that holds {@code argument 1} rows: with 2 all is well,
 * with 1 the kernel writes out of bounds, which AddressSanitizer has to see from inside a JVM.
 * Argument 0 is libquern_emulated.so, built with AddressSanitizer.
 */
final class GatherUnderAsan {
  private static final int DIM = 4;
  private static final int ROWS = 2;
  // quern_embedding_gather_desc: six int32, four int64, 32 tables of three 8-byte members
  private static final int DESC_BYTES = 24 + 32 + 32 * 24;
  private static final int I32 = 8;
  private static final int POLICY_ZERO = 1;

  private GatherUnderAsan() {}

  public static void main(String[] arguments) throws Throwable {
    SymbolLookup library = SymbolLookup.libraryLookup(Path.of(arguments[0]), Arena.global());
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle allocate = handle(library, "cudaMalloc", ADDRESS, JAVA_LONG);
      MethodHandle copy =
          handle(library, "cudaMemcpyAsync", ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, ADDRESS);
      MethodHandle gather =
          handle(
              library, "quern_embedding_gather", ADDRESS, JAVA_INT, ADDRESS, ADDRESS, ADDRESS,
              ADDRESS, ADDRESS, JAVA_LONG, ADDRESS);
      MemorySegment values = arena.allocateFrom(JAVA_FLOAT, 1, 2, 3, 4, 5, 6, 7, 8);
      MemorySegment numbers = arena.allocateFrom(JAVA_INT, 1, 0);
      MemorySegment table = device(arena, allocate, values.byteSize());
      MemorySegment ids = device(arena, allocate, numbers.byteSize());
      MemorySegment out = device(arena, allocate, Integer.parseInt(arguments[1]) * DIM * 4L);
      MemorySegment none = MemorySegment.NULL;
      check((int) copy.invokeExact(table, values, values.byteSize(), 1, none));
      check((int) copy.invokeExact(ids, numbers, numbers.byteSize(), 1, none));

      MemorySegment desc = arena.allocate(DESC_BYTES, 8);
      int[] head = {DESC_BYTES, 0, 0, I32, POLICY_ZERO, 1};
      MemorySegment.copy(head, 0, desc, JAVA_INT, 0, head.length);
      long[] rest = {DIM, ROWS, DIM, 0, table.address(), ROWS, DIM};
      MemorySegment.copy(rest, 0, desc, JAVA_LONG, 24, rest.length);
      check((int) gather.invokeExact(desc, 0, ids, none, out, none, none, 0L, none));

      MemorySegment result = arena.allocate(values.byteSize(), 4);
      check((int) copy.invokeExact(result, out, result.byteSize(), 2, none));
      System.out.println(
          "gathered " + result.get(JAVA_FLOAT, 0) + " and " + result.get(JAVA_FLOAT, 16));
    }
  }

  private static MethodHandle handle(SymbolLookup library, String name, MemoryLayout... types) {
    return Linker.nativeLinker()
        .downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(JAVA_INT, types));
  }

  private static MemorySegment device(Arena arena, MethodHandle allocate, long bytes)
      throws Throwable {
    MemorySegment address = arena.allocate(ADDRESS);
    check((int) allocate.invokeExact(address, bytes));
    return address.get(ADDRESS, 0);
  }

  private static void check(int status) {
    if (status != 0) {
      throw new IllegalStateException("status " + status);
    }
  }
}

package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.InvalidDataException;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A case whose operands are in a device's memory, to be run as often as one likes. */
public abstract class PreparedCase implements AutoCloseable {
  /** Views begin at this element of their memory. */
  private static final long FIRST = 3;

  /** Elements between two rows of a view. */
  private static final long GAP = 5;

  /**
   * Poison bytes are 0x50 to 0x5f: finite in every dtype, and not a value that a case would
   * compute.
   */
  private static final int POISON = 0x50;

  private final Stream stream;
  private final OperandMemory memory;
  private final boolean strided;
  private final List<Buffer> owned = new ArrayList<>();
  private final List<Input> inputs = new ArrayList<>();
  private final List<Output> outputs = new ArrayList<>();

  private record Input(String operand, Buffer buffer, byte[] bytes) {}

  /**
   * @param before the output's memory before a run, or null for poison
   */
  private record Output(String operand, Buffer memory, byte[] before) {
    int bytes() {
      return Math.toIntExact(memory.shape().size() * memory.dtype().byteSize());
    }
  }

  PreparedCase(Stream stream, OperandMemory memory, boolean strided) {
    this.stream = stream;
    this.memory = memory;
    this.strided = strided;
  }

  /** Calls the operator. */
  public abstract void run();

  /** Replaces the ids by others of the same distribution, where time depends on them. */
  public void redrawIds(long seed) {}

  /** The stream that {@link #run} uses. */
  public final Stream stream() {
    return stream;
  }

  /** Poisons the outputs, runs, and reads the outputs and the fault back. */
  public final Outcome outcome() {
    poison();
    InvalidDataException fault = null;
    try {
      run();
    } catch (InvalidDataException reported) {
      fault = reported;
    }
    return read(fault);
  }

  /**
   * Fills the outputs' memory, gaps included, with bytes that no kernel would write; what is
   * updated in place gets back its first contents.
   */
  public final void poison() {
    for (Output output : outputs) {
      byte[] bytes = output.before == null ? poison(output.bytes()) : output.before;
      output.memory.copyFrom(MemorySegment.ofArray(bytes), stream);
    }
  }

  /** What {@link #poison()} writes. */
  static byte[] poison(long size) {
    byte[] poison = new byte[Math.toIntExact(size)];
    for (int i = 0; i < poison.length; i++) {
      poison[i] = (byte) (POISON | i * 7 & 15);
    }
    return poison;
  }

  /**
   * Waits and reads the outputs' memory.
   *
   * @param fault what the call itself reported, or null
   */
  public final Outcome read(InvalidDataException fault) {
    List<Outcome.Output> read = new ArrayList<>();
    InvalidDataException first = fault;
    for (Output output : outputs) {
      byte[] bytes = new byte[output.bytes()];
      try {
        output.memory.copyTo(MemorySegment.ofArray(bytes), stream);
      } catch (InvalidDataException reported) {
        if (first != null) {
          throw new AssertionError("reported twice: " + first, reported);
        }
        first = reported;
      }
      read.add(new Outcome.Output(output.operand, output.memory.dtype(), bytes));
    }
    return new Outcome(read, first);
  }

  /** The name of an input that a run has changed, or null. */
  public final String changedInput() {
    for (Input input : inputs) {
      byte[] now = new byte[input.bytes.length];
      input.buffer.copyTo(MemorySegment.ofArray(now), stream);
      if (!Arrays.equals(now, input.bytes)) {
        return input.operand;
      }
    }
    return null;
  }

  /** A table or fallback. */
  final Buffer matrix(String operand, RandomRows rows) {
    Buffer root = allocate(rows.dtype(), rows.shape());
    Buffer buffer = strided ? view(root, rows.shape()) : root;
    rows.copyTo(buffer, stream);
    long bytes = rows.shape().size() * rows.dtype().byteSize();
    if (bytes <= 1 << 20) {
      byte[] now = new byte[(int) bytes];
      buffer.copyTo(MemorySegment.ofArray(now), stream);
      inputs.add(new Input(operand, buffer, now));
    }
    return buffer;
  }

  /** Rows of given elements. */
  final Buffer matrix(String operand, DType dtype, Shape shape, byte[] bytes) {
    Buffer root = allocate(dtype, shape);
    Buffer buffer = strided ? view(root, shape) : root;
    buffer.copyFrom(MemorySegment.ofArray(bytes), stream);
    inputs.add(new Input(operand, buffer, bytes));
    return buffer;
  }

  /** Ids, table ids or offsets; always dense. */
  final Buffer indices(String operand, DType dtype, Shape shape, long[] values) {
    return input(operand, dtype, shape, packed(dtype, values));
  }

  /** Weights, as bits of F32. */
  final Buffer weights(int[] bits) {
    byte[] bytes = new byte[bits.length * Float.BYTES];
    MemorySegment.copy(bits, 0, MemorySegment.ofArray(bytes), JAVA_INT_UNALIGNED, 0, bits.length);
    return input("weights", DType.F32, Shape.of(bits.length), bytes);
  }

  /** Values of tokens, such as sizes; always dense. */
  final Buffer perToken(String operand, Shape shape, float[] values) {
    byte[] bytes = new byte[values.length * Float.BYTES];
    MemorySegment.ofArray(bytes).copyFrom(MemorySegment.ofArray(values));
    return input(operand, DType.F32, shape, bytes);
  }

  /** An input of any dtype; always dense. */
  final Buffer input(String operand, DType dtype, Shape shape, byte[] bytes) {
    Buffer buffer = allocateDense(dtype, shape);
    buffer.copyFrom(MemorySegment.ofArray(bytes), stream);
    inputs.add(new Input(operand, buffer, bytes));
    return buffer;
  }

  /** Writes other values into what {@link #indices} made. */
  final void replace(Buffer indices, long[] values) {
    byte[] bytes = packed(indices.dtype(), values);
    indices.copyFrom(MemorySegment.ofArray(bytes), stream);
    inputs.replaceAll(
        input -> input.buffer == indices ? new Input(input.operand, indices, bytes) : input);
  }

  /** The output {@code out}; a view where the case is strided. */
  final Buffer output(DType dtype, Shape shape) {
    return output("out", dtype, shape);
  }

  /** One of several outputs; a view where the case is strided. */
  final Buffer output(String operand, DType dtype, Shape shape) {
    Buffer memory = allocate(dtype, shape);
    outputs.add(new Output(operand, memory, null));
    return strided ? view(memory, shape) : memory;
  }

  /** An output that is always dense. */
  final Buffer denseOutput(String operand, DType dtype, Shape shape) {
    Buffer memory = allocateDense(dtype, shape);
    outputs.add(new Output(operand, memory, null));
    return memory;
  }

  /** What a run reads and writes; dense, and the same before each run. */
  final Buffer updated(String operand, DType dtype, Shape shape, byte[] before) {
    Buffer memory = allocateDense(dtype, shape);
    outputs.add(new Output(operand, memory, before));
    return memory;
  }

  /** Memory of {@link #elements} as a matrix; a view with gaps where the case is strided. */
  final Buffer rows(Buffer memory, Shape shape) {
    return strided ? view(memory, shape) : memory.view(0, shape, shape.last());
  }

  /** Flags; always dense. */
  final Buffer flags(String operand, boolean[] flags) {
    byte[] bytes = new byte[flags.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) (flags[i] ? 1 : 0);
    }
    return input(operand, DType.BOOL, Shape.of(bytes.length), bytes);
  }

  /** Scratch, of which nothing is expected. */
  final Buffer workspace(long bytes) {
    return scratch(DType.U8, Shape.of(bytes));
  }

  /** Scratch of another dtype. */
  final Buffer scratch(DType dtype, Shape shape) {
    return allocateDense(dtype, shape);
  }

  private Buffer allocateDense(DType dtype, Shape shape) {
    Buffer buffer = memory.allocate(dtype, shape);
    owned.add(buffer);
    return buffer;
  }

  /** Memory for a matrix: what a view of it needs, to the element, where the case is strided. */
  private Buffer allocate(DType dtype, Shape shape) {
    return allocateDense(dtype, strided ? Shape.of(FIRST + elements(shape, stride(shape))) : shape);
  }

  private static Buffer view(Buffer root, Shape shape) {
    return root.view(FIRST, shape, stride(shape));
  }

  private static long stride(Shape shape) {
    return shape.last() + GAP;
  }

  /** Which element of {@link Outcome} is in that row and column of the output. */
  static long position(boolean strided, long row, long column, long dim) {
    return strided ? FIRST + row * (dim + GAP) + column : row * dim + column;
  }

  /** Elements of the output's memory. */
  static long elements(boolean strided, Shape shape) {
    return strided ? FIRST + elements(shape, stride(shape)) : shape.size();
  }

  private static long elements(Shape shape, long stride) {
    return shape.size() == 0 ? 0 : (shape.rows() - 1) * stride + shape.last();
  }

  /** Integers as an operand of that dtype holds them. */
  static byte[] packed(DType dtype, long[] values) {
    byte[] bytes = new byte[values.length * dtype.byteSize()];
    MemorySegment segment = MemorySegment.ofArray(bytes);
    if (dtype == DType.I64) {
      MemorySegment.copy(values, 0, segment, JAVA_LONG_UNALIGNED, 0, values.length);
    } else if (dtype == DType.I16) {
      for (int i = 0; i < values.length; i++) {
        segment.setAtIndex(JAVA_SHORT_UNALIGNED, i, (short) values[i]);
      }
    } else {
      for (int i = 0; i < values.length; i++) {
        segment.setAtIndex(JAVA_INT_UNALIGNED, i, (int) values[i]);
      }
    }
    return bytes;
  }

  @Override
  public final void close() {
    owned.forEach(Buffer::close);
  }
}

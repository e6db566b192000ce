package io.quern.io;

import static io.quern.io.SafeTensorsException.quoted;

import io.quern.DType;
import io.quern.HostBuffer;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * An open safetensors file, memory-mapped: opening reads the header alone, pages of a tensor are
 * read when they are touched. Thread-safe.
 *
 * <p>The mapping belongs to this object. {@link #close()} unmaps it, and every buffer and segment
 * got from here becomes inaccessible: using one throws {@link IllegalStateException}. The file must
 * not be changed or shortened while it is open (the mapping would show it, or fail on access).
 *
 * <p>Format: 8 bytes header length (little-endian), the header (UTF-8 JSON), the data section; see
 * <a href="https://huggingface.co/docs/safetensors/index#format">its description</a>. Elements are
 * little-endian.
 */
public final class SafeTensors implements AutoCloseable {
  /** The longest header accepted, as in the reference implementation. */
  public static final long MAX_HEADER_BYTES = 100_000_000;

  private static final int LENGTH_BYTES = 8;

  private final Path file;
  private final SafeTensorsHeader header;
  private final Arena arena;
  private final MemorySegment data;
  private final Map<String, MemorySegment> alignedCopies = new HashMap<>();

  private SafeTensors(Path file, SafeTensorsHeader header, Arena arena, MemorySegment data) {
    this.file = file;
    this.header = header;
    this.arena = arena;
    this.data = data;
  }

  /**
   * Opens a file and checks its whole header against the size of the file. What the format leaves
   * to readers is refused: unknown fields, names given twice, ranks over 64, bytes of the data
   * section that belong to no tensor or to two.
   *
   * @param file a file of the default file system
   * @throws SafeTensorsException if it is not a valid safetensors file
   * @throws IOException if it cannot be read or mapped
   */
  public static SafeTensors open(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long size = channel.size();
      long headerBytes = headerLength(file, channel, size);
      long dataStart = LENGTH_BYTES + headerBytes;
      SafeTensorsHeader header;
      try (InputStream bytes = new Prefix(Channels.newInputStream(channel), headerBytes)) {
        // A decoder made this way reports malformed input; one made from a charset would replace
        // it.
        InputStreamReader text = new InputStreamReader(bytes, StandardCharsets.UTF_8.newDecoder());
        header = SafeTensorsHeader.parse(file, text, size - dataStart);
        Arena arena = Arena.ofShared();
        try {
          return new SafeTensors(
              file,
              header,
              arena,
              channel.map(MapMode.READ_ONLY, dataStart, size - dataStart, arena));
        } catch (Throwable failure) {
          arena.close();
          throw failure;
        }
      }
    }
  }

  private static long headerLength(Path file, FileChannel channel, long size) throws IOException {
    ByteBuffer length = ByteBuffer.allocate(LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    while (length.hasRemaining() && channel.read(length) >= 0) {}
    if (length.hasRemaining()) {
      throw new SafeTensorsException(
          file, null, "%d bytes do not hold a header length".formatted(size), null);
    }
    long headerBytes = length.getLong(0);
    if (headerBytes < 0 || headerBytes > MAX_HEADER_BYTES) {
      throw new SafeTensorsException(
          file,
          null,
          "header length is %s, more than %d"
              .formatted(Long.toUnsignedString(headerBytes), MAX_HEADER_BYTES),
          null);
    }
    if (headerBytes > size - LENGTH_BYTES) {
      throw new SafeTensorsException(
          file,
          null,
          "header length is %d, but %d bytes follow it".formatted(headerBytes, size - LENGTH_BYTES),
          null);
    }
    return headerBytes;
  }

  /** The free-form texts of the header, in file order; empty if there are none. */
  public Map<String, String> metadata() {
    return header.metadata();
  }

  /** The names of all tensors, in the order of the header. */
  public List<String> names() {
    return List.copyOf(header.tensors().keySet());
  }

  /**
   * What the header says of a tensor.
   *
   * @throws IllegalArgumentException if there is none of that name
   */
  public TensorInfo info(String name) {
    TensorInfo info = header.tensors().get(name);
    if (info == null) {
      throw new IllegalArgumentException("%s: no tensor %s".formatted(file, quoted(name)));
    }
    return info;
  }

  /**
   * A tensor's bytes in the mapping, read-only and as aligned as the file has them.
   *
   * @throws IllegalArgumentException if there is none of that name
   * @throws IllegalStateException if this file is closed
   */
  public MemorySegment segment(String name) {
    TensorInfo info = info(name);
    if (!arena.scope().isAlive()) {
      throw new IllegalStateException(file + " is closed");
    }
    return data.asSlice(info.begin(), info.byteSize());
  }

  /**
   * A tensor as a read-only buffer over the mapping, without a copy. Only if the file does not
   * align it to its element size, which {@link HostBuffer#wrap} needs, it is copied once into
   * memory that this object owns; files written by {@link SafeTensorsWriter} and by the reference
   * implementation align all tensors.
   *
   * @throws IllegalArgumentException if there is none of that name
   * @throws UnsupportedOperationException if its element type is none of {@link DType}
   * @throws IllegalStateException if this file is closed
   */
  public HostBuffer tensor(String name) {
    TensorInfo info = info(name);
    DType dtype =
        info.dtype()
            .orElseThrow(
                () ->
                    new UnsupportedOperationException(
                        "%s: tensor %s is %s, which no buffer can hold"
                            .formatted(file, quoted(name), info.dtypeName())));
    MemorySegment bytes = segment(name);
    if (bytes.address() % dtype.byteSize() != 0) {
      bytes = alignedCopy(name, bytes, dtype.byteSize());
    }
    return HostBuffer.wrap(bytes, dtype, info.shape());
  }

  private synchronized MemorySegment alignedCopy(String name, MemorySegment bytes, int alignment) {
    return alignedCopies.computeIfAbsent(
        name, absent -> arena.allocate(bytes.byteSize(), alignment).copyFrom(bytes).asReadOnly());
  }

  /**
   * Unmaps the file. Idempotent.
   *
   * @throws IllegalStateException if a call in another thread is using one of the tensors; the file
   *     stays open
   */
  @Override
  public synchronized void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  /** The first bytes of a stream: the header must not be read into the data. */
  private static final class Prefix extends InputStream {
    private final InputStream source;
    private long left;

    Prefix(InputStream source, long length) {
      this.source = source;
      this.left = length;
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
      if (left == 0) {
        return -1;
      }
      int n = source.read(target, offset, (int) Math.min(length, left));
      left -= Math.max(n, 0);
      return n;
    }
  }
}

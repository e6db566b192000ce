package io.quern.io;

import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.quern.DType;
import io.quern.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Writes safetensors files. The header lists the tensors in the order in which they were added; the
 * data section holds those with the largest elements first and begins at a multiple of 8 bytes, so
 * that every tensor is aligned and can be used from the mapping. Not thread-safe.
 */
public final class SafeTensorsWriter {
  private static final int ALIGNMENT = 8;
  private static final int CHUNK_BYTES = 1 << 20;

  private record Tensor(String name, DType dtype, Shape shape, MemorySegment data) {}

  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  /** Makes a writer of a file without tensors and texts. */
  public SafeTensorsWriter() {}

  /**
   * Adds a free-form text to the header; a second one under the same key replaces the first.
   *
   * @throws IllegalArgumentException if key or text has an unpaired surrogate, which UTF-8 cannot
   *     express
   */
  public SafeTensorsWriter metadata(String key, String text) {
    metadata.put(encodable(key), encodable(text));
    return this;
  }

  /**
   * Adds a tensor. Its memory is read when the file is written.
   *
   * @param data exactly the elements of {@code shape}, row-major and dense, heap or native
   * @throws IllegalArgumentException if the name is taken, reserved or not expressible in UTF-8, or
   *     the size of the memory is not the tensor's
   */
  public SafeTensorsWriter add(String name, DType dtype, Shape shape, MemorySegment data) {
    if (name.equals(SafeTensorsHeader.METADATA) || tensors.containsKey(name)) {
      throw new IllegalArgumentException("tensor name '%s' is taken".formatted(name));
    }
    if (shape.rank() > SafeTensorsHeader.MAX_RANK) {
      throw new IllegalArgumentException(
          "tensor '%s': rank %d is over %d"
              .formatted(name, shape.rank(), SafeTensorsHeader.MAX_RANK));
    }
    if (data.byteSize() % dtype.byteSize() != 0
        || data.byteSize() / dtype.byteSize() != shape.size()) {
      throw new IllegalArgumentException(
          "tensor '%s': %s of %s does not take %d bytes"
              .formatted(name, shape, dtype, data.byteSize()));
    }
    tensors.put(name, new Tensor(encodable(name), dtype, shape, data));
    return this;
  }

  /**
   * Writes a file: into a temporary one beside it, which then takes its place in one step. If
   * anything fails, what was there before is untouched.
   *
   * @throws IOException if it cannot be written
   */
  public void write(Path file) throws IOException {
    Path temporary =
        file.resolveSibling(
            "%s.%016x.tmp".formatted(file.getFileName(), ThreadLocalRandom.current().nextLong()));
    try {
      try (FileChannel channel =
          FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
        write(channel);
        channel.force(true);
      }
      Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  /**
   * Writes to a channel, which stays open.
   *
   * @throws IOException if the header would be longer than any reader accepts, or the channel fails
   */
  public void write(WritableByteChannel channel) throws IOException {
    List<Tensor> layout = new ArrayList<>(tensors.values());
    layout.sort(Comparator.comparingInt(tensor -> -tensor.dtype.byteSize()));
    byte[] header = header(layout);
    ByteBuffer chunk = ByteBuffer.allocateDirect(CHUNK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    drain(chunk.putLong(header.length).flip(), channel);
    drain(ByteBuffer.wrap(header), channel);
    MemorySegment chunkMemory = MemorySegment.ofBuffer(chunk.clear());
    for (Tensor tensor : layout) {
      long size = tensor.data.byteSize();
      for (long at = 0; at < size; at += CHUNK_BYTES) {
        int n = (int) Math.min(CHUNK_BYTES, size - at);
        MemorySegment.copy(tensor.data, at, chunkMemory, 0, n);
        drain(chunk.position(0).limit(n), channel);
      }
    }
  }

  private byte[] header(List<Tensor> layout) throws IOException {
    Map<String, Long> begins = new LinkedHashMap<>();
    long end = 0;
    for (Tensor tensor : layout) {
      begins.put(tensor.name, end);
      end = Math.addExact(end, tensor.data.byteSize());
    }
    ByteArrayOutputStream header = new ByteArrayOutputStream();
    try (JsonGenerator json = new JsonFactory().createGenerator(header, JsonEncoding.UTF8)) {
      json.writeStartObject();
      if (!metadata.isEmpty()) {
        json.writeObjectFieldStart(SafeTensorsHeader.METADATA);
        for (Map.Entry<String, String> text : metadata.entrySet()) {
          json.writeStringField(text.getKey(), text.getValue());
        }
        json.writeEndObject();
      }
      for (Tensor tensor : tensors.values()) {
        long begin = begins.get(tensor.name);
        json.writeObjectFieldStart(tensor.name);
        json.writeStringField("dtype", tensor.dtype.name());
        json.writeArrayFieldStart("shape");
        for (int i = 0; i < tensor.shape.rank(); i++) {
          json.writeNumber(tensor.shape.dim(i));
        }
        json.writeEndArray();
        json.writeArrayFieldStart("data_offsets");
        json.writeNumber(begin);
        json.writeNumber(begin + tensor.data.byteSize());
        json.writeEndArray();
        json.writeEndObject();
      }
      json.writeEndObject();
    }
    while (header.size() % ALIGNMENT != 0) {
      header.write(' ');
    }
    if (header.size() > SafeTensors.MAX_HEADER_BYTES) {
      throw new IOException(
          "the header takes %d bytes, more than %d"
              .formatted(header.size(), SafeTensors.MAX_HEADER_BYTES));
    }
    return header.toByteArray();
  }

  private static void drain(ByteBuffer bytes, WritableByteChannel channel) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }

  private static String encodable(String text) {
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw new IllegalArgumentException("unpaired surrogate in '%s'".formatted(text));
    }
    return text;
  }
}

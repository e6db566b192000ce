package io.quern.bench.onnx;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/**
 * What an embedding lookup needs from an ONNX file: a weight, and the Gather node that reads it.
 * Only these parts of the format are understood (field numbers are those of {@code onnx.proto3});
 * everything else is skipped.
 */
public final class OnnxModel {
  private static final int MODEL_IR_VERSION = 1;
  private static final int MODEL_GRAPH = 7;
  private static final int MODEL_OPSET_IMPORT = 8;
  private static final int GRAPH_NODE = 1;
  private static final int GRAPH_NAME = 2;
  private static final int GRAPH_INITIALIZER = 5;
  private static final int GRAPH_INPUT = 11;
  private static final int GRAPH_OUTPUT = 12;
  private static final int NODE_INPUT = 1;
  private static final int NODE_OUTPUT = 2;
  private static final int NODE_OP_TYPE = 4;
  private static final int TENSOR_DIMS = 1;
  private static final int TENSOR_DATA_TYPE = 2;
  private static final int TENSOR_NAME = 8;
  private static final int TENSOR_RAW_DATA = 9;
  private static final int VALUE_INFO_NAME = 1;
  private static final int VALUE_INFO_TYPE = 2;
  private static final int TYPE_TENSOR = 1;
  private static final int TENSOR_TYPE_ELEMENT = 1;
  private static final int OPSET_VERSION = 2;

  /** Versions that {@link #ofNode} writes: those of ONNX 1.12. */
  private static final int IR_VERSION = 8;

  private static final int OPSET = 17;

  /** {@code TensorProto.DataType.FLOAT}. */
  public static final int FLOAT = 1;

  private final List<WireField> model;
  private final List<WireField> graph;

  private OnnxModel(List<WireField> model, List<WireField> graph) {
    this.model = model;
    this.graph = graph;
  }

  /**
   * A weight of the model.
   *
   * @param name as the nodes call it
   * @param dataType a {@code TensorProto.DataType}
   * @param dims extents, outermost first
   * @param data little-endian elements, a slice of the file and aligned to nothing
   */
  public record Tensor(String name, int dataType, List<Long> dims, MemorySegment data) {}

  /**
   * A Gather node along axis 0.
   *
   * @param table name of the initializer it reads
   * @param ids name of the model's input that it takes the indices from
   * @param output name of its result
   */
  public record Gather(String table, String ids, String output) {}

  /**
   * Reads the structure of a model; the weights stay where they are.
   *
   * @throws IllegalArgumentException if these bytes are no ONNX model
   */
  public static OnnxModel read(MemorySegment file) {
    List<WireField> model = WireField.of(file);
    WireField graph = only(model, f -> f.number() == MODEL_GRAPH, "graph");
    return new OnnxModel(model, WireField.of(graph.payload()));
  }

  /**
   * A model that is one node, without weights.
   *
   * @param operator as ONNX names it: {@code Gather}
   * @param inputs the node's and the model's, in order, with their {@code TensorProto.DataType}
   * @param outputs likewise
   */
  public static byte[] ofNode(
      String operator, Map<String, Integer> inputs, Map<String, Integer> outputs) {
    WireMessage node = new WireMessage();
    inputs.keySet().forEach(name -> node.text(NODE_INPUT, name));
    outputs.keySet().forEach(name -> node.text(NODE_OUTPUT, name));
    WireMessage graph =
        new WireMessage()
            .message(GRAPH_NODE, node.text(NODE_OP_TYPE, operator))
            .text(GRAPH_NAME, operator);
    inputs.forEach((name, type) -> graph.message(GRAPH_INPUT, valueInfo(name, type)));
    outputs.forEach((name, type) -> graph.message(GRAPH_OUTPUT, valueInfo(name, type)));
    return new WireMessage()
        .number(MODEL_IR_VERSION, IR_VERSION)
        .message(MODEL_OPSET_IMPORT, new WireMessage().number(OPSET_VERSION, OPSET))
        .message(MODEL_GRAPH, graph)
        .toByteArray();
  }

  private static WireMessage valueInfo(String name, int dataType) {
    WireMessage elementType = new WireMessage().number(TENSOR_TYPE_ELEMENT, dataType);
    return new WireMessage()
        .text(VALUE_INFO_NAME, name)
        .message(VALUE_INFO_TYPE, new WireMessage().message(TYPE_TENSOR, elementType));
  }

  /**
   * The weight of that name.
   *
   * @throws IllegalArgumentException if there is none, or it is not stored as raw bytes in the file
   */
  public Tensor initializer(String name) {
    List<WireField> tensor = WireField.of(initializerField(name).payload());
    List<Long> dims =
        tensor.stream()
            .filter(f -> f.number() == TENSOR_DIMS)
            .flatMap(f -> f.numbers().stream())
            .toList();
    int dataType =
        (int) only(tensor, f -> f.number() == TENSOR_DATA_TYPE, "type of " + name).value();
    MemorySegment data =
        only(tensor, f -> f.number() == TENSOR_RAW_DATA, "raw data in " + name).payload();
    return new Tensor(name, dataType, dims, data);
  }

  /**
   * The Gather node that looks rows of this initializer up with an input of the model.
   *
   * @throws IllegalArgumentException if there is no such node, or several
   */
  public Gather gather(String table) {
    List<WireField> node = WireField.of(gatherField(table).payload());
    List<String> inputs = names(node, NODE_INPUT);
    List<String> outputs = names(node, NODE_OUTPUT);
    if (inputs.size() != 2 || outputs.size() != 1) {
      throw new IllegalArgumentException("a Gather node of %s -> %s".formatted(inputs, outputs));
    }
    return new Gather(table, inputs.get(1), outputs.getFirst());
  }

  /**
   * A model that consists of this one's Gather node, its weight and its input, byte for byte, so
   * that a runtime can be asked for the node's own result on any number of ids.
   */
  public byte[] extract(Gather gather) {
    WireMessage output = valueInfo(gather.output(), initializer(gather.table()).dataType());
    WireMessage part =
        new WireMessage()
            .copy(gatherField(gather.table()))
            .text(GRAPH_NAME, "gather")
            .copy(initializerField(gather.table()))
            .copy(only(graph, f -> isNamed(f, GRAPH_INPUT, VALUE_INFO_NAME, gather.ids()), "input"))
            .message(GRAPH_OUTPUT, output);
    return ofThisVersion(part);
  }

  /**
   * A model that is a part of this one: the nodes that the wanted tensors need if others are given.
   *
   * @param given names of tensors of floats that become inputs, where they are not inputs already
   * @param wanted names of tensors of floats
   */
  public byte[] part(List<String> given, List<String> wanted) {
    Map<String, WireField> makers = new HashMap<>();
    for (WireField field : graph) {
      if (field.number() == GRAPH_NODE) {
        names(WireField.of(field.payload()), NODE_OUTPUT).forEach(name -> makers.put(name, field));
      }
    }
    Set<String> needed = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(wanted);
    while (!open.isEmpty()) {
      String name = open.pop();
      if (needed.add(name) && !given.contains(name) && makers.containsKey(name)) {
        open.addAll(names(WireField.of(makers.get(name).payload()), NODE_INPUT));
      }
    }
    WireMessage part = new WireMessage().text(GRAPH_NAME, "part");
    for (WireField field : graph) {
      List<WireField> message =
          field.type() == WireField.LENGTH && field.number() != GRAPH_NAME
              ? WireField.of(field.payload())
              : List.of();
      boolean copied =
          switch (field.number()) {
            case GRAPH_NODE ->
                names(message, NODE_OUTPUT).stream()
                    .anyMatch(name -> needed.contains(name) && !given.contains(name));
            case GRAPH_INITIALIZER -> needed.containsAll(names(message, TENSOR_NAME));
            case GRAPH_INPUT -> needed.containsAll(names(message, VALUE_INFO_NAME));
            default -> false;
          };
      if (copied) {
        part.copy(field);
      }
    }
    given.forEach(name -> part.message(GRAPH_INPUT, valueInfo(name, FLOAT)));
    wanted.forEach(name -> part.message(GRAPH_OUTPUT, valueInfo(name, FLOAT)));
    return ofThisVersion(part);
  }

  private byte[] ofThisVersion(WireMessage graph) {
    WireMessage extracted = new WireMessage();
    model.stream()
        .filter(f -> f.number() == MODEL_IR_VERSION || f.number() == MODEL_OPSET_IMPORT)
        .forEach(extracted::copy);
    return extracted.message(MODEL_GRAPH, graph).toByteArray();
  }

  private WireField initializerField(String name) {
    return only(
        graph, f -> isNamed(f, GRAPH_INITIALIZER, TENSOR_NAME, name), "initializer called " + name);
  }

  private WireField gatherField(String table) {
    return only(
        graph,
        f -> {
          if (f.number() != GRAPH_NODE) {
            return false;
          }
          List<WireField> node = WireField.of(f.payload());
          return names(node, NODE_OP_TYPE).equals(List.of("Gather"))
              && names(node, NODE_INPUT).stream().findFirst().equals(Optional.of(table));
        },
        "Gather node that reads " + table);
  }

  private static boolean isNamed(WireField field, int number, int nameNumber, String name) {
    return field.number() == number
        && names(WireField.of(field.payload()), nameNumber).equals(List.of(name));
  }

  private static List<String> names(List<WireField> message, int number) {
    return message.stream().filter(f -> f.number() == number).map(WireField::text).toList();
  }

  private static WireField only(List<WireField> fields, Predicate<WireField> wanted, String what) {
    List<WireField> found = fields.stream().filter(wanted).toList();
    if (found.size() != 1) {
      throw new IllegalArgumentException(
          "not the expected ONNX model: %d × %s".formatted(found.size(), what));
    }
    return found.getFirst();
  }
}

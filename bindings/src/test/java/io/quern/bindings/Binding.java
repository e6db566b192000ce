package io.quern.bindings;

import java.io.IOException;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One generated package with its jextract inputs.
 *
 * @param header the class jextract generated for the header
 * @param arguments the file that lists its symbols
 * @param input the C header it was generated from
 */
record Binding(Class<?> header, Path arguments, Path input) {
  private static final Pattern INCLUDE = Pattern.compile("--include-(\\w+) (\\S+)");
  private static final Path SOURCES = Path.of("src/main/java");

  /** A C symbol; kind is jextract's word: function, constant or struct. */
  record Symbol(String kind, String name) implements Comparable<Symbol> {
    @Override
    public int compareTo(Symbol other) {
      return toString().compareTo(other.toString());
    }

    @Override
    public String toString() {
      return kind + " " + name;
    }
  }

  /** The symbols the argument file lists, sorted; anything else in it must be a comment. */
  List<Symbol> listed() throws IOException {
    return Files.readAllLines(arguments).stream()
        .filter(line -> !line.isBlank() && !line.startsWith("#"))
        .map(
            line -> {
              var match = INCLUDE.matcher(line);
              if (!match.matches()) {
                throw new AssertionError(arguments + ": not one symbol: " + line);
              }
              return new Symbol(match.group(1), match.group(2));
            })
        .sorted()
        .toList();
  }

  /** The symbols the generated code has, sorted. */
  List<Symbol> generated() throws IOException {
    List<Method> methods =
        Arrays.stream(header.getDeclaredMethods())
            .filter(method -> Modifier.isPublic(method.getModifiers()))
            .toList();
    Set<String> functions =
        methods.stream()
            .map(Method::getName)
            .filter(name -> name.endsWith("$descriptor"))
            .map(name -> name.substring(0, name.indexOf('$')))
            .collect(Collectors.toSet());
    List<Symbol> symbols = new ArrayList<>();
    for (Method method : methods) {
      String name = method.getName();
      if (!name.contains("$")) {
        symbols.add(new Symbol(functions.contains(name) ? "function" : "constant", name));
      }
    }
    Path directory = SOURCES.resolve(header.getPackageName().replace('.', '/'));
    try (Stream<Path> files = Files.list(directory)) {
      files
          .map(file -> file.getFileName().toString().replace(".java", ""))
          .filter(name -> !name.replace("$shared", "").equals(header.getSimpleName()))
          .forEach(name -> symbols.add(new Symbol("struct", name)));
    }
    symbols.sort(null);
    return symbols;
  }

  /**
   * What the generated code believes about every symbol, in the words of {@link HeaderProbe}.
   * Reading a function's descriptor looks its symbol up, so a library that has it must be loaded.
   */
  SortedMap<String, String> facts() throws IOException, ReflectiveOperationException {
    SortedMap<String, String> facts = new TreeMap<>();
    for (Symbol symbol : generated()) {
      switch (symbol.kind()) {
        case "constant" ->
            facts.put(symbol.toString(), header.getMethod(symbol.name()).invoke(null).toString());
        case "function" -> {
          var descriptor =
              (FunctionDescriptor) header.getMethod(symbol.name() + "$descriptor").invoke(null);
          facts.put(
              symbol.toString(),
              descriptor.returnLayout().map(Binding::kind).orElse("void")
                  + descriptor.argumentLayouts().stream()
                      .map(Binding::kind)
                      .collect(Collectors.joining(", ", " (", ")")));
        }
        default -> {
          Class<?> type = Class.forName(header.getPackageName() + "." + symbol.name());
          var layout = (GroupLayout) type.getMethod("layout").invoke(null);
          facts.put(
              symbol.toString(),
              layout.byteSize() + " bytes, aligned to " + layout.byteAlignment());
          for (MemoryLayout member : layout.memberLayouts()) {
            if (!(member instanceof PaddingLayout)) {
              String field = member.name().orElseThrow();
              long offset = layout.byteOffset(PathElement.groupElement(field));
              facts.put(
                  "field " + symbol.name() + "." + field, kind(member) + " at byte " + offset);
            }
          }
        }
      }
    }
    return facts;
  }

  private static String kind(MemoryLayout layout) {
    return switch (layout) {
      case AddressLayout _ -> "pointer";
      case ValueLayout.OfFloat _ -> "f4";
      case ValueLayout.OfDouble _ -> "f8";
      case ValueLayout value -> "i" + value.byteSize();
      case SequenceLayout array -> kind(array.elementLayout()) + "[" + array.elementCount() + "]";
      case GroupLayout group -> "struct of " + group.byteSize();
      case PaddingLayout _ -> throw new IllegalArgumentException("padding has no kind");
    };
  }
}

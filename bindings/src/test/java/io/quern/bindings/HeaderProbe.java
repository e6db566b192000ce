package io.quern.bindings;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Asks a C++ compiler what a C header says. C++ rather than C because its templates can name the
 * parameter types of a function; the headers mean the same in both.
 */
final class HeaderProbe {
  private static final String PRELUDE =
      """
      #include <cstddef>
      #include <cstdio>
      #include <string>
      #include <type_traits>

      template <class T>
      std::string kind() {
        if constexpr (std::is_void_v<T>) {
          return "void";
        } else if constexpr (std::is_array_v<T>) {
          return kind<std::remove_extent_t<T>>() + "[" + std::to_string(std::extent_v<T>) + "]";
        } else if constexpr (std::is_pointer_v<T>) {
          return "pointer";
        } else if constexpr (std::is_floating_point_v<T>) {
          return "f" + std::to_string(sizeof(T));
        } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
          return "i" + std::to_string(sizeof(T));
        } else {
          return "struct of " + std::to_string(sizeof(T));
        }
      }

      template <class Result, class... Parameters>
      std::string signature(Result (*)(Parameters...)) {
        std::string list;
        ((list += (list.empty() ? "" : ", ") + kind<Parameters>()), ...);
        return kind<Result>() + " (" + list + ")";
      }

      void say(const char* name, const std::string& value) { std::printf("%s=%s\\n", name, value.c_str()); }

      int main() {
      """;

  private final List<String> compiler;
  private final Path directory;

  /**
   * @param compiler the C++ compiler's command
   * @param directory where it may write; programs are run from there
   */
  HeaderProbe(List<String> compiler, Path directory) {
    this.compiler = compiler;
    this.directory = directory;
  }

  /** The compiler that CXX names, or c++. */
  static List<String> compiler() {
    String command = System.getenv("CXX");
    return command == null || command.isBlank()
        ? List.of("c++")
        : List.of(command.trim().split("\\s+"));
  }

  boolean compilerWorks() throws InterruptedException {
    try {
      compile("int main() {}", directory.resolve("trial"), List.of());
      return true;
    } catch (IOException _) {
      return false;
    }
  }

  /** The same questions as {@code asked} answers, answered by the header. */
  SortedMap<String, String> facts(Path header, List<Path> includes, Iterable<String> asked)
      throws IOException, InterruptedException {
    var source = new StringBuilder("#include \"%s\"\n".formatted(header.toAbsolutePath()));
    source.append(PRELUDE);
    for (String fact : asked) {
      int space = fact.indexOf(' ');
      String name = fact.substring(space + 1);
      source.append("  say(\"").append(fact).append("\", ");
      switch (fact.substring(0, space)) {
        case "constant" -> source.append("std::to_string((long long)(%s))".formatted(name));
        case "function" ->
            source.append("signature(static_cast<decltype(&%s)>(nullptr))".formatted(name));
        case "struct" ->
            source.append(
                "std::to_string(sizeof(%1$s)) + \" bytes, aligned to \" + std::to_string(alignof(%1$s))"
                    .formatted(name));
        case "field" -> {
          int dot = name.indexOf('.');
          source.append(
              "kind<decltype(%1$s::%2$s)>() + \" at byte \" + std::to_string(offsetof(%1$s, %2$s))"
                  .formatted(name.substring(0, dot), name.substring(dot + 1)));
        }
        default -> throw new IllegalArgumentException(fact);
      }
      source.append(");\n");
    }
    Path program = directory.resolve("probe");
    List<String> options = new ArrayList<>();
    includes.forEach(include -> options.add("-I" + include.toAbsolutePath()));
    compile(source.append("}\n").toString(), program, options);

    SortedMap<String, String> facts = new TreeMap<>();
    for (String line : run(List.of(program.toAbsolutePath().toString())).lines().toList()) {
      int equals = line.indexOf('=');
      facts.put(line.substring(0, equals), line.substring(equals + 1));
    }
    return facts;
  }

  /**
   * A shared library in which every one of these functions exists, so that bindings to them can be
   * initialised.
   */
  Path library(String name, Iterable<String> functions) throws IOException, InterruptedException {
    var source = new StringBuilder();
    functions.forEach(function -> source.append("extern \"C\" void %s() {}\n".formatted(function)));
    Path library = directory.resolve("lib" + name + ".so").toAbsolutePath();
    compile(source.toString(), library, List.of("-shared", "-fPIC"));
    return library;
  }

  private void compile(String source, Path output, List<String> options)
      throws IOException, InterruptedException {
    Path file = Files.writeString(directory.resolve(output.getFileName() + ".cpp"), source);
    List<String> command = new ArrayList<>(compiler);
    command.addAll(List.of("-std=c++17", file.toString(), "-o", output.toString()));
    command.addAll(options);
    run(command);
  }

  private static String run(List<String> command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int status = process.waitFor();
    if (status != 0) {
      throw new IOException(command + " ended with " + status + ":\n" + output);
    }
    return output;
  }
}

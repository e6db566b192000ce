package io.quern.bench;

import io.quern.Backend;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** The arguments of one command, checked against what the command declares. */
public final class Arguments {
  private final List<String> operands;
  private final Map<String, String> options;

  private Arguments(List<String> operands, Map<String, String> options) {
    this.operands = List.copyOf(operands);
    this.options = Map.copyOf(options);
  }

  /**
   * Parses what follows the command's name; {@code --name VALUE} and {@code --name=VALUE} are the
   * same, {@code --} ends the options.
   */
  public static Arguments parse(Command command, List<String> words) {
    Map<String, Option> known =
        command.options().stream().collect(Collectors.toMap(Option::name, o -> o));
    List<String> operands = new ArrayList<>();
    Map<String, String> options = new LinkedHashMap<>();
    boolean onlyOperands = false;
    for (int i = 0; i < words.size(); i++) {
      String word = words.get(i);
      if (onlyOperands || !word.startsWith("-") || word.equals("-")) {
        operands.add(word);
        continue;
      }
      if (word.equals("--")) {
        onlyOperands = true;
        continue;
      }
      int equals = word.indexOf('=');
      String name = equals < 0 ? word : word.substring(0, equals);
      Option option = known.get(name);
      if (option == null) {
        throw new BadArgumentsException(
            command.name()
                + " has no option "
                + name
                + (known.isEmpty()
                    ? ""
                    : "; it has "
                        + command.options().stream()
                            .map(Option::name)
                            .collect(Collectors.joining(", "))));
      }
      String value = "";
      if (option.takesValue()) {
        if (equals >= 0) {
          value = word.substring(equals + 1);
        } else if (i + 1 < words.size() && !words.get(i + 1).startsWith("--")) {
          value = words.get(++i);
        }
        if (value.isEmpty()) {
          throw new BadArgumentsException(name + " needs a value: " + name + " " + option.value());
        }
      } else if (equals >= 0) {
        throw new BadArgumentsException(name + " takes no value");
      }
      if (options.put(name, value) != null) {
        throw new BadArgumentsException(name + " is given twice");
      }
    }
    List<String> declared = command.operands();
    boolean open = !declared.isEmpty() && declared.getLast().endsWith(Command.AND_MORE);
    if (open ? operands.size() < declared.size() : operands.size() != declared.size()) {
      throw new BadArgumentsException(
          command.name()
              + (command.operands().isEmpty()
                  ? " takes no operands"
                  : " needs " + String.join(" ", command.operands()))
              + (operands.isEmpty() ? "" : ", not: " + String.join(" ", operands)));
    }
    return new Arguments(operands, options);
  }

  /** The operand at a position that the command declares. */
  public String operand(int index) {
    return operands.get(index);
  }

  /** All operands, of a command that takes any number. */
  public List<String> operands() {
    return operands;
  }

  public boolean has(Option option) {
    return options.containsKey(option.name());
  }

  public Optional<String> value(Option option) {
    return Optional.ofNullable(options.get(option.name()));
  }

  /** The values of a comma-separated list, empty if it is not given. */
  public List<String> list(Option option) {
    return value(option).map(text -> List.of(text.split(","))).orElse(List.of());
  }

  /** All of them as words again, but for some options. */
  public List<String> without(Option... left) {
    Set<String> names = Arrays.stream(left).map(Option::name).collect(Collectors.toSet());
    List<String> words = new ArrayList<>();
    options.forEach(
        (name, value) -> {
          if (!names.contains(name)) {
            words.add(value.isEmpty() ? name : name + "=" + value);
          }
        });
    if (!operands.isEmpty()) {
      words.add("--");
      words.addAll(operands);
    }
    return words;
  }

  /** The value as an integer in {@code [low, high]}. */
  public int integer(Option option, int fallback, int low, int high) {
    Optional<String> text = value(option);
    if (text.isEmpty()) {
      return fallback;
    }
    try {
      int value = Integer.parseInt(text.get());
      if (value >= low && value <= high) {
        return value;
      }
    } catch (NumberFormatException e) {
      // The message below says what is expected of text and number alike.
    }
    throw new BadArgumentsException(
        "%s must be a number from %d to %d, not %s"
            .formatted(option.name(), low, high, text.get()));
  }

  /** The back ends that {@link Option#BACKEND} names, or nothing if it is not given. */
  public Optional<Set<Backend>> backends() {
    return value(Option.BACKEND)
        .map(
            text ->
                Arrays.stream(text.split(","))
                    .map(Arguments::backend)
                    .collect(Collectors.toCollection(() -> EnumSet.noneOf(Backend.class))));
  }

  private static Backend backend(String id) {
    try {
      return Backend.of(id);
    } catch (IllegalArgumentException e) {
      throw new BadArgumentsException(e.getMessage());
    }
  }

  /**
   * The operators that {@link Option#OP} names, or all of them if it is not given.
   *
   * @param all every operator the command knows, by file stem: {@code embedding_gather}
   */
  public Set<String> operators(Set<String> all) {
    Optional<String> text = value(Option.OP);
    if (text.isEmpty()) {
      return all;
    }
    Set<String> chosen = Set.of(text.get().split(","));
    for (String name : chosen) {
      if (!all.contains(name)) {
        throw new BadArgumentsException(
            "no operator is called '%s'; there are %s"
                .formatted(name, all.stream().sorted().collect(Collectors.joining(", "))));
      }
    }
    return chosen;
  }
}

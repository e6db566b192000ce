package io.quern.bench;

import io.quern.UnavailableBackendException;
import io.quern.bench.measure.BenchCommand;
import io.quern.bench.report.CompareCommand;
import io.quern.bench.report.ReportCommand;
import io.quern.bench.verify.VerifyCommand;
import io.quern.bench.words.WordsCommand;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/** The command line: {@code java --add-modules jdk.incubator.vector -jar quern-bench.jar}. */
public final class Main {
  private static final String PROGRAM = "quern-bench";

  /** Commands whose code and dependencies only the Maven profile demo brings. */
  private static final List<String> OPTIONAL = List.of("demo", "speculate", "merge");

  private final List<Command> commands;
  private final Terminal terminal;

  Main(List<Command> commands, Terminal terminal) {
    this.commands = commands;
    this.terminal = terminal;
  }

  public static void main(String[] args) {
    List<Command> commands =
        new ArrayList<>(
            List.of(
                new ProbeCommand(),
                new VerifyCommand(),
                new BenchCommand(),
                new CompareCommand(),
                new ReportCommand(),
                new WordsCommand()));
    ServiceLoader.load(Command.class).forEach(commands::add);
    Outcome outcome = new Main(commands, Terminal.ofProcess()).run(List.of(args));
    System.exit(outcome.code());
  }

  Outcome run(List<String> args) {
    try {
      if (args.isEmpty()) {
        throw new BadArgumentsException("a command is needed: " + names());
      }
      String name = args.getFirst();
      if (isHelp(name)) {
        terminal.out().print(help());
        return Outcome.OK;
      }
      Command command =
          commands.stream().filter(c -> c.name().equals(name)).findFirst().orElse(null);
      if (command == null) {
        return missing(name);
      }
      List<String> rest = args.subList(1, args.size());
      if (rest.stream().anyMatch(Main::isHelp)) {
        terminal.out().print(help(command));
        return Outcome.OK;
      }
      return command.run(Arguments.parse(command, rest), terminal);
    } catch (BadArgumentsException e) {
      complain(e.getMessage() + " (see --help)");
      return Outcome.BAD_ARGUMENTS;
    } catch (UnavailableBackendException e) {
      complain(e.getMessage());
      return Outcome.UNAVAILABLE;
    } catch (IOException e) {
      complain(e.toString());
      return Outcome.FAILED;
    } catch (Exception e) {
      e.printStackTrace(terminal.err());
      return Outcome.FAILED;
    }
  }

  private Outcome missing(String name) {
    if (!OPTIONAL.contains(name)) {
      throw new BadArgumentsException("no command is called '%s': %s".formatted(name, names()));
    }
    complain("'%s' is not in this jar; 'mvn -B -ntp -Pdemo package' builds it".formatted(name));
    return Outcome.UNAVAILABLE;
  }

  private void complain(String message) {
    terminal.err().println(PROGRAM + ": " + message);
  }

  private static boolean isHelp(String word) {
    return word.equals("--help") || word.equals("-h");
  }

  private String names() {
    return commands.stream().map(Command::name).sorted().collect(Collectors.joining(", "));
  }

  private String help() {
    StringBuilder text = new StringBuilder();
    text.append("Quern's kernels, looked at from the command line.\n\n");
    text.append("  java --add-modules jdk.incubator.vector -jar ").append(PROGRAM);
    text.append(".jar COMMAND [OPTION…]\n\nCommands\n");
    for (Command command : commands) {
      text.append("  %-9s %s%n".formatted(command.name(), command.summary()));
    }
    for (String name : OPTIONAL) {
      if (commands.stream().noneMatch(c -> c.name().equals(name))) {
        text.append(
            "  %-9s not in this jar; 'mvn -B -ntp -Pdemo package' builds it%n".formatted(name));
      }
    }
    text.append("  COMMAND --help says what a command takes and shows examples\n\nExamples\n");
    for (Command command : commands) {
      text.append("  … ").append(command.examples().getFirst()).append('\n');
    }
    text.append("\nExit codes\n");
    for (Outcome outcome : Outcome.values()) {
      text.append("  %d  %s%n".formatted(outcome.code(), outcome.meaning()));
    }
    text.append(
        "\nWithout --add-modules jdk.incubator.vector everything works but the simd back end.\n");
    return text.toString();
  }

  private static String help(Command command) {
    StringBuilder text = new StringBuilder();
    text.append(command.name()).append(": ").append(command.summary()).append("\n\n  ");
    text.append(PROGRAM).append(".jar ").append(command.name());
    for (String operand : command.operands()) {
      text.append(' ').append(operand);
    }
    text.append(command.options().isEmpty() ? "\n" : " [OPTION…]\n");
    for (Option option : command.options()) {
      String head = option.takesValue() ? option.name() + " " + option.value() : option.name();
      text.append("  %-16s %s%n".formatted(head, option.description()));
    }
    text.append('\n').append(command.details().strip()).append("\n\nExamples\n");
    for (String example : command.examples()) {
      text.append("  … ").append(example).append('\n');
    }
    return text.toString();
  }
}

package io.quern.bench.report;

import java.nio.file.Path;
import java.util.List;

/** A report for people who read it among other documents; pictures are files beside it. */
final class Markdown {
  private final StringBuilder text = new StringBuilder();
  private final Path pictures;

  /**
   * @param pictures where they are, from the document's own folder
   */
  private Markdown(Path pictures) {
    this.pictures = pictures;
  }

  /**
   * The document.
   *
   * @param appendix Markdown that people wrote, or the empty string
   */
  static String of(Report report, Notes notes, List<String> files, Path pictures, String appendix) {
    Markdown markdown = new Markdown(pictures);
    markdown.write(report, notes, files);
    if (!appendix.isEmpty()) {
      markdown.text.append('\n').append(appendix.strip()).append('\n');
    }
    return markdown.text.toString();
  }

  private void write(Report report, Notes notes, List<String> files) {
    text.append("# Benchmarks\n\n");
    paragraph(
        "Made by `report` from %s; change those and make it again. %s"
            .formatted(
                String.join(", ", files.stream().map(file -> "`" + escape(file) + "`").toList()),
                Method.SUMMARY));
    for (Line refused : report.refused()) {
      paragraph(
          "**Not timed**: %s, since its contenders disagree: %s (%s)"
              .formatted(
                  escape(refused.text("id", "a case")),
                  escape(refused.text("difference", "")),
                  escape(refused.where())));
    }
    if (!report.targets().isEmpty()) {
      text.append("## Targets\n\n");
      table(Tables.targets(report));
    }
    text.append("## Losses\n\n");
    Tables.Table losses = Tables.losses(report, notes);
    if (losses.rows().isEmpty()) {
      paragraph("None was measured.");
    } else {
      table(losses);
    }
    int number = 0;
    for (Report.Machine machine : report.machines()) {
      machine(++number, machine);
    }
    text.append("## Method\n\n");
    Method.RULES.forEach(rule -> text.append("* ").append(escape(rule)).append('\n'));
  }

  private void machine(int number, Report.Machine machine) {
    text.append("## ").append(escape(machine.name())).append("\n\n");
    if (machine.unstable()) {
      paragraph("Rooflines changed during a run here: its figures are context, not evidence.");
    }
    if (!machine.runs().isEmpty()) {
      table(Tables.rooflines(machine));
    }
    for (Report.Operator operator : machine.operators()) {
      text.append("### ").append(escape(operator.name())).append("\n\n");
      for (Picture picture : Picture.of(number, machine, operator)) {
        text.append("![%s](%s)\n".formatted(escape(picture.caption()), link(picture.file())));
      }
      text.append('\n');
      table(Tables.figures(operator));
    }
    text.append("### Environment\n\n");
    table(Tables.environment(machine));
  }

  private String link(String file) {
    return pictures.resolve(file).toString().replace('\\', '/');
  }

  private void paragraph(String line) {
    text.append(line).append("\n\n");
  }

  private void table(Tables.Table table) {
    row(table.head());
    row(table.head().stream().map(name -> "---").toList());
    table.rows().forEach(this::row);
    text.append('\n');
  }

  private void row(List<String> cells) {
    text.append('|');
    for (String cell : cells) {
      text.append(' ').append(escape(cell)).append(" |");
    }
    text.append('\n');
  }

  /** Nothing of a text is taken for Markdown or HTML. */
  private static String escape(String text) {
    return Svg.escape(text.replace("\n", "; "))
        .replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replaceAll("([\\\\`*_\\[\\]|~#])", "\\\\$1");
  }
}

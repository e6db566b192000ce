package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Makes a page, pictures and a Markdown document of result files. */
public final class ReportCommand implements Command {
  private static final Option OUT =
      new Option("--out", "DIR", "where index.html, report.md and the pictures go; needed");
  private static final Option MARKDOWN =
      new Option("--markdown", "FILE", "where the Markdown form goes instead");
  private static final Option NOTES =
      new Option("--notes", "FILE", "targets and reasons of losses, as JSON lines");
  private static final Option APPENDIX =
      new Option("--appendix", "FILE", "Markdown that goes to the end of the Markdown form");

  @Override
  public String name() {
    return "report";
  }

  @Override
  public String summary() {
    return "makes a page and a Markdown document of result files";
  }

  @Override
  public List<String> operands() {
    return List.of("RESULTS" + AND_MORE);
  }

  @Override
  public List<Option> options() {
    return List.of(OUT, MARKDOWN, NOTES, APPENDIX);
  }

  @Override
  public String details() {
    return """
    RESULTS are files that bench --json wrote, or bench/peers/torch_peers.py. The page is one file
    with everything in it: bars of speed-up with intervals and losses, time against bytes with the
    roofline, time against length, share of a copy's bandwidth against row bytes, a roofline chart
    where arithmetic bounds, tables, environment and method. Every figure names its file and line. Of several runs in
    a file the middle one is shown, of several files with the same case the last.

    Notes are lines such as
      {"schema":"quern-note/1","case":"scatter_rows/","by":"simd","against":"libtorch:index_add",
       "text":"why"}
      {"schema":"quern-target/1","what":"top-8","case":"top_k/…","by":"simd","threads":1,
       "against":"libtorch:topk","at_least":4.5,"why":"what bounds it, if it is missed"}
    where "case" of a note is the beginning of an id, and "against" of a target may be "copy" or
    "fma" for a share in percent.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("report results.jsonl --out report");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws IOException {
    Path out =
        arguments
            .value(OUT)
            .map(Path::of)
            .orElseThrow(() -> new BadArgumentsException("report needs --out DIR"));
    List<String> files = arguments.operands();
    ResultFile results = ResultFile.read(files);
    Optional<String> notesFile = arguments.value(NOTES);
    Notes notes = notesFile.isPresent() ? Notes.read(notesFile.get()) : Notes.none();
    Optional<String> appendixFile = arguments.value(APPENDIX);
    String appendix = appendixFile.isPresent() ? Files.readString(Path.of(appendixFile.get())) : "";
    Report report = Report.of(results, notes);
    Files.createDirectories(out);
    int pictures = 0;
    int number = 0;
    for (Report.Machine machine : report.machines()) {
      number++;
      for (Report.Operator operator : machine.operators()) {
        for (Picture picture : Picture.of(number, machine, operator)) {
          Files.writeString(out.resolve(picture.file()), picture.svg().toString());
          pictures++;
        }
      }
    }
    Files.writeString(out.resolve("index.html"), HtmlPage.of(report, notes, files));
    Path markdown = arguments.value(MARKDOWN).map(Path::of).orElse(out.resolve("report.md"));
    Path from = markdown.toAbsolutePath().getParent();
    Files.writeString(
        markdown,
        Markdown.of(report, notes, files, from.relativize(out.toAbsolutePath()), appendix));
    terminal
        .out()
        .println(
            "%s, %s and %d pictures of %d figures"
                .formatted(
                    out.resolve("index.html"), markdown, pictures, results.figures().size()));
    return Outcome.OK;
  }
}

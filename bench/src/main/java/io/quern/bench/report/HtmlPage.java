package io.quern.bench.report;

import java.util.List;

/** A report as one page that needs nothing else; tables become cards where the screen is narrow. */
final class HtmlPage {
  private static final String STYLE =
      """
      :root{color-scheme:light}
      *{box-sizing:border-box}
      body{margin:0 auto;padding:12px 16px 48px;max-width:1240px;font:16px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff}
      h1{font-size:1.6rem;line-height:1.2;margin:.6rem 0}
      h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-bottom:2px solid #0072b2;overflow-wrap:anywhere}
      h3{font-size:1.1rem;margin:1.8rem 0 .4rem;overflow-wrap:anywhere}
      p,li{max-width:75ch}
      nav a{display:inline-block;padding:8px 12px 8px 0;overflow-wrap:anywhere}
      a{color:#005a8f}
      .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,390px),1fr));gap:16px;align-items:start}
      figure{margin:0;padding:8px;border:1px solid #dcdcdc;border-radius:6px}
      figcaption{font-weight:600;font-size:.95rem;margin-bottom:4px;overflow-wrap:anywhere}
      svg{display:block;width:100%;height:auto}
      .scroll{overflow-x:auto;margin:.8rem 0}
      table{border-collapse:collapse;font-size:.85rem;width:100%}
      th,td{text-align:left;vertical-align:top;padding:5px 9px;border-bottom:1px solid #dcdcdc;white-space:pre-line;overflow-wrap:anywhere}
      th{background:#eef4f8;overflow-wrap:normal}
      td{font-variant-numeric:tabular-nums;min-width:4.5em}
      @media(min-width:701px){td{overflow-wrap:break-word}td:first-child{min-width:12em}}
      .warn{background:#fff1e6;border-left:5px solid #d55e00;padding:8px 12px}
      @media(max-width:700px){
      body{padding:8px 8px 40px}
      figure{padding:8px 2px}
      figcaption{padding:0 6px}
      thead{position:absolute;left:-9999px}
      table,tbody,tr,td{display:block;width:100%}
      tr{border:1px solid #c8c8c8;border-radius:6px;margin:0 0 10px;padding:4px 8px}
      td{border:0;padding:2px 0;min-width:0}
      td:empty{display:none}
      td::before{content:attr(data-name);font-weight:600;margin-right:.6em;color:#444}
      td:first-child{font-weight:600;font-size:.95rem}
      td:first-child::before{display:none}
      }
      """;

  private final StringBuilder html = new StringBuilder();

  static String of(Report report, Notes notes, List<String> files) {
    HtmlPage page = new HtmlPage();
    page.write(report, notes, files);
    return page.html.toString();
  }

  private void write(Report report, Notes notes, List<String> files) {
    html.append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.append("<title>Quern: benchmarks</title>\n<style>\n").append(STYLE);
    html.append("</style>\n</head>\n<body>\n<h1>Quern: benchmarks</h1>\n");
    paragraph("Made from " + String.join(", ", files) + ". " + Method.SUMMARY);
    for (Line refused : report.refused()) {
      warning(
          "%s was not timed, since its contenders disagree: %s (%s)"
              .formatted(
                  refused.text("id", "a case"), refused.text("difference", ""), refused.where()));
    }
    navigation(report);
    if (!report.targets().isEmpty()) {
      heading(2, "targets", "Targets");
      table(Tables.targets(report));
    }
    heading(2, "losses", "Losses");
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
    heading(2, "method", "Method");
    html.append("<ul>\n");
    Method.RULES.forEach(rule -> html.append("<li>").append(Svg.escape(rule)).append("</li>\n"));
    html.append("</ul>\n</body>\n</html>\n");
  }

  private void navigation(Report report) {
    html.append("<nav>\n");
    if (!report.targets().isEmpty()) {
      link("targets", "Targets");
    }
    link("losses", "Losses");
    int number = 0;
    for (Report.Machine machine : report.machines()) {
      number++;
      link("m" + number, machine.name());
      for (int i = 0; i < machine.operators().size(); i++) {
        link("m%d-%d".formatted(number, i), machine.operators().get(i).name());
      }
    }
    link("method", "Method");
    html.append("</nav>\n");
  }

  private void machine(int number, Report.Machine machine) {
    heading(2, "m" + number, machine.name());
    if (machine.unstable()) {
      warning("Rooflines changed during a run here: its figures are context, not evidence.");
    }
    if (!machine.runs().isEmpty()) {
      table(Tables.rooflines(machine));
    }
    for (int i = 0; i < machine.operators().size(); i++) {
      Report.Operator operator = machine.operators().get(i);
      heading(3, "m%d-%d".formatted(number, i), operator.name());
      html.append("<div class=\"pictures\">\n");
      for (Picture picture : Picture.of(number, machine, operator)) {
        html.append("<figure>\n<figcaption>").append(Svg.escape(picture.caption()));
        html.append("</figcaption>\n").append(picture.svg()).append("</figure>\n");
      }
      html.append("</div>\n");
      table(Tables.figures(operator));
    }
    heading(3, "m%d-environment".formatted(number), "Environment");
    table(Tables.environment(machine));
  }

  private void heading(int level, String id, String text) {
    html.append("<h%d id=\"%s\">".formatted(level, id)).append(Svg.escape(text));
    html.append("</h%d>\n".formatted(level));
  }

  private void link(String id, String text) {
    html.append("<a href=\"#").append(id).append("\">").append(Svg.escape(text)).append("</a>\n");
  }

  private void paragraph(String text) {
    html.append("<p>").append(Svg.escape(text)).append("</p>\n");
  }

  private void warning(String text) {
    html.append("<p class=\"warn\">").append(Svg.escape(text)).append("</p>\n");
  }

  private void table(Tables.Table table) {
    html.append("<div class=\"scroll\"><table>\n<thead><tr>");
    table.head().forEach(name -> html.append("<th>").append(breakable(name)).append("</th>"));
    html.append("</tr></thead>\n<tbody>\n");
    for (List<String> row : table.rows()) {
      html.append("<tr>");
      for (int i = 0; i < row.size(); i++) {
        html.append("<td data-name=\"").append(Svg.escape(table.head().get(i))).append("\">");
        html.append(breakable(row.get(i))).append("</td>");
      }
      html.append("</tr>\n");
    }
    html.append("</tbody></table></div>\n");
  }

  /** Names may be broken after a colon or an underscore: {@code libtorch:index_select}. */
  private static String breakable(String text) {
    return Svg.escape(text).replaceAll("[:_](?=\\p{Alpha})", "$0<wbr>");
  }
}

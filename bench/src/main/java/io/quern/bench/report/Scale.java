package io.quern.bench.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A logarithmic axis.
 *
 * @param low value at {@code from}, positive
 * @param high value at {@code to}, greater
 */
record Scale(double low, double high, double from, double to) {
  private static final String[] UNITS = {"n", "µ", "m", "", "k", "M", "G", "T", "P"};

  /** An axis that shows all values, from a power of the base to another. */
  static Scale around(List<Double> values, double base, double from, double to) {
    double least = values.stream().mapToDouble(d -> d).min().orElse(1);
    double most = values.stream().mapToDouble(d -> d).max().orElse(base);
    double low = Math.pow(base, Math.floor(Math.log(least) / Math.log(base) + 1e-9));
    double high = Math.pow(base, Math.ceil(Math.log(most) / Math.log(base) - 1e-9));
    return new Scale(low, high > low ? high : low * base, from, to);
  }

  double at(double value) {
    double share = Math.log(value / low) / Math.log(high / low);
    return from + Math.clamp(share, 0, 1) * (to - from);
  }

  /** 1, 10, 100; with 2 and 5 between them where there are few. */
  List<Double> ticks() {
    int decades = (int) Math.round(Math.log10(high / low));
    int step = Math.max(1, Math.ceilDiv(decades, 5));
    List<Double> ticks = new ArrayList<>();
    int first = (int) Math.floor(Math.log10(low) + 1e-9);
    for (int decade = first; Math.pow(10, decade) <= high * 1.000001; decade += step) {
      for (int digit : decades <= 2 ? new int[] {1, 2, 5} : new int[] {1}) {
        double tick = digit * Math.pow(10, decade);
        if (tick >= low * 0.999999 && tick <= high * 1.000001) {
          ticks.add(tick);
        }
      }
    }
    return ticks;
  }

  /** 1500 as 1.5k. */
  static String compact(double value) {
    int unit = 3;
    double shown = value;
    while (shown >= 1000 && unit < UNITS.length - 1) {
      shown /= 1000;
      unit++;
    }
    while (shown < 1 && shown > 0 && unit > 0 && value < 0.01) {
      shown *= 1000;
      unit--;
    }
    return significant(shown) + UNITS[unit];
  }

  /** Three significant digits, without zeros that say nothing. */
  static String significant(double value) {
    if (value == 0) {
      return "0";
    }
    int digits = Math.clamp(2 - (long) Math.floor(Math.log10(Math.abs(value))), 0, 6);
    String text = String.format(Locale.ROOT, "%." + digits + "f", value);
    return text.contains(".") ? text.replaceAll("0+$", "").replaceAll("\\.$", "") : text;
  }
}

package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.MisuseCall.Operand;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;

/** The calls of {@link KvCompaction} that are tested. */
public final class KvCompactionCases {
  private KvCompactionCases() {}

  /**
   * A call.
   *
   * @param caches how many buffers there are
   * @param outer planes of each, before requests and heads
   * @param rows of the cache: of a request if contiguous, else of all
   * @param width of the paths
   * @param nodes of each request's tree
   * @param bad whether requests are spoiled here and there
   * @param reports whether freed and evicted are asked for
   */
  public record Case(
      String id,
      KvCompaction.Spec spec,
      int requests,
      int caches,
      int outer,
      int rows,
      int width,
      List<Integer> nodes,
      boolean strided,
      boolean bad,
      boolean reports,
      long seed)
      implements OperatorCase {
    public Case {
      nodes = List.copyOf(nodes);
    }

    private boolean paged() {
      return spec.addressing() != CacheAddressing.CONTIGUOUS;
    }

    private boolean table() {
      return spec.addressing() == CacheAddressing.TABLE;
    }

    private Shape cacheShape() {
      if (paged()) {
        return outer == 1 ? Shape.of(rows, spec.dim()) : Shape.of(outer, rows, spec.dim());
      }
      return outer == 1
          ? Shape.of(requests, spec.heads(), rows, spec.dim())
          : Shape.of(outer, requests, spec.heads(), rows, spec.dim());
    }

    private byte[] before(int cache) {
      long elements = PreparedCase.elements(strided, cacheShape());
      byte[] bytes = new byte[Math.toIntExact(elements * spec.dtype().byteSize())];
      new SplittableRandom(seed * 31 + cache).nextBytes(bytes);
      return bytes;
    }

    private Inputs inputs() {
      return new Inputs(this);
    }

    @Override
    public Outcome expected() {
      return new Reference(this, inputs()).outcome();
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "compaction %s %s requests %d caches %d x %d rows %d width %d nodes %s%s%s seed %d"
          .formatted(
              id,
              spec,
              requests,
              caches,
              outer,
              rows,
              width,
              nodes,
              strided ? " strided" : "",
              bad ? " bad" : "",
              seed);
    }
  }

  /** What a case reads. */
  private static final class Inputs {
    private static final int LEAST_COLUMNS = 40;

    final long[] path;
    final long[] counts;
    final long[] lengths;
    final long[] offsets;
    final long[] tableRows;
    final long[] slots;
    final int columns; // of a table of slots
    private final Case of;
    private final SplittableRandom random;

    Inputs(Case of) {
      this.of = of;
      this.random = new SplittableRandom(of.seed);
      path = new long[of.requests * of.width];
      counts = new long[of.requests];
      lengths = new long[of.requests];
      offsets = new long[of.requests + 1];
      tableRows = new long[of.requests];
      columns = of.table() ? Math.max(LEAST_COLUMNS, of.rows / (of.requests + 1)) : 0;
      for (int b = 0; b < of.requests; b++) {
        draw(b);
      }
      long[] all = shuffled(of.rows);
      int total = (int) offsets[of.requests];
      slots =
          of.table()
              ? Arrays.copyOf(all, (of.requests + 1) * columns)
              : of.paged() ? Arrays.copyOf(all, total) : new long[0];
      for (int b = 0; b < of.requests && of.bad; b++) {
        spoil(b);
      }
    }

    private void draw(int b) {
      int n = of.nodes.get(b % of.nodes.size());
      offsets[b + 1] = offsets[b] + n;
      tableRows[b] = of.requests - b; // row 0 is nobody's
      int space = of.table() ? columns : of.paged() ? 1000 : of.rows;
      lengths[b] = random.nextInt(Math.max(1, space - n + 1));
      TreeSet<Integer> nodes = new TreeSet<>(Set.of(0));
      int most = Math.min(n, of.width);
      for (int k = random.nextInt(Math.max(1, most)); k > 0; k--) {
        nodes.add(random.nextInt(n));
      }
      Arrays.fill(path, b * of.width, (b + 1) * of.width, -1);
      int j = 0;
      for (int node : nodes) {
        if (j < of.width) {
          path[b * of.width + j++] = n == 0 ? -1 : node;
        }
      }
      counts[b] = Math.max(0, j - 1);
    }

    private long[] shuffled(int rows) {
      long[] all = new long[rows];
      for (int i = 0; i < rows; i++) {
        int k = random.nextInt(i + 1);
        all[i] = all[k];
        all[k] = i;
      }
      return all;
    }

    private void spoil(int b) {
      int at = b * of.width;
      switch (random.nextInt(14)) {
        case 0 -> counts[b] = -1;
        case 1 -> counts[b] = of.width;
        case 2 -> lengths[b] = -1;
        case 3 -> lengths[b] = Integer.MAX_VALUE;
        case 4 -> path[at] = -1;
        case 5 -> path[at + (int) counts[b]] = Integer.MAX_VALUE;
        case 6 -> path[at + (int) counts[b]] = of.nodes.get(b % of.nodes.size());
        case 7 -> path[at + (int) counts[b] / 2] = -2;
        case 8 -> path[at] = 7;
        case 9 -> offsets[b] += random.nextInt(9) - 4;
        case 10 -> tableRows[b] = random.nextBoolean() ? -1 : of.requests + 1;
        case 11 -> lengths[b] = of.rows - 2;
        case 12 -> {
          if (slots.length > 0) {
            slots[random.nextInt(slots.length)] = random.nextBoolean() ? -1 : of.rows;
          }
        }
        default -> {}
      }
    }
  }

  /** The documentation once more, without any back end's code. */
  private static final class Reference {
    private final Case of;
    private final Inputs in;
    private final byte[][] caches;
    private final int[] newLengths;
    private final int[] status;
    private final int[] freedCounts;
    private final byte[] freed;
    private final byte[] evicted;

    Reference(Case of, Inputs in) {
      this.of = of;
      this.in = in;
      caches = new byte[of.caches][];
      Arrays.setAll(caches, of::before);
      newLengths = new int[of.requests];
      status = new int[of.requests];
      freedCounts = new int[of.requests];
      int total = nodes();
      freed = PreparedCase.poison((long) total * of.spec.slots().byteSize());
      evicted = PreparedCase.poison(total);
    }

    /** Of all requests, whatever became of the offsets. */
    int nodes() {
      return of.table() ? of.nodes.isEmpty() ? 0 : totalNodes(of) : in.slots.length;
    }

    /** How many nodes the operator knows of: with a table only what it reports on says it. */
    private int known() {
      return of.table() && !of.reports ? Integer.MAX_VALUE : nodes();
    }

    Outcome outcome() {
      for (int b = 0; b < of.requests; b++) {
        compact(b);
      }
      List<Outcome.Output> outputs = new ArrayList<>();
      for (byte[] cache : caches) {
        outputs.add(new Outcome.Output("cache", of.spec.dtype(), cache));
      }
      outputs.add(new Outcome.Output("newLengths", DType.I32, ints(newLengths)));
      outputs.add(new Outcome.Output("status", DType.I32, ints(status)));
      if (of.reports) {
        outputs.add(new Outcome.Output("freed", of.spec.slots(), freed));
        outputs.add(new Outcome.Output("freedCounts", DType.I32, ints(freedCounts)));
        outputs.add(new Outcome.Output("evicted", DType.U8, evicted));
      }
      return new Outcome(outputs, null);
    }

    private void compact(int b) {
      List<Integer> path = new ArrayList<>();
      for (int j = 0; j <= Math.min(in.counts[b], of.width - 1) && of.width > 0; j++) {
        path.add((int) in.path[b * of.width + j]);
      }
      TreeStatus found = findings(b, path).iterator().next();
      status[b] = found.ordinal();
      newLengths[b] = (int) in.lengths[b];
      if (found == TreeStatus.OK) {
        newLengths[b] += path.size();
        for (int cache = 0; cache < of.caches; cache++) {
          for (int j = 0; j < path.size(); j++) {
            copy(cache, b, row(b, path.get(j)), row(b, j));
          }
        }
      }
      if (of.reports && found != TreeStatus.OFFSETS) {
        report(b, path, found == TreeStatus.OK);
      }
    }

    private EnumSet<TreeStatus> findings(int b, List<Integer> path) {
      EnumSet<TreeStatus> found = EnumSet.of(TreeStatus.OK);
      long length = in.lengths[b];
      long start = in.offsets[b];
      long n = of.paged() ? in.offsets[b + 1] - start : Integer.MAX_VALUE;
      boolean noPlace = length < 0 || (!of.paged() && of.caches > 0 && length > of.rows);
      if (of.paged()) {
        long before = Arrays.stream(in.offsets).limit(b + 1).max().getAsLong();
        noPlace |= start < 0 || n < 0 || in.offsets[b + 1] > known() || before > start;
      }
      if (of.table()) {
        noPlace |= in.tableRows[b] < 0 || in.tableRows[b] > of.requests;
      }
      if (noPlace) {
        found.add(TreeStatus.OFFSETS);
      }
      if (of.width == 0 || in.path[b * of.width] == -1) {
        found.add(TreeStatus.EMPTY);
      }
      if (in.counts[b] < 0 || in.counts[b] >= of.width) {
        found.add(TreeStatus.LINK);
      }
      for (int j = 0; j < path.size(); j++) {
        int node = path.get(j);
        if (j > 0 && node <= path.get(j - 1)) {
          found.add(TreeStatus.PARENT);
        }
        if (node < 0 || node >= n) {
          found.add(TreeStatus.LINK);
        }
      }
      if (found.size() == 1 && !fits(b, path, n)) {
        found.add(TreeStatus.CAPACITY);
      }
      if (found.size() > 1) {
        found.remove(TreeStatus.OK);
      }
      return found;
    }

    private boolean fits(int b, List<Integer> path, long n) {
      if (in.lengths[b] + path.size() > Integer.MAX_VALUE
          || (of.table() && in.lengths[b] + n > in.columns)) {
        return false;
      }
      for (int j = 0; j < path.size(); j++) {
        for (int node : new int[] {j, path.get(j)}) {
          long row = row(b, node);
          if (row < 0 || (of.caches > 0 && row >= of.rows)) {
            return false;
          }
        }
      }
      return true;
    }

    private long row(int b, int node) {
      return switch (of.spec.addressing()) {
        case CONTIGUOUS -> in.lengths[b] + node;
        case SLOTS -> in.slots[(int) in.offsets[b] + node];
        case TABLE -> in.slots[(int) (in.tableRows[b] * in.columns + in.lengths[b]) + node];
      };
    }

    private void copy(int cache, int b, long from, long to) {
      int size = of.spec.dtype().byteSize();
      int row = (int) of.spec.dim() * size;
      for (int outer = 0; outer < of.outer; outer++) {
        for (int head = 0; head < of.spec.heads(); head++) {
          long plane = of.paged() ? outer : (outer * of.requests + b) * of.spec.heads() + head;
          long source = position(plane * of.rows + from) * size;
          long target = position(plane * of.rows + to) * size;
          if (row > 0) {
            System.arraycopy(caches[cache], (int) source, caches[cache], (int) target, row);
          }
        }
      }
    }

    private long position(long row) {
      return PreparedCase.position(of.strided, row, 0, of.spec.dim());
    }

    private void report(int b, List<Integer> path, boolean good) {
      int start = (int) in.offsets[b];
      int n = (int) in.offsets[b + 1] - start;
      long page = of.spec.page();
      long length = in.lengths[b];
      int keep = n;
      if (good) {
        long end = length + path.size();
        keep = (int) (Math.min((end + page - 1) / page * page, length + n) - length);
      }
      freedCounts[b] = n - keep;
      long lastPage = (length + path.size() - 1) / page * page;
      for (int i = 0; i < n; i++) {
        long slot = keep + i < n ? row(b, keep + i) : -1;
        MemorySegment segment = MemorySegment.ofArray(freed);
        if (of.spec.slots() == DType.I64) {
          segment.setAtIndex(JAVA_LONG_UNALIGNED, start + i, slot);
        } else {
          segment.setAtIndex(JAVA_INT_UNALIGNED, start + i, (int) slot);
        }
        long position = length + i;
        boolean inLastPage = position >= lastPage && position < lastPage + page;
        evicted[start + i] = (byte) (good && !path.contains(i) && !inLastPage ? 1 : 0);
      }
    }

    private static byte[] ints(int[] values) {
      byte[] bytes = new byte[values.length * Integer.BYTES];
      MemorySegment.copy(
          values, 0, MemorySegment.ofArray(bytes), JAVA_INT_UNALIGNED, 0, values.length);
      return bytes;
    }
  }

  private static int totalNodes(Case of) {
    int total = 0;
    for (int b = 0; b < of.requests; b++) {
      total += of.nodes.get(b % of.nodes.size());
    }
    return total;
  }

  private static final class Prepared extends PreparedCase {
    private final KvCompaction plan;
    private final KvCompaction.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      Inputs in = of.inputs();
      List<Buffer> caches = new ArrayList<>();
      Shape shape = of.cacheShape();
      for (int i = 0; i < of.caches; i++) {
        Buffer flat =
            updated("cache", of.spec.dtype(), Shape.of(elements(of.strided, shape)), of.before(i));
        caches.add(rows(flat, shape));
      }
      Shape each = Shape.of(of.requests);
      Buffer path = indices("path", DType.I32, Shape.of(of.requests, of.width), in.path);
      Buffer counts = indices("counts", DType.I32, each, in.counts);
      Buffer lengths = indices("lengths", DType.I32, each, in.lengths);
      Buffer newLengths = denseOutput("newLengths", DType.I32, each);
      Buffer status = denseOutput("status", DType.I32, each);
      KvCompaction.Operands made;
      if (of.paged()) {
        Shape slots =
            of.table() ? Shape.of(of.requests + 1, in.columns) : Shape.of(in.slots.length);
        made =
            KvCompaction.Operands.paged(
                caches,
                path,
                counts,
                lengths,
                indices("slots", of.spec.slots(), slots, in.slots),
                indices("offsets", DType.I32, Shape.of(of.requests + 1), in.offsets),
                newLengths,
                status);
      } else {
        made = KvCompaction.Operands.contiguous(caches, path, counts, lengths, newLengths, status);
      }
      if (of.table()) {
        made = made.withTableRows(indices("tableRows", DType.I32, each, in.tableRows));
      }
      if (of.reports) {
        Shape nodes = Shape.of(of.table() ? totalNodes(of) : in.slots.length);
        Buffer freed = denseOutput("freed", of.spec.slots(), nodes);
        Buffer freedCounts = denseOutput("freedCounts", DType.I32, each);
        made =
            made.withFreed(freed, freedCounts).withEvicted(denseOutput("evicted", DType.U8, nodes));
      }
      operands = made;
      plan = KvCompaction.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Calls that are right. */
  static List<MisuseCall> misuses() {
    Operand perRequest = Operand.in(DType.I32, 3);
    Operand outPerRequest = Operand.out(DType.I32, 3);
    Operand path = Operand.in(DType.I32, 3, 4).ofAnyExtents();
    return List.of(
        new MisuseCall(
            "contiguous caches",
            "KvCompaction",
            MisuseCall.operands(
                "cache",
                Operand.out(DType.F16, 2, 3, 1, 5, 4).ofAnyExtents(),
                "path",
                path,
                "counts",
                perRequest,
                "lengths",
                perRequest,
                "newLengths",
                outPerRequest,
                "status",
                outPerRequest),
            device -> {
              var plan = KvCompaction.plan(device, KvCompaction.Spec.contiguous(DType.F16, 1, 4));
              return (stream, of) ->
                  plan.run(
                      stream,
                      KvCompaction.Operands.contiguous(
                          Arrays.asList(of.get("cache")),
                          of.get("path"),
                          of.get("counts"),
                          of.get("lengths"),
                          of.get("newLengths"),
                          of.get("status")));
            }),
        new MisuseCall(
            "paged caches",
            "KvCompaction",
            MisuseCall.operands(
                "cache",
                Operand.out(DType.F32, 5, 4).ofAnyExtents(),
                "path",
                path,
                "counts",
                perRequest,
                "lengths",
                perRequest,
                "slots",
                Operand.in(DType.I64, 6),
                "offsets",
                Operand.in(DType.I32, 4),
                "newLengths",
                outPerRequest,
                "status",
                outPerRequest,
                "freed",
                Operand.out(DType.I64, 6).with(MisuseCall.Missing.NEEDED),
                "freedCounts",
                outPerRequest.with(MisuseCall.Missing.NEEDED),
                "evicted",
                Operand.out(DType.U8, 6).with(MisuseCall.Missing.ALLOWED)),
            device -> {
              var plan =
                  KvCompaction.plan(
                      device,
                      KvCompaction.Spec.paged(CacheAddressing.SLOTS, DType.F32, DType.I64, 4, 2));
              return (stream, of) ->
                  plan.run(
                      stream,
                      KvCompaction.Operands.paged(
                              Arrays.asList(of.get("cache")),
                              of.get("path"),
                              of.get("counts"),
                              of.get("lengths"),
                              of.get("slots"),
                              of.get("offsets"),
                              of.get("newLengths"),
                              of.get("status"))
                          .withFreed(of.get("freed"), of.get("freedCounts"))
                          .withEvicted(of.get("evicted")));
            }),
        new MisuseCall(
            "caches by a table",
            "KvCompaction",
            MisuseCall.operands(
                "cache",
                Operand.out(DType.U8, 5, 4).ofAnyExtents(),
                "path",
                path,
                "counts",
                perRequest,
                "lengths",
                perRequest,
                "slots",
                Operand.in(DType.I32, 1, 6).ofAnyExtents(),
                "offsets",
                Operand.in(DType.I32, 4),
                "tableRows",
                perRequest.with(MisuseCall.Missing.ALLOWED),
                "newLengths",
                outPerRequest,
                "status",
                outPerRequest),
            device -> {
              var plan =
                  KvCompaction.plan(
                      device,
                      KvCompaction.Spec.paged(CacheAddressing.TABLE, DType.U8, DType.I32, 4, 1));
              return (stream, of) ->
                  plan.run(
                      stream,
                      KvCompaction.Operands.paged(
                              Arrays.asList(of.get("cache")),
                              of.get("path"),
                              of.get("counts"),
                              of.get("lengths"),
                              of.get("slots"),
                              of.get("offsets"),
                              of.get("newLengths"),
                              of.get("status"))
                          .withTableRows(of.get("tableRows")));
            }));
  }

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    DType[] dtypes = {DType.F16, DType.F32, DType.U8, DType.BF16, DType.F64};
    for (int n = 0; n < 80; n++) {
      DType dtype = dtypes[n % dtypes.length];
      long dim = new long[] {8, 1, 16, 5, 64, 3, 33}[n % 7];
      int requests = new int[] {3, 1, 9, 2}[n % 4];
      int width = new int[] {6, 1, 4, 9, 20}[n / 3 % 5];
      List<Integer> nodes = List.of(10, 4, 17, 1, 30).subList(0, 1 + n % 5);
      int most = 30 * requests;
      boolean strided = n % 3 == 1;
      boolean bad = n % 2 == 1;
      CacheAddressing addressing = CacheAddressing.values()[n % 3];
      KvCompaction.Spec spec =
          addressing == CacheAddressing.CONTIGUOUS
              ? KvCompaction.Spec.contiguous(dtype, 1 + n % 4, dim)
              : KvCompaction.Spec.paged(
                  addressing, dtype, n % 2 == 0 ? DType.I32 : DType.I64, dim, 1 + n % 5);
      int rows =
          switch (addressing) {
            case CONTIGUOUS -> 50;
            case SLOTS -> most + 11;
            case TABLE -> 45 * (requests + 1);
          };
      cases.add(
          new Case(
              "small-" + n,
              spec,
              requests,
              1 + n % 3,
              1 + n / 7 % 2,
              rows,
              width,
              nodes,
              strided,
              bad,
              n % 5 != 0 && addressing != CacheAddressing.CONTIGUOUS,
              n));
    }
    // Nothing of this or that.
    for (CacheAddressing addressing : CacheAddressing.values()) {
      for (int[] extents :
          new int[][] {
            // requests, caches, outer, rows, width, nodes, dim
            {0, 2, 1, 50, 4, 3, 8},
            {2, 0, 1, 150, 4, 3, 8},
            {2, 1, 0, 150, 4, 3, 8},
            {2, 1, 1, 150, 0, 3, 8},
            {2, 1, 1, 150, 4, 0, 8},
            {2, 1, 1, 150, 4, 3, 0}
          }) {
        cases.add(
            new Case(
                "empty-" + cases.size(),
                addressing == CacheAddressing.CONTIGUOUS
                    ? KvCompaction.Spec.contiguous(DType.F32, 2, extents[6])
                    : KvCompaction.Spec.paged(addressing, DType.F32, DType.I32, extents[6], 4),
                extents[0],
                extents[1],
                extents[2],
                extents[3],
                extents[4],
                List.of(extents[5]),
                false,
                false,
                addressing != CacheAddressing.CONTIGUOUS,
                cases.size()));
      }
    }
    // Enough that a CPU device shares it among its threads.
    for (CacheAddressing addressing : CacheAddressing.values()) {
      boolean contiguous = addressing == CacheAddressing.CONTIGUOUS;
      cases.add(
          new Case(
              "layers-" + addressing,
              contiguous
                  ? KvCompaction.Spec.contiguous(DType.F16, 4, 64)
                  : KvCompaction.Spec.paged(addressing, DType.F16, DType.I32, 256, 1),
              4,
              16,
              2,
              contiguous ? 60 : 300,
              12,
              List.of(40, 33),
              false,
              false,
              false,
              77));
    }
    return cases;
  }
}

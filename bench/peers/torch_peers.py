"""Times PyTorch on the cases of a result file, on a GPU:

    python3 torch_peers.py results.jsonl --out torch.jsonl [--device cuda|cpu] [--op LIST] [--case TEXT]
    run.sh report results.jsonl torch.jsonl --out report

Cases and their sizes are those of the lines of `results.jsonl` that bench wrote; inputs are drawn anew, of the same
shapes and distributions. Each case is timed eagerly and through torch.compile, as a CUDA event pair around queued
calls, with the index sets taken in turn. Lines have schema quern-bench/1 and the machine of the line that named the
case, so that `report` shows them beside ours; such ratios are not paired, and it says so. What a call computes is
checked first: eager calls against a plain definition in float64 where there is a short one, compiled ones against
eager. A case that disagrees is written with "verified": false and not timed.
"""

import argparse
import datetime
import json
import os
import random
import sys
import time

SETS = 16
SAMPLES = 30
SAMPLE_SECONDS = 1e-3
RESAMPLES = 2000

try:
    import torch
except ImportError:
    torch = None


class Case:
    """What one line's case needs: calls of a set number, and what they should give.

    Attributes:
        calls: functions by the name of the implementation, without "torch:" in front
        expected: a function of the set number, or None
        tolerance: (rtol, atol), or None for equal bits
        compiles: whether torch.compile is worth a try
    """

    def __init__(self, calls, expected=None, tolerance=None, compiles=True):
        self.calls = calls
        self.expected = expected
        self.tolerance = tolerance
        self.compiles = compiles


def dtype(name):
    return {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[name]


def index_sets(distribution, count, rows, device, sets=SETS):
    """Ids as IndexDistribution draws them, from another generator."""
    drawn = []
    for seed in range(sets):
        generator = torch.Generator(device=device).manual_seed(seed)
        if distribution in ("ZIPF_105", "ZIPF_115"):
            power = 1 - (1.05 if distribution == "ZIPF_105" else 1.15)
            u = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
            x = (1 + u * ((rows + 1.0) ** power - 1)) ** (1 / power)
            ids = (x.long() - 1).clamp(0, rows - 1) * 2654435761 % rows
        elif distribution == "SAME":
            ids = torch.full((count,), seed % rows, device=device)
        else:
            ids = torch.randint(rows, (count,), generator=generator, device=device)
            if distribution == "SORTED":
                ids = ids.sort().values
        drawn.append(ids)
    return drawn


def gather(p, ids, device):
    table = torch.randn(p["rows"], p["dim"], device=device).to(dtype(p["table"]))
    sets = index_sets(ids, p["count"], p["rows"], device)
    wide = table.dtype != torch.float32 and p["out"] == "F32"

    def index_select(n):
        rows = torch.index_select(table, 0, sets[n])
        return rows.float() if wide else rows

    def embedding(n):
        rows = torch.nn.functional.embedding(sets[n], table)
        return rows.float() if wide else rows

    return Case({"index_select": index_select, "embedding": embedding}, lambda n: table[sets[n]].to(index_select(n).dtype))


def bag(p, ids, device):
    table = torch.randn(p["rows"], p["dim"], device=device).to(dtype(p["table"]))
    sets = index_sets(ids, p["count"], p["rows"], device)
    bags = p["bags"]
    cuts = torch.randint(p["count"] + 1, (bags - 1,), device=device).sort().values
    if p["count"] % bags == 0:
        cuts = torch.arange(1, bags, device=device) * (p["count"] // bags)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64, device=device), cuts])
    mode = {"SUM": "sum", "MEAN": "mean"}[p["combine"]]
    weights = torch.rand(p["count"], device=device).to(table.dtype) if p["weighted"] else None

    def embedding_bag(n):
        return torch.nn.functional.embedding_bag(sets[n], table, offsets, mode=mode, per_sample_weights=weights)

    def expected(n):
        rows = table[sets[n]].double()
        if weights is not None:
            rows = rows * weights.double()[:, None]
        number = torch.bucketize(torch.arange(p["count"], device=device), offsets, right=True) - 1
        sums = torch.zeros(bags, p["dim"], dtype=torch.float64, device=device).index_add_(0, number, rows)
        if mode == "mean":
            sums /= torch.bincount(number, minlength=bags).clamp(min=1)[:, None]
        return sums

    return Case({"embedding_bag": embedding_bag}, expected, (2e-2, 2e-2) if table.dtype != torch.float32 else (1e-4, 1e-4))


def scatter(p, ids, device):
    import rows

    x = torch.randn(p["count"], p["dim"], device=device).to(dtype(p["x"]))
    out = torch.randn(p["places"], p["dim"], device=device).to(dtype(p["x"]))
    sets = index_sets(ids or "UNIFORM", p["count"], p["places"], device)
    name = {"SET": "index_copy", "ADD": "index_add", "MAX": "index_max"}[p["mode"]]
    function = getattr(rows, name)

    def call(n):
        function(out, sets[n], x)
        return out

    return Case({name: call}, compiles=False)  # in place: a second run finds what the first one left


def top_k(p, ids, device):
    import rows

    x = torch.randn(p["rows"], p["dim"], device=device).to(dtype(p["x"]))
    if p["k"] == 1:
        return Case({"argmax": lambda n: rows.argmax(x)}, lambda n: x.max(-1).indices)
    return Case({"topk": lambda n: rows.topk(x, p["k"])[0]}, lambda n: x.sort(-1, descending=True).values[:, : p["k"]])


def tree_verify(p, ids, device):
    if p.get("target") != "LOGITS" or p.get("rule") != "GREEDY_LINKED" or p["batch"] == 1:
        return None  # a walk in Python says nothing about a GPU
    x = torch.randn(p["batch"], p["vocab"], device=device).to(dtype(p["dtype"]))
    return Case({"argmax": lambda n: torch.argmax(x, dim=-1)}, lambda n: x.max(-1).indices)


def ponet(p, ids, device):
    import ponet as peers

    length, batch, heads = p["length"], p["batch"], p["heads"]
    columns = heads * p["head_dim"]
    q, k, o, local, segment = (torch.randn(batch * length, columns, device=device) for _ in range(5))
    number = torch.arange(length, device=device) // p["segment"]
    numbers = number.repeat(batch)
    lengths = torch.bincount(number).repeat(batch)
    literal = lambda n: peers.ponet_literal(q, k, o, local, segment, numbers, batch, heads)
    tuned = lambda n: peers.ponet_tuned(q, k, o, local, segment, lengths, batch, heads)
    return Case({"ponet_literal": literal, "ponet_tuned": tuned}, literal, (1e-3, 1e-3))


BUILDERS = {
    "embedding_gather": gather,
    "embedding_bag": bag,
    "scatter_rows": scatter,
    "top_k": top_k,
    "tree_verify": tree_verify,
    "ponet_pooling": ponet,
}


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call, first, runs, device):
    """Of several calls in a row: between two events on a GPU, of the wall clock elsewhere."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for i in range(runs):
            call((first + i) % SETS)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3
    began = time.perf_counter()
    for i in range(runs):
        call((first + i) % SETS)
    return time.perf_counter() - began


def measure(call, device):
    """Microseconds of a call, sample by sample, and calls per sample."""
    began = time.perf_counter()
    for i in range(100):
        call(i % SETS)
        synchronize(device)
        if time.perf_counter() - began > 0.5 and i >= 3:
            break
    runs = max(1, int(SAMPLE_SECONDS / max(seconds(call, 0, 3, device) / 3, 1e-7)))
    return [seconds(call, i * runs, runs, device) / runs * 1e6 for i in range(SAMPLES)], runs


def percentile(values, p):
    ordered = sorted(values)
    position = p / 100 * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def quantiles(micros):
    """Those of a line, with the bootstrap interval of the median."""
    generator = random.Random(len(micros))
    medians = [percentile(generator.choices(micros, k=len(micros)), 50) for _ in range(RESAMPLES)]
    return {
        "min": min(micros),
        "p05": percentile(micros, 5),
        "p50": percentile(micros, 50),
        "p95": percentile(micros, 95),
        "low": percentile(medians, 2.5),
        "high": percentile(medians, 97.5),
    }


def difference(got, want, tolerance):
    """Where two results differ, or None."""
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    same = torch.equal(got, want) if tolerance is None else torch.allclose(got.double(), want.double(), *tolerance)
    return None if same else f"largest difference {(got.double() - want.double()).abs().max().item()}"


def environment(line, device):
    described = dict(line.get("environment", {}))
    described["torch"] = torch.__version__
    described["torch_threads"] = torch.get_num_threads()
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
        described["cuda_runtime"] = torch.version.cuda
    return described


def chosen(path, operators, part):
    """One line of each case that we know how to build, those of a GPU first."""
    cases = {}
    with open(path, encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError as e:
                sys.exit(f"torch_peers.py: {path}:{number}: not JSON: {e}")
            if line.get("schema") != "quern-bench/1" or not line.get("verified"):
                continue
            if operators and line["operator"] not in operators or part not in line["id"]:
                continue
            if line["operator"] in BUILDERS and (line["id"] not in cases or line["mode"] == "gpu events"):
                cases[line["id"]] = line
    return cases


def run(arguments):
    device = torch.device(arguments.device)
    torch.set_default_device(device)
    torch.manual_seed(1)
    stamp = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    run_id = f"{stamp}-{os.getpid()}"
    disagree = 0
    with open(arguments.out, "w", encoding="utf-8", buffering=1) as out, torch.inference_mode():
        for number, (case_id, line) in enumerate(sorted(chosen(arguments.results, arguments.op, arguments.case).items()), 1):
            print(f"{number}: {case_id}", file=sys.stderr)
            case = BUILDERS[line["operator"]](line["parameters"], line.get("ids"), device)
            if case is None:
                continue
            base = {
                "schema": "quern-bench/1",
                "run": run_id,
                "commit": line["commit"],
                "environment": environment(line, device),
                "id": case_id,
                "operator": line["operator"],
                "parameters": line["parameters"],
                "pages": line.get("pages", "default"),
            }
            for name, eager in case.calls.items():
                forms = {f"torch:{name}": eager}
                if case.compiles and arguments.compile:
                    forms[f"torch.compile:{name}"] = torch.compile(eager)
                for by, call in forms.items():
                    try:
                        wrong = None
                        if case.expected is not None:
                            wrong = difference(call(0), case.expected(0), case.tolerance)
                        if wrong is not None:
                            disagree += 1
                            out.write(json.dumps({**base, "verified": False, "difference": f"{by}: {wrong}"}) + "\n")
                            continue
                        micros, runs = measure(call, device)
                    except Exception as e:  # of a peer, whose kinds are its own: the other cases go on
                        print(f"   {by}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", file=sys.stderr)
                        continue
                    us = quantiles(micros)
                    out.write(
                        json.dumps(
                            {
                                **base,
                                "implementation": by,
                                "mode": "gpu events" if device.type == "cuda" else "wall clock",
                                "threads": 1 if device.type == "cuda" else torch.get_num_threads(),
                                "n": len(micros),
                                "runs_per_sample": runs,
                                "us": us,
                                "bytes": line["bytes"],
                                "gb_per_s": line["bytes"] / us["p50"] * 1e-3,
                                "times_faster_than": {},
                                "verified": True,
                            }
                        )
                        + "\n"
                    )
    return 1 if disagree else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", help="a file that bench --json wrote")
    parser.add_argument("--out", required=True, help="file for the lines")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--op", type=lambda text: text.split(","), default=[], help="only these operators")
    parser.add_argument("--case", default="", help="only cases whose id contains this")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="eager only")
    arguments = parser.parse_args()
    if torch is None:
        print("torch_peers.py: torch is not installed here", file=sys.stderr)
        return 3
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("torch_peers.py: torch sees no GPU", file=sys.stderr)
        return 3
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

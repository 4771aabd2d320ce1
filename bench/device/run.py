"""The bench without Node: our cells (bench/native/cells.cc) and PyTorch take turns, pass by pass, on a GPU or a CPU.

    python3 bench/device/run.py --ours build/gpu/bench_cells --device cuda --out device.jsonl [--seconds S] [CASE...]
    python3 bench/device/run.py --ours build/gpu/bench_cells --device cpu --threads 16 --out host-16.jsonl
    python3 bench/device/run.py --list

Both sides get the same numbers, and before anything is timed the peer's output and gradients are compared with ours. A
line of JSON a case goes to the file as soon as it is done, so that a run that is cut short keeps what it has; the last line
names the cases that were left. A variant of PyTorch that fails, or does not finish in time, is in the line with its reason.
Needs nothing but Python's own library; PyTorch runs in processes of their own, in the Python that $BENCH_PYTHON names, else
in this one.
"""
import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from cases import CASES, PRODUCTS  # noqa: E402 - beside this file
from processes import Failed, Program  # noqa: E402

ROUNDS = 20
LEAST_ROUNDS = 3
WARM_UPS = 3
# A GPU's pass of a few microseconds is timed by as many of them as take so long.
SAMPLE_MS = {"cpu": 0, "cuda": 50, "emulated": 0}
MOST_PASSES = 500
PASS_SECONDS = 30
START_SECONDS = 60
LEAST_SECONDS = 5  # with fewer left, nothing more is begun

# The ways in which PyTorch computes a cell. Precision first; 'graph' and 'compile' may leave a process unusable.
LAYER = ["nn.LSTM", "nn.LSTM, tf32", "nn.LSTM, bf16"]
CUDA_VARIANTS = {
    "lstm": [*LAYER, "cell", "cell, graph"],
    "gru": ["nn.GRU", "nn.GRU, tf32"],
    "larnn": ["cached", "cached, graph"],
    "rra": ["cell", "cell, graph"],
    "scornn": ["cell", "cell, graph"],
    "enrnn": ["cell", "cell, graph"],
}
CPU_VARIANTS = {"lstm": ["nn.LSTM"], "gru": ["nn.GRU"], "larnn": ["cached"], "rra": ["cell"]}
CPU_VARIANTS.update(scornn=["cell"], enrnn=["cell"])
# By themselves: unrolling a sequence takes a minute or more.
COMPILED = {cell: [f"{'cached' if cell == 'larnn' else 'cell'}, compile"] for cell in ("lstm", "larnn", "rra", "scornn")}


def words_of(spec):
    return " ".join(f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in spec.items())


class Peers:
    """PyTorch's processes: one a cell, and one more where a variant needs it for itself."""

    def __init__(self, folder, device, threads):
        self.folder = folder
        self.python = os.environ.get("BENCH_PYTHON", sys.executable)
        self.environment = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PEER_DEVICE": "cuda" if device == "cuda" else "cpu",
            "PEER_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            # PyTorch's pool calls it from all its threads; two pools that spin against each other cost up to threefold.
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.programs = {}

    def ask(self, cell, variant, request, seconds):
        key = (cell, variant if "graph" in variant or "compile" in variant else "")
        if key not in self.programs:
            script = os.path.join(self.folder, f"torch_{cell}.py")
            self.programs[key] = Program([self.python, script], self.environment)
        try:
            return self.programs[key].ask(json.dumps({"variant": variant, **request}), seconds)
        except Failed as failed:
            if failed.ended:
                del self.programs[key]
            elif key[1]:
                self.programs.pop(key).close()
            raise

    def close(self):
        for program in self.programs.values():
            program.close()


def summary(samples):
    """Medians and ranges of [forward, step]; a forward that took longer than its step is discarded."""
    kept = [pair for pair in samples if pair[0] <= pair[1]]
    if not kept:
        return None
    forward, step = zip(*kept)
    return {
        "forwardMs": statistics.median(forward),
        "stepMs": statistics.median(step),
        "forwardRange": [min(forward), max(forward)],
        "stepRange": [min(step), max(step)],
        "samples": len(kept),
        "discarded": len(samples) - len(kept),
    }


class Side:
    """What takes turns: a pass of either kind, `count` times."""

    def __init__(self, ask, sample_ms):
        self.ask = ask
        self.count = 1
        self.samples = []
        self.failure = None
        for _ in range(WARM_UPS):
            spent = ask("step", 1)
        if sample_ms:
            self.count = max(1, min(MOST_PASSES, math.ceil(sample_ms / max(spent, 1e-4))))

    def sample(self):
        self.samples.append((self.ask("forward", self.count), self.ask("step", self.count)))


class Bench:
    def __init__(self, options, ours, peers, scratch):
        self.options, self.ours, self.peers = options, ours, peers
        self.given = os.path.join(scratch, "given.bin")
        self.returned = os.path.join(scratch, "returned.bin")
        self.end = time.monotonic() + options.seconds

    def left(self):
        return self.end - time.monotonic()

    def time_for(self, seconds):
        """PyTorch is not waited for beyond the end of the run."""
        return max(1.0, min(seconds, self.left()))

    def measure(self, case):
        shape, spec = case["shape"], case["spec"]
        line = f"open {self.given} {case['cell']} {shape['batch']} {shape['steps']} {words_of(spec)}"
        opened = self.ours.ask(line, START_SECONDS)
        sample_ms = SAMPLE_MS[self.options.device]
        mine = Side(lambda op, count: self.ours.ask(f"{op} {count}", PASS_SECONDS)["ms"], sample_ms)
        sides, told = [], []
        for variant in self.variants(case["cell"]):
            if self.left() < LEAST_SECONDS:
                told.append({"variant": variant, "skipped": "the time was up"})
                continue
            self.meet(case, variant, opened["tensors"], sample_ms, sides, told)
        self.take_turns(mine, [side for side, _peer in sides])
        result = {
            "case": case["name"],
            "cell": case["cell"],
            "device": self.options.device,
            "threads": self.options.threads,
            "shape": shape,
            "spec": spec,
            "plan": opened["plan"],
            **(summary(mine.samples) or {}),
            "peers": [*told],
        }
        for side, peer in sides:
            failure = {"skipped": side.failure or "no sample could be true"}
            result["peers"].append({**peer, **(summary(side.samples) or failure)})
            self.forget(case["cell"], peer["variant"])
        return result

    def variants(self, cell):
        if self.options.alone:
            return []
        if self.options.variants is not None:
            return self.options.variants
        if self.options.compile:
            return COMPILED.get(cell, [])
        return (CUDA_VARIANTS if self.options.device == "cuda" else CPU_VARIANTS)[cell]

    def meet(self, case, variant, tensors, sample_ms, sides, told):
        """Gives a variant its numbers and compares what it makes of them with ours."""

        def ask(request, seconds=PASS_SECONDS):
            return self.peers.ask(case["cell"], variant, request, self.time_for(seconds))

        try:
            about = ask(
                {
                    "op": "open",
                    "spec": case["spec"],
                    "shape": case["shape"],
                    "path": self.given,
                    "tensors": tensors,
                },
                self.options.open_seconds,
            )
            entries = ask({"op": "results", "path": self.returned}, self.options.open_seconds)["tensors"]
            places = " ".join(f"{entry['name']}:{entry['offset']}" for entry in entries)
            apart = self.ours.ask(f"compare {self.returned} {places}", PASS_SECONDS)
            peer = {"variant": variant, **about, **apart}
            # Fewer bits are another function; their difference is told, and judged by nobody here.
            exact = "tf32" not in variant and "bf16" not in variant
            if exact and not (apart["difference"] is not None and apart["difference"] <= case["tolerance"]):
                told.append({**peer, "skipped": "not the same function: its results differ"})
                return
            side = Side(lambda op, count: ask({"op": op, "count": count})["ms"], sample_ms)
            sides.append((side, peer))
        except Failed as failed:
            told.append({"variant": variant, "skipped": str(failed)})

    def forget(self, cell, variant):
        try:
            self.peers.ask(cell, variant, {"op": "close"}, 5)
        except Failed:
            pass

    def take_turns(self, mine, others):
        """Interleaved, so that whatever else the machine does meets all sides alike."""
        until = min(time.monotonic() + self.options.case_seconds, self.end)
        for round_ in range(ROUNDS):
            if round_ >= LEAST_ROUNDS and time.monotonic() > until:
                break
            mine.sample()
            for side in others:
                if side.failure is not None:
                    continue
                try:
                    side.sample()
                except Failed as failed:
                    side.failure = str(failed)

    def products(self):
        """Our product beside the peer's library, at the shapes of weight gradients."""
        sample_ms = SAMPLE_MS[self.options.device]
        variants = ["ours, own kernel", "mm", "mm, tf32"] if self.options.device == "cuda" else ["mm"]
        for m, n, k in PRODUCTS:
            if self.left() < LEAST_SECONDS:
                return
            times = {}
            for name in ["ours", *variants]:

                def ask(count, name=name):
                    if name.startswith("ours"):
                        own = "" if name == "ours" else " own"
                        return self.ours.ask(f"product {m} {n} {k} {count}{own}", PASS_SECONDS)["ms"]
                    request = {"op": "product", "m": m, "n": n, "k": k, "count": count}
                    return self.peers.ask("lstm", name, request, self.time_for(PASS_SECONDS))["ms"]

                try:
                    spent = ask(1)
                    count = max(1, min(MOST_PASSES, math.ceil(sample_ms / max(spent, 1e-4)))) if sample_ms else 1
                    times[name] = statistics.median(ask(count) for _ in range(5))
                except Failed as failed:
                    times[name] = str(failed)
            yield {"product": [m, n, k], "device": self.options.device, "ms": times}


def main(arguments):
    parser = argparse.ArgumentParser(description="Our cells beside PyTorch, without Node.")
    parser.add_argument("--ours", help="the program bench_cells")
    parser.add_argument("--device", choices=["cpu", "cuda", "emulated"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="the file of results")
    parser.add_argument("--seconds", type=float, default=480, help="of the whole run")
    parser.add_argument("--case-seconds", type=float, default=6, help="of the turns of one case")
    parser.add_argument("--open-seconds", type=float, default=60, help="to make a variant ready: torch.compile is part of it")
    parser.add_argument("--peers", default=os.path.join(HERE, "..", "peers"), help="the folder of PyTorch's programs")
    parser.add_argument("--variant", dest="variants", action="append", help="instead of all that the cell has")
    parser.add_argument("--compile", action="store_true", help="PyTorch's cells through torch.compile, and nothing else of it")
    parser.add_argument("--alone", action="store_true", help="ours, without PyTorch")
    parser.add_argument("--products", action="store_true", help="also products at the shapes of weight gradients, last")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(case["name"] for case in CASES))
        return 0
    known = {case["name"]: case for case in CASES}
    unknown = [name for name in options.cases if name not in known]
    if unknown or not options.ours or not options.out:
        parser.error(f"no case is called {unknown[0]}; --list has them" if unknown else "--ours and --out are needed")
    cases = [known[name] for name in options.cases] or CASES

    ours = Program([options.ours, options.device, str(options.threads)])
    peers = Peers(options.peers, options.device, options.threads)
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch, open(options.out, "w") as out:

        def tell(result):
            out.write(json.dumps(result) + "\n")
            out.flush()

        try:
            tell(ours.ask("device", START_SECONDS))
            bench = Bench(options, ours, peers, scratch)
            left = []
            for case in cases:
                if bench.left() < LEAST_SECONDS:
                    left.append(case["name"])
                    continue
                print(case["name"], flush=True)
                result = bench.measure(case)
                wrong += sum("not the same" in peer.get("skipped", "") for peer in result["peers"])
                tell(result)
            if options.products and not left:
                for result in bench.products():
                    tell(result)
            tell({"left": left})
        except Failed as failed:
            print(f"ours failed: {failed}", file=sys.stderr)
            tell({"failed": str(failed)})
            return 1
        finally:
            peers.close()
            ours.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

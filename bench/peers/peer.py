"""The peer's end of the bench: one JSON object a line in, one a line out, so that the bench can take turns with it.

    {"op": "open", "variant", "spec", "shape", "path", "tensors"}  builds a variant from the tensors in `path`
    {"op": "forward", "variant", "count"}  -> {"ms"}    forward for training: what backward needs is kept
    {"op": "step", "variant", "count"}     -> {"ms"}    forward and backward: gradients of input and weights, no optimizer
    {"op": "results", "variant", "path"}   writes output and gradients for comparison -> {"tensors"}
    {"op": "close", "variant"}             forgets it
    {"op": "product", "m", "n", "k", "variant", "count"}   C = A'B over k rows, torch.mm -> {"ms"}

`count` (default 1) passes follow each other, and "ms" is of one of them. A tensor in a file is little-endian float32,
row-major: {"name", "shape", "offset"}, the offset in numbers. Layouts are the bench's: x, y and their gradients [batch,
steps, features]. A failure is answered by {"error"}.

`PEER_DEVICE` is 'cpu' (default) or 'cuda'. A variant is a name of the cell's program and, behind commas, how it runs:
'tf32' (products in 19 bits; without it in 32), 'bf16' (everything in 16), 'graph' (each pass is one CUDA graph),
'compile' (torch.compile).
"""
import json
import math
import os
import sys
import time

import openblas

openblas.choose_kernels()

import torch  # noqa: E402 - it loads OpenBLAS

DEVICE = torch.device(os.environ.get("PEER_DEVICE", "cpu"))


def synchronize():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def use_tf32(used):
    torch.backends.cuda.matmul.allow_tf32 = used
    torch.backends.cudnn.allow_tf32 = used


def read_tensors(path, entries, dtype=torch.float32):
    with open(path, "rb") as file:
        numbers = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
    tensors = {}
    for entry in entries:
        start = entry["offset"]
        flat = numbers[start : start + math.prod(entry["shape"])]
        tensors[entry["name"]] = flat.reshape(entry["shape"]).to(DEVICE, dtype, copy=True)
    return tensors


def write_tensors(path, tensors):
    entries, offset = [], 0
    with open(path, "wb") as file:
        for name, tensor in tensors.items():
            file.write(tensor.detach().contiguous().float().cpu().numpy().tobytes())
            entries.append({"name": name, "shape": list(tensor.shape), "offset": offset})
            offset += tensor.numel()
    return entries


def blas():
    """The library that does PyTorch's matrix products: it decides most of the time."""
    torch.randn(8, 8) @ torch.randn(8, 8)
    try:
        with open("/proc/self/maps") as maps:
            files = {os.path.basename(line.split()[-1]) for line in maps if "/" in line}
    except OSError:
        return "unknown"
    for mark, name in (("mkl_core", "MKL"), ("mkl_rt", "MKL"), ("openblas", "OpenBLAS"), ("blis", "BLIS")):
        if any(mark in file for file in files):
            return f"{name} {openblas.kernels() or ''}".rstrip() if name == "OpenBLAS" else name
    if "mkl" in torch.__config__.show().lower().split("blas_info=")[-1][:12]:
        return "MKL"
    return "reference" if any(file.startswith("libblas.so") for file in files) else "unknown"


class Variant:
    """One way to compute the case: `forward` takes x [steps, batch, features] and gives y in the same layout."""

    def __init__(self, forward, tensors, weight_names):
        self.forward = forward
        self.weights = {name: tensors[name] for name in weight_names}
        # Time-major is the layout that both nn.LSTM and a loop over steps work in.
        self.x = tensors["x"].transpose(0, 1).contiguous().requires_grad_()
        self.dy = tensors["dy"].transpose(0, 1).contiguous()
        self.graphs = None
        self.tf32 = False

    def run_as(self, how):
        """Takes on what stands behind the commas of a variant's name."""
        self.tf32 = "tf32" in how
        if "compile" in how:
            if not hasattr(torch, "compile"):
                raise RuntimeError(f"PyTorch {torch.__version__} has no torch.compile")
            self.forward = torch.compile(self.forward)
        if "graph" in how:
            if DEVICE.type != "cuda":
                raise RuntimeError("CUDA graphs need CUDA")
            self.capture()

    def capture(self):
        """Forward alone, and forward with backward, each as one graph over memory that stays."""
        use_tf32(self.tf32)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.clear()
                self.forward(self.x).backward(self.dy)
        torch.cuda.current_stream().wait_stream(side)
        graphs = {}
        for backward in (False, True):
            self.clear()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = self.forward(self.x)
                if backward:
                    y.backward(self.dy)
            graphs[backward] = (graph, y)
        self.graphs = graphs

    def clear(self):
        self.x.grad = None
        for weight in self.weights.values():
            weight.grad = None

    def once(self, backward):
        if self.graphs is not None:
            graph, y = self.graphs[backward]
            graph.replay()
            return y
        self.clear()
        y = self.forward(self.x)
        if backward:
            y.backward(self.dy)
        return y

    def timed(self, backward, count=1):
        use_tf32(self.tf32)
        if self.graphs is None:
            self.clear()
        synchronize()
        start = time.perf_counter()
        for _ in range(count):
            self.once(backward)
        synchronize()
        return (time.perf_counter() - start) * 1e3 / count

    def results(self):
        use_tf32(self.tf32)
        y = self.once(backward=True)
        tensors = {"y": y.transpose(0, 1), "x": self.x.grad.transpose(0, 1)}
        tensors.update((name, weight.grad) for name, weight in self.weights.items())
        return tensors


def product(m, n, k, how, count):
    use_tf32("tf32" in how)
    dtype = torch.bfloat16 if "bf16" in how else torch.float32
    a = torch.full((k, m), 0.5, device=DEVICE, dtype=dtype)
    b = torch.full((k, n), 0.25, device=DEVICE, dtype=dtype)
    torch.mm(a.t(), b)
    synchronize()
    start = time.perf_counter()
    for _ in range(count):
        torch.mm(a.t(), b)
    synchronize()
    return (time.perf_counter() - start) * 1e3 / count


def detail():
    if DEVICE.type != "cuda":
        return f"eager, time-major, BLAS {blas()}"
    return f"time-major, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def serve(build):
    """`build(name, spec, shape, tensors)` makes a Variant. Returns when the bench closes the pipe."""
    torch.set_num_threads(int(os.environ["PEER_THREADS"]))
    variants = {}

    def answer(request):
        op = request["op"]
        name, *how = request["variant"].split(", ")
        if op == "open":
            dtype = torch.bfloat16 if "bf16" in how else torch.float32
            tensors = read_tensors(request["path"], request["tensors"], dtype)
            variant = build(name, request["spec"], request["shape"], tensors)
            variant.run_as(how)
            variants[request["variant"]] = variant
            return {"version": torch.__version__, "detail": detail()}
        if op == "close":
            variants.pop(request["variant"], None)
            return {}
        count = request.get("count", 1)
        if op == "product":
            return {"ms": product(request["m"], request["n"], request["k"], how, count)}
        variant = variants[request["variant"]]
        if op == "results":
            return {"tensors": write_tensors(request["path"], variant.results())}
        return {"ms": variant.timed(op == "step", count)}

    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the bench must hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)

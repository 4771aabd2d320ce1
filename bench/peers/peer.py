"""The peer's end of the bench: one JSON object a line in, one a line out, so that the bench can take turns with it.

    {"op": "open", "variant", "spec", "shape", "path", "tensors"}  builds a variant from the tensors in `path`
    {"op": "forward", "variant"}   -> {"ms"}    forward for training: what backward needs is kept
    {"op": "step", "variant"}      -> {"ms"}    forward and backward: gradients of input and weights, no optimizer
    {"op": "results", "variant", "path"}        writes output and gradients for comparison -> {"tensors"}

A tensor in a file is little-endian float32, row-major: {"name", "shape", "offset"}, the offset in numbers. Layouts are
the bench's: x, y and their gradients [batch, steps, features]. A failure is answered by {"error"}.
"""
import json
import math
import os
import sys
import time

import openblas

openblas.choose_kernels()

import torch  # noqa: E402 - it loads OpenBLAS


def read_tensors(path, entries):
    with open(path, "rb") as file:
        numbers = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
    tensors = {}
    for entry in entries:
        start = entry["offset"]
        flat = numbers[start : start + math.prod(entry["shape"])]
        tensors[entry["name"]] = flat.reshape(entry["shape"]).clone()
    return tensors


def write_tensors(path, tensors):
    entries, offset = [], 0
    with open(path, "wb") as file:
        for name, tensor in tensors.items():
            file.write(tensor.detach().contiguous().numpy().tobytes())
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

    def clear(self):
        self.x.grad = None
        for weight in self.weights.values():
            weight.grad = None

    def timed(self, backward):
        self.clear()
        start = time.perf_counter()
        y = self.forward(self.x)
        if backward:
            y.backward(self.dy)
        return (time.perf_counter() - start) * 1e3

    def results(self):
        self.clear()
        y = self.forward(self.x)
        y.backward(self.dy)
        tensors = {"y": y.transpose(0, 1), "x": self.x.grad.transpose(0, 1)}
        tensors.update((name, weight.grad) for name, weight in self.weights.items())
        return tensors


def serve(build):
    """`build(name, spec, shape, tensors)` makes a Variant. Returns when the bench closes the pipe."""
    torch.set_num_threads(int(os.environ["PEER_THREADS"]))
    variants = {}

    def answer(request):
        op = request["op"]
        if op == "open":
            tensors = read_tensors(request["path"], request["tensors"])
            variants[request["variant"]] = build(
                request["variant"], request["spec"], request["shape"], tensors
            )
            return {"version": torch.__version__, "detail": f"eager, time-major, BLAS {blas()}"}
        variant = variants[request["variant"]]
        if op == "results":
            return {"tensors": write_tensors(request["path"], variant.results())}
        return {"ms": variant.timed(backward=op == "step")}

    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the bench must hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)

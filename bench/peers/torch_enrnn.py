"""The ENRNN cell in eager PyTorch: both blocks' matrices in every pass, then a loop over steps."""
import torch

from peer import Variant, serve
from torch_scornn import recurrence, scaled_cayley, skew


def build(_name, spec, _shape, tensors):
    long, short = spec["longUnits"], spec["shortUnits"]
    A, signs = skew(tensors["A"]), tensors["d"]
    T, W_C, W_x, bias = (tensors[name].requires_grad_() for name in ("T", "W_C", "W_x", "b"))

    def forward(x):
        radius = torch.linalg.eigvals(T).abs().max()
        # One product for both blocks: what does not flow from the long one to the short one is a block of zeros.
        upper = torch.cat([scaled_cayley(A, signs), W_x.new_zeros(long, short)], 1)
        W = torch.cat([upper, torch.cat([W_C, T / radius], 1)])
        return recurrence(x, W_x, W, bias)

    return Variant(forward, tensors, ["A", "T", "W_C", "W_x", "b"])


serve(build)

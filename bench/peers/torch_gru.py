"""torch.nn.GRU, one layer, with the bench's weights."""
import torch

from peer import Variant, serve


def build(_name, spec, shape, tensors):
    gru = torch.nn.GRU(shape["inputSize"], spec["units"]).to(tensors["x"])
    # PyTorch's order r, z, n, its two biases and its reset after the product are those of the bench.
    names = {"W_x": "weight_ih_l0", "W_h": "weight_hh_l0", "b_x": "bias_ih_l0", "b_h": "bias_hh_l0"}
    with torch.no_grad():
        for ours, theirs in names.items():
            getattr(gru, theirs).copy_(tensors[ours])
    weights = {ours: getattr(gru, theirs) for ours, theirs in names.items()}
    return Variant(lambda x: gru(x)[0], {**tensors, **weights}, names)


serve(build)

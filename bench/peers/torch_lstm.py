"""torch.nn.LSTM, one layer, with the bench's weights."""
import torch

from peer import Variant, serve


def build(_name, spec, shape, tensors):
    lstm = torch.nn.LSTM(shape["inputSize"], spec["units"])
    # PyTorch's gate order i, f, g, o and its two biases are those of the bench.
    names = {"W_x": "weight_ih_l0", "W_h": "weight_hh_l0", "b_x": "bias_ih_l0", "b_h": "bias_hh_l0"}
    with torch.no_grad():
        for ours, theirs in names.items():
            getattr(lstm, theirs).copy_(tensors[ours])
    weights = {ours: getattr(lstm, theirs) for ours, theirs in names.items()}
    return Variant(lambda x: lstm(x)[0], {**tensors, **weights}, names)


serve(build)

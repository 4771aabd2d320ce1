"""One LSTM layer with the bench's weights, in two forms:

nn.LSTM   PyTorch's own layer
cell      a loop over steps in eager PyTorch, as a careful user would write a cell of his own
"""
import torch
import torch.nn.functional as F

from peer import Variant, serve

# PyTorch's gate order i, f, g, o and its two biases are those of the bench.
NAMES = {"W_x": "weight_ih_l0", "W_h": "weight_hh_l0", "b_x": "bias_ih_l0", "b_h": "bias_hh_l0"}


def layer(spec, shape, tensors):
    lstm = torch.nn.LSTM(shape["inputSize"], spec["units"]).to(tensors["x"])
    with torch.no_grad():
        for ours, theirs in NAMES.items():
            getattr(lstm, theirs).copy_(tensors[ours])
    weights = {ours: getattr(lstm, theirs) for ours, theirs in NAMES.items()}
    return Variant(lambda x: lstm(x)[0], {**tensors, **weights}, NAMES)


def cell(spec, tensors):
    W_x, W_h, b_x, b_h = (tensors[name].requires_grad_() for name in NAMES)

    def forward(x):
        h = c = x.new_zeros(x.shape[1], spec["units"])
        transposed = W_h.t()
        outputs = []
        for z in F.linear(x, W_x, b_x + b_h).unbind(0):
            i, f, g, o = torch.addmm(z, h, transposed).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)

    return Variant(forward, tensors, NAMES)


def build(name, spec, shape, tensors):
    return cell(spec, tensors) if name == "cell" else layer(spec, shape, tensors)


serve(build)

"""The RRA cell in eager PyTorch, with one softmax weight for each of the last K hidden states."""
import torch
import torch.nn.functional as F

from peer import Variant, serve


def build(_name, spec, _shape, tensors):
    K = spec["K"]
    names = ["W_x", "W_h", "b", "W_a"]
    W_x, W_h, bias, W_a = (tensors[name].requires_grad_() for name in names)

    def forward(x):
        inputs = F.linear(x, W_x, bias).unbind(0)
        weights = torch.softmax(W_a, 0)
        transposed = W_h.t()
        h = c = x.new_zeros(x.shape[1], spec["units"])
        outputs = []
        for z in inputs:
            i, f, g, o = torch.addmm(z, h, transposed).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            u = c
            if outputs:
                window = torch.stack(outputs[: -K - 1 : -1])
                u = c + torch.tensordot(weights[: len(window)], window, 1)
            h = torch.sigmoid(o) * torch.tanh(u)
            outputs.append(h)
        return torch.stack(outputs)

    return Variant(forward, tensors, names)


serve(build)

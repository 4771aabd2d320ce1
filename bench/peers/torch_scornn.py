"""The scoRNN cell in eager PyTorch: W from A by one solve in every pass, then a loop over steps."""
import torch
import torch.nn.functional as F

from peer import Variant, serve


def modrelu(z, bias):
    return torch.sign(z) * F.relu(z.abs() + bias)


def scaled_cayley(A, signs):
    """W = (I + A)^-1 (I - A) diag(signs)."""
    eye = torch.eye(len(A), device=A.device)
    return torch.linalg.solve(eye + A, eye - A) * signs


def skew(A):
    """Its gradient is that of the free entries, each of which stands twice in A."""
    A.requires_grad_().register_hook(lambda gradient: gradient - gradient.t())
    return A


def recurrence(x, W_x, W, bias):
    inputs = F.linear(x, W_x).unbind(0)
    h = x.new_zeros(x.shape[1], len(W))
    outputs = []
    for z in inputs:
        h = modrelu(torch.addmm(z, h, W), bias)
        outputs.append(h)
    return torch.stack(outputs)


def build(_name, _spec, _shape, tensors):
    A = skew(tensors["A"])
    W_x, bias = tensors["W_x"].requires_grad_(), tensors["b"].requires_grad_()
    signs = tensors["d"]
    return Variant(
        lambda x: recurrence(x, W_x, scaled_cayley(A, signs), bias), tensors, ["A", "W_x", "b"]
    )


if __name__ == "__main__":
    serve(build)

"""The LARNN cell in eager PyTorch, one layer, in two forms:

cached        every cell state is projected to key and value once, when it is made
reprojecting  the whole window is projected again at every step, as the author's program does

Written as a careful PyTorch user would: products that do not depend on the state leave the loop, and are taken apart by
`unbind` (indexing a step would make backward quadratic in the number of steps).
"""
import math

import torch
import torch.nn.functional as F

from peer import Variant, serve


def position_code(window, offset):
    """[window, P], newest cell first: cosines of the wavelengths 2, 4, ... and sines of 4, 8, ..."""
    bits = (4 * window - 1).bit_length()
    position = torch.arange(window, dtype=torch.float64) + offset
    angles = 2 * math.pi * position[:, None] / 2.0 ** torch.arange(1, bits + 2, dtype=torch.float64)
    return torch.cat([torch.cos(angles[:, :-1]), torch.sin(angles[:, 1:])], 1).float()


class Larnn:
    def __init__(self, spec, weights, cached):
        self.weights = weights
        self.cached = cached
        self.units, self.heads, self.window = spec["units"], spec["heads"], spec["window"]
        self.activate = spec["keyValueActivation"]
        self.batch_norm = spec["normalization"] == "batch"
        self.eps, self.momentum = spec["bnEps"], spec["bnMomentum"]
        self.positional = spec["positional"] == "concat"
        if self.positional:
            code = position_code(self.window, spec["positionalOffset"])
            self.code = code.to(weights["l0.W_k"])
        self.running = {}

    def weight(self, name):
        return self.weights["l0." + name]

    def norm(self, site, u):
        if not self.batch_norm:
            return u
        features = u.shape[-1]
        if site not in self.running:
            self.running[site] = (u.new_zeros(features), u.new_ones(features))
        mean, var = self.running[site]
        gamma, beta = self.weight(site + ".gamma"), self.weight(site + ".beta")
        rows = u.reshape(-1, features)
        return F.batch_norm(rows, mean, var, gamma, beta, True, self.momentum, self.eps).view_as(u)

    def age_table(self, kernel, bias):
        """What position code and bias add to a projection, oldest cell of a full window first."""
        if not self.positional:
            return bias.expand(self.window, -1)
        return F.linear(self.code, kernel[:, self.units :], bias).flip(0)

    def forward(self, x):
        steps, batch, inputs = x.shape
        units = self.units
        w_q = self.weight("W_q")
        gate_inputs = F.linear(x, self.weight("W_x"), self.weight("b")).unbind(0)
        query_inputs = F.linear(x, w_q[:, :inputs], self.weight("b_q")).unbind(0)
        w_h, w_a, w_qh = self.weight("W_h").t(), self.weight("W_a").t(), w_q[:, inputs:].t()
        kernels = [self.weight("W_k"), self.weight("W_v")]
        tables = [self.age_table(k, self.weight(b)) for k, b in zip(kernels, ("b_k", "b_v"))]
        kernels = [kernel[:, :units] for kernel in kernels]

        h = x.new_zeros(batch, units)
        c = x.new_zeros(batch, units)
        cells, projected = [], ([], [])

        def push(cell):
            if self.cached:
                for kernel, ring in zip(kernels, projected):
                    ring.append(F.linear(cell, kernel))
            else:
                cells.append(cell)
            for ring in (cells, *projected):
                if len(ring) > self.window:
                    ring.pop(0)

        push(c)
        outputs = []
        for gate_input, query_input in zip(gate_inputs, query_inputs):
            if self.cached:
                keys, values = (torch.stack(ring, 1) for ring in projected)
            else:
                stacked = torch.stack(cells, 1)
                keys, values = (F.linear(stacked, kernel) for kernel in kernels)
            length = keys.shape[1]
            keys, values = (u + t[-length:] for u, t in zip((keys, values), tables))
            if self.activate:
                keys, values = self.norm("bn_k", F.elu(keys)), self.norm("bn_v", F.elu(values))
            query = F.elu(torch.addmm(query_input, h, w_qh))
            a = self.attend(query, keys, values)
            a = self.norm("bn_att", F.elu(F.linear(a, self.weight("W_o"), self.weight("b_o"))))
            pre = self.norm("bn_pre", torch.addmm(torch.addmm(gate_input, h, w_h), a, w_a))
            g, f, i, o = pre.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            c = self.norm("bn_cell", c)
            h = self.norm("bn_hid", torch.sigmoid(o) * F.elu(c))
            outputs.append(h)
            push(c)
        return torch.stack(outputs)

    def attend(self, query, keys, values):
        batch, length, units = keys.shape
        size = units // self.heads
        query = query.view(batch, self.heads, 1, size)
        keys = keys.view(batch, length, self.heads, size).permute(0, 2, 3, 1)
        values = values.view(batch, length, self.heads, size).transpose(1, 2)
        shares = torch.softmax(query @ keys / math.sqrt(size), -1)
        return (shares @ values).reshape(batch, units)


def build(name, spec, _shape, tensors):
    weights = {key: value.requires_grad_() for key, value in tensors.items() if key.startswith("l0.")}
    cell = Larnn(spec, weights, cached=name == "cached")
    return Variant(cell.forward, tensors, list(weights))


serve(build)

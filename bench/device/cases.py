"""What is measured on a machine without Node: the cells and shapes of bench/cases.ts and more of their sizes, the most
telling first, for a short lease may end before the last.

    python3 bench/device/cases.py     prints them as JSON
"""
import json

HAR = {"steps": 128, "inputSize": 9}
MNIST = {"steps": 784, "inputSize": 1}
PTB = {"steps": 150, "inputSize": 50}
DATA = {"har": HAR, "mnist": MNIST, "ptb": PTB}


def case(cell, data, batch, units, spec, name="", tolerance=1e-3):
    shape = {"batch": batch, **DATA[data], "units": units}
    return {
        "name": name or f"{cell}-{data}-b{batch}-h{units}",
        "cell": cell,
        "shape": shape,
        "spec": {"inputSize": shape["inputSize"], **spec},
        # As in bench/cases.ts: what still counts as the same function in 32 bits.
        "tolerance": tolerance,
    }


def lstm(data, batch, units):
    return case("lstm", data, batch, units, {"units": units, "bias": "double", "gateOrder": "ifgo"})


def gru(data, batch, units):
    spec = {"units": units, "bias": "double", "gateOrder": "rzn", "reset": "after", "update": "keep"}
    return case("gru", data, batch, units, spec)


def larnn(data, batch, units, heads=4, window=16, normalization="none", positional="concat"):
    spec = {
        "units": units,
        "heads": heads,
        "window": window,
        "normalization": normalization,
        "positional": positional,
        "positionalOffset": 1,
        "keyValueActivation": True,
        "bnEps": 1e-5,
        "bnMomentum": 0.1,
    }
    name = f"larnn-{data}-b{batch}-h{units}-k{window}"
    return case("larnn", data, batch, units, spec, name, 5e-2 if normalization == "batch" else 1e-3)


def rra(data, batch, units):
    spec = {"units": units, "K": 10, "normalize": "softmax", "gateOrder": "ifgo"}
    # bench/cases.ts names the case of 128 units without its K.
    name = f"rra-{data}-b{batch}-h{units}" + ("" if units == 128 else "-k10")
    return case("rra", data, batch, units, spec, name)


def scornn(data, batch, units):
    return case("scornn", data, batch, units, {"units": units}, tolerance=5e-2)


def enrnn(data, batch, units, short):
    spec = {"longUnits": units - short, "shortUnits": short, "normMode": "always"}
    return case("enrnn", data, batch, units, spec, tolerance=5e-2)


CASES = [
    lstm("har", 64, 32),
    lstm("har", 64, 128),
    larnn("har", 64, 32),
    larnn("har", 256, 64),
    lstm("har", 256, 64),
    scornn("mnist", 128, 170),
    lstm("mnist", 128, 128),
    enrnn("mnist", 128, 170, 42),
    lstm("ptb", 128, 512),
    larnn("har", 256, 81, heads=27, window=38, normalization="batch", positional="none"),
    larnn("har", 64, 128),
    gru("har", 64, 128),
    rra("har", 64, 128),
    lstm("har", 1, 128),
    lstm("har", 37, 100),
    lstm("har", 64, 64),
    larnn("har", 64, 64),
    lstm("har", 1024, 64),
    larnn("har", 1024, 64),
    lstm("har", 1024, 128),
    lstm("har", 256, 128),
    lstm("har", 256, 32),
    lstm("har", 1024, 32),
    larnn("har", 1024, 32),
    larnn("har", 1024, 128),
    scornn("mnist", 128, 512),
    lstm("mnist", 128, 170),
    lstm("mnist", 128, 512),
    lstm("ptb", 128, 1024),
    gru("har", 64, 32),
    gru("mnist", 128, 128),
    gru("ptb", 128, 512),
    rra("har", 64, 32),
]

# m, n, k of C = A'B over k rows: a weight gradient over all steps and rows.
PRODUCTS = [
    (128, 41, 8192),  # HAR, B = 64, H = 32
    (512, 137, 8192),  # HAR, B = 64, H = 128
    (512, 129, 100352),  # MNIST, H = 128
    (2048, 562, 19200),  # PTB, H = 512
]

if __name__ == "__main__":
    print(json.dumps(CASES))

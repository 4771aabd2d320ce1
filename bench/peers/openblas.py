"""OpenBLAS chooses its kernels by the CPU's model number. A release that is older than the CPU does not know it and may
fall back to those of 2004 (SSE3), some five times slower, or to half as wide ones: a peer set up badly flatters nobody.
"""
import ctypes
import os
import sys

# The widest first: what the CPU must have, the kernels that use it, and those that do not although such a CPU was given them.
SSE3 = {"Prescott", "Core2", "Nehalem", "Generic"}
KERNELS = (
    ({"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "SkylakeX", SSE3 | {"Haswell", "Zen"}),
    ({"avx2", "fma"}, "Haswell", SSE3),
)


def kernels():
    """The name of the kernels that OpenBLAS uses in this process, or None where it is not installed."""
    try:
        library = ctypes.CDLL("libopenblas.so.0")
        library.openblas_get_corename.restype = ctypes.c_char_p
        return library.openblas_get_corename().decode()
    except (OSError, AttributeError):
        return None


def cpu_flags():
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return set()
    return set(lines[0].split()) if lines else set()


def better_kernels(used, flags):
    """Kernels for a CPU with these flags where those in use leave it idle, else None."""
    for wanted, name, narrower in KERNELS:
        if wanted <= flags:
            return name if used in narrower else None
    return None


def choose_kernels():
    """Starts the program again with kernels that fit the CPU, where OpenBLAS or the environment has chosen narrower ones.

    To be called before anything loads the library for good.
    """
    name = better_kernels(kernels(), cpu_flags())
    if name is not None and os.environ.get("OPENBLAS_CORETYPE") != name:
        os.environ["OPENBLAS_CORETYPE"] = name
        os.execv(sys.executable, [sys.executable, *sys.argv])

"""How large the models of a calibration are: larger than the processor's caches, as real ones, and within memory."""

from __future__ import annotations

import math
import re
from pathlib import Path

from edgellm.devices.cgroup import read_text
from edgellm.formats.ggml_types import row_bytes
from edgellm_runtimes.calibrate.synthetic import Shape

__all__ = ["child_bytes", "choose_shapes", "last_cache_bytes"]

_CACHES = 3  # times the last cache: from a cache every type would look faster than it is
_LEAST_BYTES = 48 << 20  # of weights; some processors do not show their last cache
_UNKNOWN_CACHE_BYTES = 16 << 20
# Per weight: in the smallest type, Q4_0, and in the one of both models, Q8_0.
_WIDE_BYTES, _NARROW_BYTES = (row_bytes(type_name, 256) / 256 for type_name in ("Q4_0", "Q8_0"))
_MOST_LAYERS = {"wide": 8, "narrow": 48}
_PROCESS_BYTES = 5  # per weight, of the child that has it in F16: the file, what is read of it, the work of a step
_CHILD_BYTES = 96 << 20  # Python, llama.cpp, the KV cache and the work of a step; measured on x86-64
_UNITS = {"K": 1 << 10, "M": 1 << 20, "": 1}


def choose_shapes(cache_bytes: int | None, available_bytes: int | None) -> tuple[Shape, Shape]:
    """A model of wide matrices, which take nearly all of its time, and one of narrow matrices, which do not."""
    wanted = max(_LEAST_BYTES, _CACHES * (cache_bytes or _UNKNOWN_CACHE_BYTES))
    affordable = (available_bytes or 2 << 30) / 2 / _PROCESS_BYTES  # weights
    n_embd = 2048 if _layer_weights(2048) <= affordable else 1024
    wide = _layers("wide", n_embd, wanted / _WIDE_BYTES, affordable)
    return wide, _layers("narrow", 512, wanted / _NARROW_BYTES, affordable)


def last_cache_bytes(root: Path = Path("/")) -> int | None:
    """Size of the largest cache that the first core uses; None where the kernel does not say."""
    sizes = []
    for path in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size")):
        found = re.fullmatch(r"(\d{1,9})([KM]?)", read_text(path))
        if found:
            sizes.append(int(found[1]) * _UNITS[found[2]])
    return max(sizes, default=None)


def child_bytes(shape: Shape, type_name: str, repack: bool) -> int:
    """What the process that times such a model takes at most."""
    weights = shape.n_weights // 256 * row_bytes(type_name, 256)
    return _CHILD_BYTES + weights * (2 if repack else 1)


def _layers(kind: str, n_embd: int, weights: float, affordable: float) -> Shape:
    each = _layer_weights(n_embd)
    count = min(math.ceil(weights / each), int(affordable / each), _MOST_LAYERS[kind])
    return Shape(n_embd=n_embd, n_ff=3 * n_embd, n_layers=max(1, count))


def _layer_weights(n_embd: int) -> int:
    shape = Shape(n_embd, 3 * n_embd, 1)
    return sum(rows * length for rows, length in shape.matrices.values())

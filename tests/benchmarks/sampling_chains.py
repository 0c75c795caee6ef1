"""The chains that are timed, as our sampler runs them and as llama.cpp does."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sampling_rows import Contender

from edgellm_runtimes import _sampling
from edgellm_runtimes.llama_cpp.library import library
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import SamplingParams

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle"))
from llama_chain import ChainSampler

__all__ = ["CHAINS", "HISTORY", "MASKED", "PEERLESS", "Peers", "history", "make_mask", "our_contender", "our_eights"]

_OPEN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}  # without the stages of the default chain; its temperature is .8
_ALONE = _OPEN | {"temperature": 1.0}
CHAINS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "default": {},
    "default with penalties": {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1},
    "temperature": _OPEN,
    "min-p": _ALONE | {"min_p": 0.05},
    "top-p": _ALONE | {"top_p": 0.95},
    "typical": _ALONE | {"typical_p": 0.95},
    "top-p, temperature": _OPEN | {"top_p": 0.95},
    "greedy, 20 log-probabilities": {"temperature": 0.0, "logprobs": 20},
}
"""Differences to the default parameters: those of llama.cpp, top-k 40, top-p .95, min-p .05, temperature .8."""

MASKED = {"default, mask of half the tokens": 0.5, "default, mask of 1 % of the tokens": 0.01}
"""The default chain behind a grammar's bitmask; the share of tokens that it allows."""

PEERLESS = (*MASKED, "greedy, 20 log-probabilities")
"""What llama.cpp's chain has no stage for."""

HISTORY = 64  # tokens that the penalties look at
_SEEDS = 32


def history(n_vocab: int) -> NDArray[np.int32]:
    """The same for all contenders."""
    return np.random.default_rng(1).integers(0, n_vocab, HISTORY).astype(np.int32)


def make_mask(n_vocab: int, share: float) -> NDArray[np.uint32]:
    """A bit for each token, allowed at random; uint32 [1, ceil(n_vocab / 32)]."""
    bits = np.random.default_rng(2).random(-(-n_vocab // 32) * 32) < share
    return np.packbits(bits, bitorder="little").view(np.uint32)[None]


def our_contender(tier: str, chain: str, n_vocab: int) -> Contender:
    """One native call from Python. The same history at every call, so tokens are not remembered; each of many
    sequences has its own seed, so that draws differ."""
    params = SamplingParams(**CHAINS.get(chain, {}))
    turns = []
    for seed in range(_SEEDS):
        sequence = _sampling.Sequence(native_parameters(params, seed))
        sequence.prompt(history(n_vocab))
        turns.append([sequence])
    mask = make_mask(n_vocab, MASKED[chain]) if chain in MASKED else None
    sample, calls = _sampling.sample, 0

    def choose(row: Any) -> list[int]:
        nonlocal calls
        calls += 1
        return sample(turns[calls % _SEEDS], row.matrix, mask, 1, None, False, tier)

    return Contender(f"edgellm {tier}", choose)


def our_eights(tier: str, chain: str, n_vocab: int) -> list[Contender]:
    """Eight rows in one call, and the same in eight calls."""
    params = SamplingParams(**CHAINS[chain])
    sequences = [_sampling.Sequence(native_parameters(params, seed)) for seed in range(8)]
    alone = [[sequence] for sequence in sequences]
    sample = _sampling.sample

    def together(rows: Any) -> Any:
        return sample(sequences, rows.matrix, None, 1, None, False, tier)

    def one_by_one(rows: Any) -> None:
        for sequence, row in zip(alone, rows.singles, strict=True):
            sample(sequence, row, None, 1, None, False, tier)

    return [Contender(f"edgellm {tier}", together), Contender(f"eight calls of edgellm {tier}", one_by_one)]


class Peers:
    """Compiled code to compare with: llama.cpp's chain, filled as llama_sampler_sample does, and a plain maximum."""

    def __init__(self) -> None:
        self._lib = _compile(Path(__file__).with_name("sampling_peers.cpp"))
        self._apply = ctypes.cast(library().llama_sampler_apply, ctypes.c_void_p).value
        self._lib.llama_sample.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int32] + [ctypes.c_void_p] * 2
        self._lib.llama_kept.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int32] + [ctypes.c_void_p] * 2
        self._lib.plain_maxima.argtypes = [ctypes.c_int32, ctypes.c_void_p] + [ctypes.c_int64] * 2
        self._lib.plain_maxima.argtypes += [ctypes.c_int32, ctypes.c_void_p]
        self._lib.plain_maxima.restype = None

    def llama(self, chain: str, n_vocab: int) -> Contender:
        """The whole call, and what of it is not the fill. The random state of the chain advances at each."""
        params = SamplingParams(**CHAINS[chain], seed=1)
        sampler = ChainSampler(params, n_vocab, history(n_vocab).tolist())
        buffer, chain_ns = np.empty(3 * n_vocab, np.int32), ctypes.c_int64()
        address, handle, apply = buffer.ctypes.data, ctypes.cast(sampler._chain, ctypes.c_void_p).value, self._apply
        llama_sample, time_to = self._lib.llama_sample, ctypes.addressof(chain_ns)

        def choose(row: Any, _kept: Any = (sampler, buffer)) -> int:
            token: int = llama_sample(apply, handle, row.address, n_vocab, address, time_to)
            return token

        return Contender("llama.cpp", choose, after=lambda: chain_ns.value * 1e-9)

    def kept(self, chain: str, n_vocab: int, row: Any) -> set[int]:
        """The tokens that llama.cpp's chain leaves; the chosen one for a chain that leaves all."""
        sampler = ChainSampler(SamplingParams(**CHAINS[chain], seed=1), n_vocab, history(n_vocab).tolist())
        buffer, ids = np.empty(3 * n_vocab, np.int32), np.empty(n_vocab, np.int32)
        handle = ctypes.cast(sampler._chain, ctypes.c_void_p)
        count = self._lib.llama_kept(self._apply, handle, row.address, n_vocab, buffer.ctypes.data, ids.ctypes.data)
        sampler.close()
        if chain == "greedy":
            return {self.llama(chain, n_vocab).choose(row)}
        return set(ids[:count].tolist())

    def maximum(self, tier: str, n_vocab: int) -> Contender:
        """The maxima of eight rows."""
        which = {"avx2": 1, "avx512": 2}.get(tier, 0)
        largest = np.empty(8, np.float32)
        address, plain_maxima = largest.ctypes.data, self._lib.plain_maxima

        def choose(rows: Any, _kept: Any = largest) -> None:
            plain_maxima(which, rows.address, n_vocab, rows.stride, 8, address)

        return Contender(f"maximum {tier}", choose)


def _compile(source: Path) -> ctypes.CDLL:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise SystemExit("error: no C++ compiler to build the comparison with\nhint: apt install g++")
    with tempfile.TemporaryDirectory(prefix="edgellm-bench-") as folder:
        library_path = Path(folder) / "peers.so"
        options = ["-O3", "-march=native", "-w", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, "-o", str(library_path), str(source)], check=True)
        return ctypes.CDLL(str(library_path))

"""llama.cpp's own sampler chain on a logits row: what our kernels are compared with."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError
from edgellm_runtimes.llama_cpp.library import library
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["ChainSampler"]

# struct llama_token_data
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: llama.cpp takes it as "choose one"


class ChainSampler:
    """A sampler chain with the state of one sequence; see ``sampler.Sampler``."""

    def __init__(self, params: SamplingParams, n_vocab: int, prompt: Sequence[int]) -> None:
        self._lib = lib = library()
        self.seed = secrets.randbelow(_RANDOM_SEED) if params.seed is None else params.seed
        self._ids = np.arange(n_vocab, dtype=np.int32)
        self._candidates = np.empty(n_vocab, _CANDIDATE)
        self._array = lib.llama_token_data_array()
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for link in self._links(params, n_vocab):
            lib.llama_sampler_chain_add(self._chain, link)
        if params.has_penalties:
            for token in prompt[-params.repetition_window :]:
                lib.llama_sampler_accept(self._chain, token)

    def _links(self, params: SamplingParams, n_vocab: int) -> list[object]:
        lib = self._lib
        links = []
        if params.has_penalties:
            links.append(
                lib.llama_sampler_init_penalties(
                    n_vocab,
                    params.repetition_window,
                    params.repetition_penalty,
                    params.frequency_penalty,
                    params.presence_penalty,
                )
            )
        if params.temperature == 0:
            return [*links, lib.llama_sampler_init_greedy()]
        if params.top_k > 0:
            links.append(lib.llama_sampler_init_top_k(min(params.top_k, n_vocab)))
        if params.typical_p < 1:
            links.append(lib.llama_sampler_init_typical(params.typical_p, 1))
        if params.top_p < 1:
            links.append(lib.llama_sampler_init_top_p(params.top_p, 1))
        if params.min_p > 0:
            links.append(lib.llama_sampler_init_min_p(params.min_p, 1))
        links.append(lib.llama_sampler_init_temp(params.temperature))
        links.append(lib.llama_sampler_init_dist(self.seed % _RANDOM_SEED))
        return links

    def sample(self, row: npt.NDArray[np.float32]) -> int:
        """Choose the next token from ``row`` and remember it; see ``sampler.Sampler.sample``."""
        if not np.isfinite(row.max()):  # a NaN anywhere is the maximum
            raise BackendError(
                "the model gave logits that are not finite", hint="its weights are damaged: verify or pack it again"
            )
        candidates = self._candidates
        candidates["id"] = self._ids
        candidates["logit"] = row
        candidates["p"] = 0
        array = self._array
        array.data = ctypes.cast(candidates.ctypes.data, self._lib.llama_token_data_p)
        array.size = len(candidates)
        array.selected = -1
        array.sorted = False
        self._lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise BackendError("llama.cpp's sampler chose no token")
        token = int(array.data[array.selected].id)
        self._lib.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Free the chain."""
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None

"""llama.cpp's own sampler chain on a logits row: what our kernels are compared with."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError
from edgellm_runtimes.llama_cpp.library import library
from edgellm_runtimes.sampling import ORDERS, SamplingParams

__all__ = ["ChainSampler"]

# struct llama_token_data
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: llama.cpp takes it as "choose one"
_ROOM = 4096  # tokens that may be accepted after the prompt


class ChainSampler:
    """A sampler chain with the state of one sequence; see ``sampler.Sampler``.

    ``vocabulary`` is the ``llama_vocab`` that DRY reads its breakers with. Every stage of ``params`` is built, in the
    order that it names.
    """

    def __init__(self, params: SamplingParams, n_vocab: int, prompt: Sequence[int], vocabulary: Any = None) -> None:
        self._lib = lib = library()
        self.seed = secrets.randbelow(_RANDOM_SEED) if params.seed is None else params.seed
        self._ids = np.arange(n_vocab, dtype=np.int32)
        self._candidates = np.empty(n_vocab, _CANDIDATE)
        self._array = lib.llama_token_data_array()
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        window = len(prompt) + _ROOM  # where all tokens are looked back on: llama.cpp turns -1 off
        penalties, dry = self._penalties(params, n_vocab, window), self._dry(params, vocabulary, window)
        links = [*self._biases(params, n_vocab), *penalties, *dry, *self._stages(params, n_vocab)]
        for link in links:
            lib.llama_sampler_chain_add(self._chain, link)
        for link in [*(penalties if params.penalize_prompt else []), *dry]:
            for token in prompt:
                lib.llama_sampler_accept(link, token)

    def _biases(self, params: SamplingParams, n_vocab: int) -> list[Any]:
        if not params.logit_bias:
            return []
        count = len(params.logit_bias)
        biases = (self._lib.llama_logit_bias * count)(*params.logit_bias.items())
        return [self._lib.llama_sampler_init_logit_bias(n_vocab, count, biases)]

    def _penalties(self, params: SamplingParams, n_vocab: int, all_tokens: int) -> list[Any]:
        if not params.has_penalties:
            return []
        window = all_tokens if params.repetition_window < 0 else params.repetition_window
        values = params.repetition_penalty, params.frequency_penalty, params.presence_penalty
        return [self._lib.llama_sampler_init_penalties(n_vocab, window, *values)]

    def _dry(self, params: SamplingParams, vocabulary: Any, all_tokens: int) -> list[Any]:
        if not params.dry_multiplier:
            return []
        window = all_tokens if params.dry_window < 0 else params.dry_window
        texts = [text.encode() for text in params.dry_breakers]
        breakers = (ctypes.c_char_p * len(texts))(*texts)
        values = params.dry_multiplier, params.dry_base, params.dry_allowed_length, window
        return [self._lib.llama_sampler_init_dry(vocabulary, *values, breakers, len(texts))]

    def _stages(self, params: SamplingParams, n_vocab: int) -> list[Any]:
        lib, seed = self._lib, self.seed % _RANDOM_SEED
        if params.temperature == 0:
            return [lib.llama_sampler_init_greedy()]
        if params.mirostat:
            last = lib.llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta)
            return [self._temperature(params), last]
        stages = {
            "top_n_sigma": params.top_n_sigma > 0 and lib.llama_sampler_init_top_n_sigma(params.top_n_sigma),
            "top_k": params.top_k > 0 and lib.llama_sampler_init_top_k(min(params.top_k, n_vocab)),
            "typical_p": params.typical_p < 1 and lib.llama_sampler_init_typical(params.typical_p, 1),
            "top_p": params.top_p < 1 and lib.llama_sampler_init_top_p(params.top_p, 1),
            "min_p": params.min_p > 0 and lib.llama_sampler_init_min_p(params.min_p, 1),
            "xtc": params.xtc_probability > 0
            and lib.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, 1, seed),
            "temperature": self._temperature(params),
        }
        chosen = [stages[name] for name in ORDERS[params.order]]
        return [*(link for link in chosen if link), lib.llama_sampler_init_dist(seed)]

    def _temperature(self, params: SamplingParams) -> Any:
        if params.dynamic_temperature_range == 0:
            return self._lib.llama_sampler_init_temp(params.temperature)
        values = params.temperature, params.dynamic_temperature_range, params.dynamic_temperature_exponent
        return self._lib.llama_sampler_init_temp_ext(*values)

    def sample(self, row: npt.NDArray[np.float32]) -> int:
        """Choose the next token from ``row`` and remember it; see ``sampler.Sampler.sample``."""
        if not np.isfinite(row.max()):  # a NaN anywhere is the maximum
            raise BackendError(
                "the model gave logits that are not finite", hint="its weights are damaged: verify or pack it again"
            )
        array = self._apply(row)
        token = int(array.data[array.selected].id)
        self.accept(token)
        return token

    def distribution(self, row: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], int]:
        """The tokens that are left, their probabilities, and the chosen one. Advances the random state, no more."""
        array = self._apply(row)
        buffer = ctypes.cast(array.data, ctypes.POINTER(ctypes.c_char * (array.size * _CANDIDATE.itemsize)))
        left = np.frombuffer(buffer.contents, _CANDIDATE)
        left = left[left["logit"] > -np.inf].copy()
        return left["id"], left["p"], int(array.data[array.selected].id)

    def accept(self, token: int) -> None:
        """Remember a token."""
        self._lib.llama_sampler_accept(self._chain, token)

    def _apply(self, row: npt.NDArray[np.float32]) -> Any:
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
        return array

    def close(self) -> None:
        """Free the chain."""
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None

"""Samplers: rows of logits in, token ids out, on the compiled kernels."""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.sampling import ORDERS, SamplingParams

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Sampler", "TokenLogprobs", "create_sampler", "native_parameters", "sample_each", "sample_rows"]

_RANDOM_SEED_BITS = 32


class TokenLogprobs(NamedTuple):
    """Natural logarithms of probabilities."""

    chosen: float
    top: list[tuple[int, float]]  # the likeliest tokens, best first


class Sampler:
    """The sampling state of one sequence: parameters, tokens so far, random state.

    A token depends on the logits, the parameters, the tokens so far, and (seed, number of tokens generated): never on
    the other rows of a batch, the number of threads or the processor.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int], breakers: Sequence[Sequence[int]] = ()) -> None:
        import numpy as np

        from edgellm_runtimes import _sampling

        self.seed = secrets.randbits(_RANDOM_SEED_BITS) if params.seed is None else params.seed
        self.native = _sampling.Sequence(native_parameters(params, self.seed, breakers))
        self.native.prompt(np.asarray(prompt, np.int32))

    def sample(self, row: npt.NDArray[np.float32]) -> int:
        """Choose the next token from ``row``, float32 [n_vocab], and remember it; see ``sample_rows``."""
        return sample_rows([self], row[None])[0]

    def choose_again(self, row: npt.NDArray[np.float32], mask: npt.NDArray[np.uint32]) -> int | BackendError:
        """In place of the last token one that ``mask`` allows, by a random number that is independent of the first.

        ``row`` is float32 [1, n_vocab], ``mask`` uint32 [1, ceil(n_vocab / 32)].
        """
        import numpy as np

        from edgellm_runtimes import _sampling

        position = self.native.position - 1
        self.native.truncate(position)
        digest = hashlib.blake2b(struct.pack("<QQ", self.seed, position), digest_size=16, person=b"chosen again")
        uniforms = np.array([[word / 2**53 for word in (w >> 11 for w in struct.unpack("<QQ", digest.digest()))]])
        token = _sampling.sample([self.native], row, mask, 1, uniforms)[0]
        return token if token >= 0 else _no_token(token)

    def accept(self, token: int) -> None:
        """Remember a token that was chosen elsewhere."""
        self.native.accept(token)

    def truncate(self, position: int) -> None:
        """Forget the generated tokens from ``position`` on."""
        self.native.truncate(position)

    @property
    def logprobs(self) -> TokenLogprobs:
        """Of the last token; for parameters that ask for them."""
        return TokenLogprobs(self.native.logprob, self.native.top_logprobs)


def create_sampler(params: SamplingParams, prompt: Sequence[int], breakers: Sequence[Sequence[int]] = ()) -> Sampler:
    """The sampler for one generation after ``prompt``. ``breakers``: see ``dry.token_breakers``.

    Raises UsageError when EDGELLM_SAMPLING_TIER names kernels that this processor does not have.
    """
    from edgellm_runtimes import _sampling

    try:
        _sampling.tier()
    except ValueError as error:
        raise UsageError(str(error), hint="EDGELLM_SAMPLING_TIER chooses them; unset it for the best") from None
    return Sampler(params, prompt, breakers)


def sample_rows(
    samplers: Sequence[Sampler],
    rows: npt.NDArray[np.float32],
    masks: npt.NDArray[np.uint32] | None = None,
    *,
    threads: int = 1,
) -> list[int]:
    """The next token of each sampler from its row, remembered by each.

    ``rows`` is float32 [len(samplers), n_vocab] and is left as it is; ``masks``, uint32 [rows, ceil(n_vocab / 32)], has
    a 1 for each token that is allowed, the lowest bit first. Raises BackendError when a logit is NaN, or when no token
    of a row is left; the samplers of the other rows have chosen all the same.
    """
    tokens: list[int] = []
    for token in sample_each(samplers, rows, masks, threads=threads):
        if isinstance(token, BackendError):
            raise token
        tokens.append(token)
    return tokens


def sample_each(
    samplers: Sequence[Sampler],
    rows: npt.NDArray[np.float32],
    masks: npt.NDArray[np.uint32] | None = None,
    *,
    threads: int = 1,
) -> list[int | BackendError]:
    """As ``sample_rows``, with an error in the place of a token for each row that has none."""
    from edgellm_runtimes import _sampling

    tokens = _sampling.sample([sampler.native for sampler in samplers], rows, masks, threads)
    if min(tokens, default=0) >= 0:
        return tokens  # type: ignore[return-value]  # a list of int is one of int | BackendError: nobody appends
    return [token if token >= 0 else _no_token(token) for token in tokens]


def _no_token(outcome: int) -> BackendError:
    if outcome == -1:
        return BackendError(
            "the model gave logits that are not numbers", hint="its weights are damaged: verify or pack it again"
        )
    return BackendError(
        "no token is left to choose from: every logit is -inf or forbidden",
        hint="check logit_bias, or the model: `edgellm verify`",
    )


def native_parameters(params: SamplingParams, seed: int, breakers: Sequence[Sequence[int]] = ()) -> dict[str, Any]:
    """What the kernels are told."""
    return {
        "order": list(ORDERS[params.order]),
        "keep_ties": params.order != "llama.cpp",
        "typical_reaches": params.order == "transformers",
        "logit_bias": sorted(params.logit_bias.items()),
        "repetition_penalty": params.repetition_penalty,
        "frequency_penalty": params.frequency_penalty,
        "presence_penalty": params.presence_penalty,
        "penalty_window": params.repetition_window,
        "penalize_prompt": params.penalize_prompt,
        "dry_multiplier": params.dry_multiplier,
        "dry_base": params.dry_base,
        "dry_allowed_length": params.dry_allowed_length,
        "dry_window": params.dry_window,
        "dry_breakers": [list(breaker) for breaker in breakers],
        "temperature": params.temperature,
        "dynamic_range": params.dynamic_temperature_range,
        "dynamic_exponent": params.dynamic_temperature_exponent,
        "top_k": params.top_k,
        "top_p": params.top_p,
        "min_p": params.min_p,
        "typical_p": params.typical_p,
        "top_n_sigma": params.top_n_sigma,
        "xtc_probability": params.xtc_probability,
        "xtc_threshold": params.xtc_threshold,
        "mirostat": params.mirostat == 2,
        "mirostat_tau": params.mirostat_tau,
        "mirostat_eta": params.mirostat_eta,
        "seed": seed,
        "top_logprobs": -1 if params.logprobs is None else params.logprobs,
        "logprob_scope": params.logprob_scope,
    }

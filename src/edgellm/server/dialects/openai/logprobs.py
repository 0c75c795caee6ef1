"""Log-probabilities with the texts of their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgellm_runtimes.engine import Engine
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["NamedLogprob", "TokenLogprob", "name_logprobs"]

_LOWEST = -9999.0  # JSON has no infinity; OpenAI gives this number


class NamedLogprob(msgspec.Struct):
    """A token that was possible."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct):
    """The token that was chosen, and the likeliest ones."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[NamedLogprob]


async def name_logprobs(
    engine: Engine, token_ids: Sequence[int], logprobs: Sequence[TokenLogprobs]
) -> list[TokenLogprob]:
    """An entry for each of ``token_ids`` that is text: not for the one that ends an answer."""
    wanted = list(dict.fromkeys([*token_ids, *_others(logprobs)]))
    pieces = dict(zip(wanted, await engine.in_thread(engine.token_bytes, wanted), strict=True))
    ends = {engine.facts.eos_text, engine.facts.eot_text}
    found = []
    for token, entry in zip(token_ids, logprobs, strict=False):
        chosen = _named(pieces[token], entry.chosen)
        if chosen.token not in ends:
            top = [_named(pieces[other], value) for other, value in entry.top]
            found.append(TokenLogprob(chosen.token, chosen.logprob, chosen.bytes, top))
    return found


def _others(logprobs: Iterable[TokenLogprobs]) -> list[int]:
    return [token for entry in logprobs for token, _ in entry.top]


def _named(piece: bytes, value: float) -> NamedLogprob:
    return NamedLogprob(piece.decode("utf-8", "replace"), max(value, _LOWEST), list(piece))

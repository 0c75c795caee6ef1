"""Probabilities of tokens in llama-server's form."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgellm.server.dialects.llamacpp.responses import TokenProbability
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["token_probabilities"]

_LOWEST = -3.4028234663852886e38  # the lowest float: JSON has no infinity


async def token_probabilities(
    engine: Engine, token_ids: Sequence[int], logprobs: Sequence[TokenLogprobs], *, after_sampling: bool
) -> list[TokenProbability]:
    """An entry for each of ``token_ids``. Special tokens have no text."""
    wanted = list({*token_ids, *(token for entry in logprobs for token, _ in entry.top)})
    pieces = dict(zip(wanted, await engine.in_thread(engine.token_bytes, wanted), strict=True))
    facts = engine.facts
    hidden = {text.encode() for text in (facts.bos_text, facts.eos_text, facts.eot_text)}

    def one(token: int, logprob: float, top: list[TokenProbability] | None = None) -> TokenProbability:
        piece = b"" if pieces[token] in hidden else pieces[token]
        entry = {"id": token, "token": piece.decode("utf-8", "ignore"), "bytes": list(piece)}
        if after_sampling:
            others = {} if top is None else {"top_probs": top}
            return TokenProbability(**entry, prob=math.exp(logprob), **others)  # type: ignore[arg-type]
        others = {} if top is None else {"top_logprobs": top}
        return TokenProbability(**entry, logprob=max(logprob, _LOWEST), **others)  # type: ignore[arg-type]

    return [
        one(token, entry.chosen, [one(other, value) for other, value in entry.top])
        for token, entry in zip(token_ids, logprobs, strict=True)
    ]

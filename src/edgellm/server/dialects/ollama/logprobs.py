"""Log-probabilities with the texts of their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.server.dialects.ollama.lines import Logprob, TopLogprob
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["named_logprobs"]

_PART_OF_A_CHARACTER = "\ufffd"


async def named_logprobs(engine: Engine, tokens: Sequence[int], logprobs: Sequence[TokenLogprobs]) -> list[Logprob]:
    """One entry for each of ``tokens``; without ``logprobs`` none."""
    if not logprobs:
        return []
    wanted = [*tokens, *(token for entry in logprobs for token, _ in entry.top)]
    texts = dict(zip(wanted, await engine.in_thread(engine.token_texts, wanted), strict=True))
    return [
        Logprob(
            token=texts[token],
            logprob=entry.chosen,
            bytes=_bytes(texts[token]),
            top_logprobs=[TopLogprob(texts[other], value, _bytes(texts[other])) for other, value in entry.top],
        )
        for token, entry in zip(tokens, logprobs, strict=False)
    ]


def _bytes(text: str) -> list[int]:
    return [] if _PART_OF_A_CHARACTER in text else list(text.encode())

"""Texts on their way to vectors, and which of their tokens a step computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgellm.errors import BackendError
from edgellm_runtimes.embedding import Embedding, EmbedRequest
from edgellm_runtimes.scheduler.slots import CacheKey

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["LiveText", "LiveTexts", "TextShare", "plan_texts"]


class LiveText:
    """One text: how many of its tokens are computed, and the sum of their hidden states."""

    def __init__(self, request: EmbedRequest, index: int) -> None:
        self.request = request
        self.index = index
        self.tokens = request.texts[index]
        self.computed = 0
        self.sequence = -1  # of the backend, while it is computed
        self._sum: npt.NDArray[np.float64] | None = None
        self._one: npt.NDArray[np.float64] | None = None  # the state that counts alone, or a vector made elsewhere

    @property
    def pending(self) -> int:
        """Tokens that are not computed yet."""
        return len(self.tokens) - self.computed

    def restart(self) -> None:
        """What was computed is lost."""
        self.computed = 0
        self.sequence = -1
        self._sum = self._one = None

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Take the hidden states of the next tokens, float32 [tokens, n_embd]."""
        import numpy as np

        is_first, pooling = self.computed == 0, self.request.options.pooling
        self.computed += len(rows)
        if pooling == "last" or (pooling == "cls" and is_first):
            self._one = rows[-1 if pooling == "last" else 0].astype(np.float64)
        if pooling != "mean":
            return
        part = rows.sum(axis=0, dtype=np.float64)  # so that it does not matter in how many parts a text comes
        self._sum = part if self._sum is None else self._sum + part

    def take(self, vector: npt.NDArray[np.float32]) -> None:
        """The vector of the whole text, pooled by the model."""
        import numpy as np

        self.computed = len(self.tokens)
        self._one = vector.astype(np.float64)

    def finish(self) -> Embedding:
        """The vector of the whole text. Raises BackendError where the model gave no finite one."""
        import numpy as np

        assert self.pending == 0
        vector = self._one if self._sum is None else self._sum / len(self.tokens)
        assert vector is not None
        if not np.isfinite(vector).all():
            raise BackendError(
                f"the model gave text {self.index} a vector that is not finite",
                hint="the weights are damaged, or too large for this type of KV cache",
            )
        length = float(np.linalg.norm(vector))
        if self.request.options.normalise and length > 0:
            vector = vector / length
        return Embedding(self.index, len(self.tokens), vector.astype("<f4").tobytes())


class LiveTexts:
    """The texts of one request: those that have a sequence, and those that wait for one."""

    def __init__(self, request: EmbedRequest) -> None:
        self.request = request
        self.key = CacheKey.of(None, request.options.adapters)
        self.begun: list[LiveText] = []
        self.waiting = deque(LiveText(request, index) for index in range(len(request.texts)))

    @property
    def is_over(self) -> bool:
        """True when every text has its vector."""
        return not self.begun and not self.waiting


class TextShare(NamedTuple):
    """Of one text, the first ``n_tokens`` that are not computed yet."""

    text: LiveText
    n_tokens: int


def plan_texts(
    requests: Sequence[LiveTexts], n_tokens: int, begin: Callable[[LiveText], bool], *, whole: bool = False
) -> list[TextShare]:
    """Shares of one step of at most ``n_tokens`` tokens, for requests of the same adapters.

    The requests give one text each in turn, what is begun before what waits. ``begin`` finds a sequence for a text;
    False means that no more can be begun now. With ``whole`` no text is taken in parts: every one fits into a step.
    """
    shares: list[TextShare] = []
    room = n_tokens

    def fits(text: LiveText) -> bool:
        return (not whole or len(text.tokens) <= room) and begin(text)

    sources = deque(_texts(live, fits) for live in requests)
    while sources and room > 0:
        source = sources.popleft()
        text = next(source, None)
        if text is not None and whole and text.pending > room:
            continue  # one that has to be computed again: it begins the next step
        if text is not None:
            shares.append(TextShare(text, min(text.pending, room)))
            room -= shares[-1].n_tokens
            sources.append(source)
    return shares


def _texts(live: LiveTexts, begin: Callable[[LiveText], bool]) -> Iterator[LiveText]:
    yield from list(live.begun)
    while live.waiting and begin(live.waiting[0]):
        text = live.waiting.popleft()
        live.begun.append(text)
        yield text

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
        self._last: npt.NDArray[np.float64] | None = None

    @property
    def pending(self) -> int:
        """Tokens that are not computed yet."""
        return len(self.tokens) - self.computed

    def restart(self) -> None:
        """What was computed is lost."""
        self.computed = 0
        self.sequence = -1
        self._sum = self._last = None

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Take the hidden states of the next tokens, float32 [tokens, n_embd]."""
        import numpy as np

        self.computed += len(rows)
        if self.request.options.pooling == "last":
            self._last = rows[-1].astype(np.float64)
            return
        part = rows.sum(axis=0, dtype=np.float64)  # so that it does not matter in how many parts a text comes
        self._sum = part if self._sum is None else self._sum + part

    def finish(self) -> Embedding:
        """The vector of the whole text. Raises BackendError where the model gave no finite one."""
        import numpy as np

        assert self.pending == 0
        vector = self._last if self._sum is None else self._sum / len(self.tokens)
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


def plan_texts(requests: Sequence[LiveTexts], n_tokens: int, begin: Callable[[LiveText], bool]) -> list[TextShare]:
    """Shares of one step of at most ``n_tokens`` tokens, for requests of the same adapters.

    The requests give one text each in turn, what is begun before what waits. ``begin`` finds a sequence for a text;
    False means that no more can be begun now.
    """
    shares: list[TextShare] = []
    sources = deque(_texts(live, begin) for live in requests)
    while sources and n_tokens > 0:
        source = sources.popleft()
        text = next(source, None)
        if text is not None:
            shares.append(TextShare(text, min(text.pending, n_tokens)))
            n_tokens -= shares[-1].n_tokens
            sources.append(source)
    return shares


def _texts(live: LiveTexts, begin: Callable[[LiveText], bool]) -> Iterator[LiveText]:
    yield from list(live.begun)
    while live.waiting and begin(live.waiting[0]):
        text = live.waiting.popleft()
        live.begun.append(text)
        yield text

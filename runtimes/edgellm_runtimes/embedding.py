"""What texts are embedded with, and the vectors that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, get_args

import msgspec

from edgellm.errors import UsageError
from edgellm.formats.encoders import Pooling
from edgellm_runtimes.generation import AdapterUse, check_adapters

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["EmbedOptions", "EmbedRequest", "Embedding", "Embeddings", "Pooling"]


class EmbedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How texts become vectors. Raises UsageError where a value is off.

    "mean" is the mean of the hidden states of all tokens after the model's last norm, "cls" the one of the first token,
    "last" that of the last.
    """

    pooling: Pooling
    normalise: bool = True  # to a length of 1
    adapters: tuple[AdapterUse, ...] = ()

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise UsageError(f"the pooling is {self.pooling!a}; it must be mean, cls or last")
        check_adapters(self.adapters)


class Embedding(msgspec.Struct, frozen=True):
    """The vector of one text of a request."""

    index: int  # of the text
    n_tokens: int
    values: bytes  # float32 [n_embd]


class Embeddings(NamedTuple):
    """The vectors of texts, in the order of the texts."""

    vectors: npt.NDArray[np.float32]  # [texts, n_embd]
    n_tokens: tuple[int, ...]  # of each text


class EmbedRequest:
    """Texts on their way to a scheduler, as token ids. ``id`` names them in what the scheduler delivers."""

    def __init__(self, id: int, texts: Sequence[Sequence[int]], options: EmbedOptions) -> None:
        self.id = id
        self.texts = texts
        self.options = options

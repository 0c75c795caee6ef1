"""The protocol of one loaded model: what a scheduler may ask of any inference library.

A backend is driven by one thread. It holds the KV cache of many sequences; every decode call appends tokens to some of
them and gives the logits of chosen positions. What the library would answer by ending the process is checked here
first and raised as BackendError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from edgellm.errors import BackendError
from edgellm.formats.encoders import Pooling

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from edgellm_runtimes.generation import AdapterUse

__all__ = [
    "AbortSignal",
    "Backend",
    "BackendLimits",
    "BackendSettings",
    "CacheFullError",
    "Capability",
    "DecodeAbortedError",
    "ModelFacts",
    "Pooling",
    "TokenSlice",
    "Vocabulary",
]


Capability = Literal["adapters", "embeddings", "generation", "pooling", "save", "shift", "threads"]
"""What not every backend, or not every model, can do; asked for where it is lacking, it raises UnsupportedError. With
"threads" another number of them costs nothing; without, it takes long.

Without "generation" a model is an encoder: it takes whole texts, one call for each, and keeps nothing of them.
"""


class CacheFullError(BackendError):
    """No room in the KV cache for this batch; nothing was decoded. Drop a sequence and try again."""


class DecodeAbortedError(BackendError):
    """The abort flag was set during decode; the sequences keep what was finished (ask ``sequence_length``)."""


class BackendSettings(msgspec.Struct, frozen=True):
    """How to load a model.

    Sequences share one pool of ``context * sequences`` positions, where a prefix is shared without a copy; or, with
    ``shared_cells`` False, each has room of its own for ``context`` positions: every step is faster, as each looks at
    its own positions only, and a prefix is copied.
    """

    context: int  # tokens of one sequence
    sequences: int = 1
    spare_sequences: int = 0  # further ones: they hold prefixes that may come again
    shared_cells: bool = True
    batch: int = 512  # most tokens of one decode call
    ubatch: int = 512  # tokens that the library computes at once
    outputs: int = 0  # most logits rows of one decode call; 0 is one per sequence
    threads: int = 1  # for calls of one token
    batch_threads: int = 1  # for calls of more tokens
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool = True
    mmap: bool = True
    repack: bool = True  # keep a second copy of the weights in the layout that the CPU kernels like


class BackendLimits(msgspec.Struct, frozen=True):
    """What one loaded model can take."""

    n_batch: int  # tokens of one decode call
    n_ubatch: int
    n_outputs: int  # logits rows of one decode call
    n_hidden: int  # tokens of one call of hidden_states
    n_sequences: int
    n_context: int  # tokens of one sequence
    n_pool: int  # tokens of all sequences together
    shared_cells: bool  # one position may belong to several sequences
    n_vocab: int  # length of a logits row


class ModelFacts(msgspec.Struct, frozen=True):
    """What the loaded file says about itself."""

    architecture: str
    description: str
    n_parameters: int
    size_bytes: int
    trained_context: int
    chat_template: str | None
    n_embd: int  # length of a hidden state
    pooling: Pooling | None  # that the model was trained for embeddings with
    normalised: bool = False  # with "pooling": its vectors have a length of 1


class TokenSlice(NamedTuple):
    """Tokens to append to one sequence, and how many of the last ones give a logits row."""

    sequence: int
    tokens: Sequence[int] | npt.NDArray[np.signedinteger]
    n_outputs: int = 1


class Vocabulary(Protocol):
    """Text to token ids and back. Safe to call from any thread while the backend is open."""

    n_tokens: int
    bos: int | None
    eos: int | None
    eot: int | None
    adds_bos: bool  # plain text starts with bos

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``; ``parse_special`` reads ``<|...|>`` markers as their tokens. Raises UsageError."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that ``token`` adds to the text: may end inside a UTF-8 character; empty for control tokens
        unless ``special``. Raises BackendError for an id outside the vocabulary."""

    def is_end(self, token: int) -> bool:
        """True when ``token`` ends a generation."""


class AbortSignal(Protocol):
    """Stops a running call. Any thread may use it."""

    def set(self) -> None:
        """Ask the running call to stop."""

    def clear(self) -> None:
        """Allow the next call."""

    @property
    def is_set(self) -> bool:
        """True while set."""


class Backend(Protocol):
    """One loaded model with its KV cache. One thread at a time, the vocabulary apart."""

    adapters: tuple[str, ...]  # names of the LoRA adapters that it can compute with
    capabilities: frozenset[Capability]
    limits: BackendLimits
    settings: BackendSettings
    facts: ModelFacts
    path: Path
    vocabulary: Vocabulary
    state_traits: Mapping[str, str]  # what saved states depend on besides the weights, the adapters and the tokens
    abort_flag: AbortSignal  # set from any thread: the running decode stops within one graph node

    def decode(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence.

        Returns the logits, float32 [sum of n_outputs, n_vocab], rows in the order of the slices: a view that is valid
        until the next decode. Raises CacheFullError, DecodeAbortedError, BackendError.
        """

    def hidden_states(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence as ``decode`` does, for what the model makes of its tokens.

        Returns the hidden states after the last norm, float32 [tokens of all slices, n_embd], rows in the order of the
        slices: a view that is valid until the next call. ``n_outputs`` of the slices does not matter. Raises
        UnsupportedError without the capability "embeddings", and what ``decode`` raises. Of an encoder every slice is
        a whole text.
        """

    def text_vectors(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """The vectors of whole texts as the model itself pools them, float32 [slices, n_embd], in their order.

        Raises likewise; UnsupportedError without the capability "pooling".
        """

    def sequence_length(self, sequence: int) -> int:
        """Number of tokens in the cache of ``sequence``."""

    def copy_sequence(self, source: int, target: int, length: int | None = None) -> bool:
        """Make ``target`` (dropped first) begin as ``source`` does: its first ``length`` tokens, or all.

        Returns False, with ``target`` empty, when the model's cache cannot be cut there.
        """

    def truncate_sequence(self, sequence: int, length: int) -> bool:
        """Keep the first ``length`` tokens. Returns False, with nothing changed, when the cache cannot be cut there
        (recurrent state, a sliding window that has moved on)."""

    def shift_sequence(self, sequence: int, keep: int, drop: int) -> bool:
        """Take ``drop`` tokens out after the first ``keep``: those behind move forward in position, and stay computed
        as they were. No other sequence may hold any of them. Returns False, with nothing changed, when the cache
        cannot do that."""

    def drop_sequence(self, sequence: int) -> None:
        """Forget ``sequence``."""

    def set_adapters(self, uses: Sequence[AdapterUse]) -> None:
        """From the next decode on compute with these LoRA adapters, and with no others.

        They count for every sequence of a batch, and what a sequence has in its cache keeps the adapters that it was
        computed with. A change costs once; calling it with what is set already costs nothing. An adapter is loaded when
        it is first used. Raises NotFoundError for a name that the model does not have, UsageError for one that comes
        twice or a scale that is not finite, ModelFileError and its like where its file cannot be used (then nothing has
        changed).
        """

    def saved_bytes(self, sequence: int, length: int | None = None) -> int:
        """About how many bytes ``save_sequence`` would write."""

    def save_sequence(self, sequence: int, path: Path, length: int | None = None) -> bool:
        """Write the state of the first ``length`` tokens of ``sequence``, or of all, into the file ``path``.

        Memory stays below that of one layer. Returns False, with nothing written, when the model's cache cannot be cut
        there. Raises CacheFullError when cutting needs a free sequence and none is, NoSpaceError, BackendError.
        """

    def restore_sequence(self, sequence: int, path: Path, length: int) -> None:
        """Make ``sequence`` (dropped first) hold the ``length`` tokens whose state the file ``path`` starts with.

        Only for a file that is known to be whole, of these weights and adapters and of equal ``state_traits``: the
        library trusts what it reads. After an error the sequence is empty. Raises CacheFullError, BackendError.
        """

    def set_threads(self, threads: int, batch_threads: int) -> None:
        """Change the number of threads from the next decode on."""

    def close(self) -> None:
        """Free the model. Calling it again does nothing."""

"""What a backend refuses before its library sees it: that library would end the process, or mix things up."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.errors import BackendError, NoSpaceError, UsageError
from edgellm_runtimes.backend import BackendLimits, BackendSettings, TokenSlice

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "FULL_DISK",
    "LARGEST_SEQUENCES",
    "check_batch",
    "check_copy",
    "check_cut",
    "check_ids",
    "check_ranges",
    "check_sequence",
    "check_threads",
    "logits_rows",
    "no_space",
    "saved_length",
]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LARGEST_SEQUENCES = 256  # LLAMA_MAX_SEQ


def check_ranges(settings: BackendSettings, longest_context: int, hint: str | None = None) -> None:
    """Raise UsageError for impossible numbers; ``hint`` says why a context ends at ``longest_context``."""
    ranges = {
        "context": (settings.context, 1, longest_context),
        "sequences": (settings.sequences, 1, LARGEST_SEQUENCES),
        "spare sequences": (settings.spare_sequences, 0, LARGEST_SEQUENCES - settings.sequences),
        "batch": (settings.batch, 1, 2**20),
        "ubatch": (settings.ubatch, 1, 2**20),
        "outputs": (settings.outputs, 0, 2**20),
        "threads": (settings.threads, 1, 512),
        "batch_threads": (settings.batch_threads, 1, 512),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}; it must be {low} to {high}", hint=hint if name == "context" else None)


def logits_rows(settings: BackendSettings) -> int:
    """Logits rows that room is reserved for: one per sequence at least, llama.cpp wants them."""
    return max(settings.outputs, settings.sequences + settings.spare_sequences)


def check_batch(slices: Sequence[TokenSlice], lengths: Sequence[int], limits: BackendLimits, most_rows: int) -> int:
    """Returns the number of output rows. ``lengths`` are the tokens of each sequence now. Raises BackendError."""
    n_tokens = n_rows = 0
    seen = set()
    for sequence, tokens, n_outputs in slices:
        check_sequence(sequence, lengths)
        count = len(tokens)
        if count == 0 or sequence in seen:
            raise BackendError(f"sequence {sequence} must come once in a batch, with at least one token")
        if not 0 <= n_outputs <= count:
            raise BackendError(f"{n_outputs} output rows were asked of {count} tokens")
        if lengths[sequence] + count > limits.n_context:
            raise BackendError(
                f"sequence {sequence} would have {lengths[sequence] + count} tokens, "
                f"the context holds {limits.n_context}"
            )
        seen.add(sequence)
        n_tokens += count
        n_rows += n_outputs
    if not 0 < n_tokens <= limits.n_batch:
        raise BackendError(f"a batch of {n_tokens} tokens: 1 to {limits.n_batch} are possible")
    if n_rows > most_rows:
        raise BackendError(f"a batch with {n_rows} output rows: at most {most_rows} are possible")
    return n_rows


def check_ids(tokens: npt.NDArray[np.signedinteger], n_vocab: int) -> None:
    """Raise BackendError for a token id outside the vocabulary."""
    wrong = (tokens < 0) | (tokens >= n_vocab)
    if wrong.any():
        raise BackendError(f"token id {tokens[wrong][0]} is outside the vocabulary of {n_vocab}")


def check_sequence(sequence: int, lengths: Sequence[int]) -> None:
    """Raise BackendError for a sequence that does not exist."""
    if not 0 <= sequence < len(lengths):
        raise BackendError(f"sequence {sequence} is outside 0 to {len(lengths) - 1}")


def check_copy(source: int, target: int, length: int | None, lengths: Sequence[int]) -> int:
    """How many tokens of ``source`` go to ``target``. Raises BackendError."""
    check_sequence(source, lengths)
    check_sequence(target, lengths)
    if source == target:
        raise BackendError(f"sequence {source} cannot be copied onto itself")
    wanted = lengths[source] if length is None else length
    if not 0 <= wanted <= lengths[source]:
        raise BackendError(f"sequence {source} has {lengths[source]} tokens, {wanted} of them cannot be copied")
    return wanted


def check_cut(sequence: int, length: int, lengths: Sequence[int]) -> int:
    """How many tokens ``sequence`` has before it is cut to ``length``. Raises BackendError."""
    check_sequence(sequence, lengths)
    now = lengths[sequence]
    if not 0 <= length <= now:
        raise BackendError(f"sequence {sequence} has {now} tokens, it cannot be cut to {length}")
    return now


def saved_length(sequence: int, length: int | None, lengths: Sequence[int]) -> int:
    """How many tokens of ``sequence`` are saved. Raises BackendError."""
    check_sequence(sequence, lengths)
    now = lengths[sequence]
    wanted = now if length is None else length
    if not 0 < wanted <= now:
        raise BackendError(f"sequence {sequence} has {now} tokens, {wanted} of them cannot be saved")
    return wanted


def check_threads(threads: int, batch_threads: int) -> None:
    """Raise BackendError for impossible numbers of threads."""
    if threads < 1 or batch_threads < 1:
        raise BackendError(f"{threads} and {batch_threads} threads: at least 1 each is needed")


def no_space(path: Path) -> NoSpaceError:
    """The error for a state that does not fit on the disk of ``path``."""
    return NoSpaceError(
        f"the disk is full: the state of a sequence does not fit into {path.parent}",
        hint="free some space (`edgellm cache clear` removes saved prefixes)",
    )

"""What the backends of all encoders have in common: a text is computed in one call, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgellm.errors import BackendError, MissingAbilityError, NotFoundError
from edgellm_runtimes.backend import BackendLimits, BackendSettings, TokenSlice
from edgellm_runtimes.checks import check_batch, check_copy, check_cut, check_sequence

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from edgellm_runtimes.generation import AdapterUse

__all__ = ["ENCODER_SEQUENCES", "EncoderBase", "encoder_limits", "no_generation"]

ENCODER_SEQUENCES = 64
"""Texts that may share a call; they cost nothing while they are not used."""


def no_generation(what: str = "this model") -> MissingAbilityError:
    """The error for whoever wants text of an encoder."""
    return MissingAbilityError(
        f"{what} does not support generation: it is an encoder, which turns texts into vectors",
        hint="ask for embeddings (`edgellm embed`, /v1/embeddings), or take a model that generates text",
    )


def encoder_limits(settings: BackendSettings, n_batch: int, n_vocab: int) -> BackendLimits:
    """Of an encoder that takes ``n_batch`` tokens in a call: it shares no cells, and all is computed in one go."""
    n_sequences = settings.sequences + settings.spare_sequences
    return BackendLimits(
        n_batch=n_batch,
        n_ubatch=n_batch,
        n_outputs=n_batch,
        n_hidden=n_batch,
        n_sequences=n_sequences,
        n_context=settings.context,
        n_pool=settings.context * n_sequences,
        shared_cells=False,
        n_vocab=n_vocab,
    )


class EncoderBase:
    """The part of ``backend.Backend`` that is the same for all of them."""

    adapters: tuple[str, ...] = ()
    limits: BackendLimits
    state_traits: Mapping[str, str] = {}

    def decode(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Raises MissingAbilityError."""
        raise no_generation()

    def sequence_length(self, sequence: int) -> int:
        """0: nothing is kept."""
        check_sequence(sequence, self._lengths)
        return 0

    def copy_sequence(self, source: int, target: int, length: int | None = None) -> bool:
        """Nothing to copy."""
        check_copy(source, target, length, self._lengths)
        return True

    def truncate_sequence(self, sequence: int, length: int) -> bool:
        """Nothing to cut."""
        check_cut(sequence, length, self._lengths)
        return True

    def shift_sequence(self, sequence: int, keep: int, drop: int) -> bool:
        """Raises BackendError: there are no tokens to take out."""
        check_sequence(sequence, self._lengths)
        raise BackendError(f"{drop} tokens after {keep} cannot be taken out of 0")

    def drop_sequence(self, sequence: int) -> None:
        """Nothing to forget."""
        check_sequence(sequence, self._lengths)

    def set_adapters(self, uses: Sequence[AdapterUse]) -> None:
        """NotFoundError for any: encoders have none here."""
        if uses:
            raise NotFoundError(
                f"this model has no adapter {uses[0].name[:80]!r}",
                hint="encoders have none here: merge it before packing",
            )

    def saved_bytes(self, sequence: int, length: int | None = None) -> int:
        """Raises MissingAbilityError: there is no state."""
        raise _no_state()

    def save_sequence(self, sequence: int, path: Path, length: int | None = None) -> bool:
        """Raises MissingAbilityError."""
        raise _no_state()

    def restore_sequence(self, sequence: int, path: Path, length: int) -> None:
        """Raises MissingAbilityError."""
        raise _no_state()

    def check_texts(self, slices: Sequence[TokenSlice]) -> list[TokenSlice]:
        """``slices`` with a row for each token. Raises BackendError for what does not fit into one call."""
        whole = [TokenSlice(slice_.sequence, slice_.tokens, len(slice_.tokens)) for slice_ in slices]
        check_batch(whole, self._lengths, self.limits, self.limits.n_hidden)
        return whole

    @property
    def _lengths(self) -> Sequence[int]:
        """The tokens that each sequence holds."""
        return [0] * self.limits.n_sequences


def _no_state() -> MissingAbilityError:
    return MissingAbilityError("an encoder keeps no state of a text that could be saved")

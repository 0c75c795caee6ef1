"""Chooses the next token of every answer that is up to date, all rows of a step in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm.errors import EdgeLLMError, UsageError
from edgellm_runtimes.sampler import sample_each
from edgellm_runtimes.scheduler.live import LiveAnswer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgellm_runtimes.backend import Vocabulary

__all__ = ["TokenChooser"]

_WORD_BITS = 32


class TokenChooser:
    """Rows of logits to tokens, for answers with and without rules about what may come next."""

    def __init__(self, vocabulary: Vocabulary, n_vocab: int) -> None:
        self._vocabulary = vocabulary
        self._n_words = -(-n_vocab // _WORD_BITS)
        self._no_ends: npt.NDArray[np.uint32] | None = None

    def choose(self, answers: Sequence[LiveAnswer], rows: npt.NDArray[np.float32]) -> list[int | EdgeLLMError]:
        """A token for each answer from its row, float32 [len(answers), n_vocab]; an error for rows that have none.

        A grammar is asked about the token that was drawn; only where it refuses, the row is drawn from again with all
        refused tokens left out, by another random number: what is chosen so has the distribution of the row, given that
        the grammar allows it.
        """
        tokens: list[int | EdgeLLMError] = [
            *sample_each([answer.sampler for answer in answers], rows, self._masks(answers))
        ]
        for place, (answer, token) in enumerate(zip(answers, tokens, strict=True)):
            if answer.constraint is None or isinstance(token, EdgeLLMError):
                continue
            if not answer.constraint.allows(token):
                tokens[place] = self._choose_allowed(answer, rows[place : place + 1])
        return tokens

    def _choose_allowed(self, answer: LiveAnswer, row: npt.NDArray[np.float32]) -> int | EdgeLLMError:
        import numpy as np

        assert answer.constraint is not None
        mask = np.zeros((1, self._n_words), np.uint32)
        try:
            answer.constraint.mask_into(mask[0])
        except UsageError as error:
            return error
        if answer.may_not_end and (mask[0] & self._without_ends()).any():
            mask[0] &= self._without_ends()  # else nothing can follow: a grammar ends before the fewest tokens
        return answer.sampler.choose_again(row, mask)

    def _masks(self, answers: Sequence[LiveAnswer]) -> npt.NDArray[np.uint32] | None:
        """What is forbidden whatever is drawn; None where nothing is."""
        held = [place for place, answer in enumerate(answers) if answer.may_not_end]
        if not held:
            return None
        import numpy as np

        masks = np.full((len(answers), self._n_words), 0xFFFFFFFF, np.uint32)
        masks[held] = self._without_ends()
        return masks

    def _without_ends(self) -> npt.NDArray[np.uint32]:
        """Every token but those that end an answer."""
        if self._no_ends is None:
            import numpy as np

            bits = np.ones(self._n_words * _WORD_BITS, np.uint8)
            bits[[token for token in range(self._vocabulary.n_tokens) if self._vocabulary.is_end(token)]] = 0
            self._no_ends = np.packbits(bits, bitorder="little").view(np.uint32)
        return self._no_ends

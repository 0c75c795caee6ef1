"""The arrays of one llama_batch, filled through numpy views: 0.87 us per token from plain Python adds up."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgellm_runtimes.backend import TokenSlice

__all__ = ["BatchArrays"]


class BatchArrays:
    """Room for ``n_batch`` tokens, each in one sequence."""

    def __init__(self, lib: Any, n_batch: int) -> None:
        self.tokens = np.zeros(n_batch, np.int32)
        self.positions = np.zeros(n_batch, np.int32)
        self.outputs = np.zeros(n_batch, np.int8)
        self.sequences = np.zeros(n_batch, np.int32)
        self._sequence_counts = np.ones(n_batch, np.int32)
        # seq_id is an array of pointers, one list of ids per token: ours point into `sequences`, one id each
        self._sequence_pointers = self.sequences.ctypes.data + 4 * np.arange(n_batch, dtype=np.uintp)
        self.struct = lib.llama_batch()
        self.struct.token = _pointer(self.tokens, ctypes.c_int32)
        self.struct.pos = _pointer(self.positions, ctypes.c_int32)
        self.struct.n_seq_id = _pointer(self._sequence_counts, ctypes.c_int32)
        self.struct.seq_id = _pointer(self._sequence_pointers, ctypes.POINTER(ctypes.c_int32))
        self.struct.logits = _pointer(self.outputs, ctypes.c_int8)

    def fill(self, slices: Sequence[TokenSlice], lengths: Sequence[int]) -> int:
        """Lay ``slices`` behind each other; ``lengths`` gives where each sequence ends now. Returns the token count.

        The caller has checked that they fit.
        """
        start = 0
        for slice_ in slices:
            count = len(slice_.tokens)
            end = start + count
            first = lengths[slice_.sequence]
            self.tokens[start:end] = slice_.tokens
            self.positions[start:end] = np.arange(first, first + count, dtype=np.int32) if count > 1 else first
            self.sequences[start:end] = slice_.sequence
            self.outputs[start:end] = 0
            if slice_.n_outputs:
                self.outputs[end - slice_.n_outputs : end] = 1
            start = end
        self.struct.n_tokens = start
        return start


def _pointer(array: np.ndarray[Any, Any], ctype: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(ctype))

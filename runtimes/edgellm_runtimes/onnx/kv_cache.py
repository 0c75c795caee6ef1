"""The KV cache of all sequences: two arrays per layer, which ONNX Runtime reads and writes in place."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.files import Decoder

__all__ = ["KvCache"]


class KvCache:
    """``rows`` sequences of at most ``capacity`` tokens; arrays [rows, kv heads, capacity, head size] of ``dtype``.

    Memory is taken when a page is first written to, and given back when a sequence is dropped.
    """

    def __init__(self, decoder: Decoder, rows: int, capacity: int, dtype: npt.DTypeLike) -> None:
        self.lengths = [0] * rows
        self.capacity = capacity
        self._shape = (rows, decoder.num_key_value_heads, capacity, decoder.head_size)
        self._dtype = np.dtype(dtype)
        self._maps: list[mmap.mmap] = []
        self.arrays: list[npt.NDArray[np.generic]] = []  # key and value of layer 0, of layer 1, ...
        self._touched = [0] * rows  # tokens that a row has memory for
        for _ in range(2 * decoder.num_hidden_layers):
            self.arrays.append(self._reserve())

    @property
    def token_bytes(self) -> int:
        """What one token takes in all layers."""
        _rows, heads, _capacity, head_size = self._shape
        return len(self.arrays) * heads * head_size * self._dtype.itemsize

    def wrote(self, row: int, n_tokens: int) -> None:
        """A run has appended ``n_tokens`` to ``row``."""
        self.lengths[row] += n_tokens
        self.touch(row, self.lengths[row])

    def copy(self, source: int, target: int, length: int) -> None:
        """Let ``target`` begin with the first ``length`` tokens of ``source``."""
        for array in self.arrays:
            array[target, :, :length] = array[source, :, :length]
        self.lengths[target] = 0
        self.wrote(target, length)

    def drop(self, row: int) -> None:
        """Forget ``row`` and give its memory back."""
        self.lengths[row] = 0
        if self._touched[row]:
            self._touched[row] = 0
            self._give_back(row)

    @property
    def layout(self) -> tuple[int, int, int]:
        """Heads, elements of a head, and bytes of an element."""
        _rows, heads, _capacity, head_size = self._shape
        return heads, head_size, self._dtype.itemsize

    def touch(self, row: int, n_tokens: int) -> None:
        """The first ``n_tokens`` of ``row`` may have been written to, though they are no part of it."""
        self._touched[row] = max(self._touched[row], n_tokens)

    def parts(self, row: int, length: int) -> Iterator[npt.NDArray[np.generic]]:
        """The first ``length`` tokens of ``row``: [length, head size] for every head of every array."""
        for array in self.arrays:
            for head in array[row]:
                yield head[:length]

    def close(self) -> None:
        """Free everything; nobody may use the arrays any more."""
        self.arrays.clear()
        self._maps.clear()  # unmapped when the last view goes

    def _reserve(self) -> npt.NDArray[np.generic]:
        size_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        try:
            memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, ValueError, OverflowError) as error:
            raise BackendError(
                f"there is no room for the KV cache of {self._shape[0]} sequences of {self.capacity} tokens: {error}",
                hint="try a smaller --context",
            ) from error
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)  # a huge page takes the room of thousands of tokens for the first one
        self._maps.append(memory)
        return np.frombuffer(memory, self._dtype).reshape(self._shape)

    def _give_back(self, row: int) -> None:
        row_bytes = int(np.prod(self._shape[1:])) * self._dtype.itemsize
        first = -(-row * row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (row + 1) * row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first and hasattr(mmap, "MADV_DONTNEED"):
            for memory in self._maps:
                memory.madvise(mmap.MADV_DONTNEED, first, last - first)

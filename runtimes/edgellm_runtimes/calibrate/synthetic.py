"""Small models of one weight type, made on the fly: their speed tells that of the type, their text means nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.formats.ggml_types import TYPES, row_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["N_TOKENS", "Shape", "model_file"]

N_TOKENS = 512  # vocabulary; small, so that the output matrix does not count
_TILE_ROWS = 16  # rows that are drawn and quantized; they repeat


class Shape(msgspec.Struct, frozen=True):
    """Hyper-parameters of a llama model; a multiple of 256 in every row length, for the types with super-blocks."""

    n_embd: int
    n_ff: int
    n_layers: int
    head_size: int = 64

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.n_embd // self.head_size

    @property
    def n_kv_heads(self) -> int:
        """Key-value heads: one for four query heads."""
        return max(1, self.n_heads // 4)

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and row length of the matrices of one layer."""
        key_value = self.n_kv_heads * self.head_size
        return {
            "attn_q": (self.n_embd, self.n_embd),
            "attn_k": (key_value, self.n_embd),
            "attn_v": (key_value, self.n_embd),
            "attn_output": (self.n_embd, self.n_embd),
            "ffn_gate": (self.n_ff, self.n_embd),
            "ffn_up": (self.n_ff, self.n_embd),
            "ffn_down": (self.n_embd, self.n_ff),
        }

    @property
    def n_weights(self) -> int:
        """Weights of the matrices that a step reads, the output matrix included."""
        return self.n_layers * sum(rows * length for rows, length in self.matrices.values()) + N_TOKENS * self.n_embd

    @property
    def n_values(self) -> int:
        """Lengths of the rows that go into and come out of the matrices of all layers, for one token."""
        return self.n_layers * sum(rows + length for rows, length in self.matrices.values())


@contextlib.contextmanager
def model_file(lib: Any, shape: Shape, type_name: str) -> Iterator[Path]:
    """A GGUF file of ``shape`` with every matrix in ``type_name``, in memory where the system can; gone afterwards.

    ``lib`` is the loaded CDLL of llama.cpp, whose own quantization fills the blocks.
    """
    with contextlib.ExitStack() as stack:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("edgellm-calibration")
            stack.callback(os.close, descriptor)
            path = Path(f"/proc/self/fd/{descriptor}")
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgellm-"))
            path = Path(folder) / "model.gguf"
        _write(lib, path, shape, type_name)
        yield path


def _write(lib: Any, path: Path, shape: Shape, type_name: str) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token{i}" for i in range(N_TOKENS)])
    writer.add_token_scores([0.0] * N_TOKENS)
    writer.add_token_types([1] * N_TOKENS)
    kind = gguf.GGMLQuantizationType[type_name]
    tiles: dict[int, npt.NDArray[np.uint8]] = {}

    def add(name: str, rows: int, length: int) -> None:
        if length not in tiles:
            tiles[length] = _tile(lib, type_name, length)
        writer.add_tensor(name, np.tile(tiles[length], (rows // _TILE_ROWS, 1)), raw_dtype=kind)

    add("token_embd.weight", N_TOKENS, shape.n_embd)
    for layer in range(shape.n_layers):
        for name, (rows, length) in shape.matrices.items():
            add(f"blk.{layer}.{name}.weight", rows, length)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(shape.n_embd, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(shape.n_embd, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tile(lib: Any, type_name: str, length: int) -> npt.NDArray[np.uint8]:
    """A few quantized rows of small random weights."""
    import numpy as np

    values = np.random.default_rng(0).standard_normal((_TILE_ROWS, length), np.float32) * np.float32(0.02)
    blocks = np.zeros((_TILE_ROWS, row_bytes(type_name, length)), np.uint8)
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk(
        ctypes.c_int(TYPES[type_name].id),
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_void_p(blocks.ctypes.data),
        ctypes.c_int64(0),
        ctypes.c_int64(_TILE_ROWS),
        ctypes.c_int64(length),
        None,
    )
    return blocks

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

from edgellm.files import os_errors, require_free_space
from edgellm.formats.ggml_types import TYPES, row_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["N_TOKENS", "Shape", "model_file"]

N_TOKENS = 512  # vocabulary; small, so that the output matrix does not count
_HEADER_BYTES = 1 << 18  # the vocabulary, the norms and the table of tensors, at most
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

    ``lib`` is the loaded CDLL of llama.cpp, whose own quantization fills the blocks. Raises NoSpaceError, AccessError.
    """
    with contextlib.ExitStack() as stack:
        size_bytes = row_bytes(type_name, shape.n_weights) + _HEADER_BYTES
        path = Path(f"/proc/self/fd/{_nameless_file(stack, size_bytes)}")
        if not path.exists():  # no /proc: another system than Linux
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgellm-"))
            path = Path(folder) / "model.gguf"
        with os_errors("write a small model"):
            _write(lib, path, shape, type_name)
        yield path


def _nameless_file(stack: contextlib.ExitStack, size_bytes: int) -> int:
    """Descriptor of an empty file that is gone when this process ends, however that ends."""
    try:
        descriptor = os.memfd_create("edgellm-calibration")
    except (AttributeError, OSError):  # another system, an old kernel, or a sandbox that forbids it
        require_free_space(Path(tempfile.gettempdir()), size_bytes, "a small model")
        return stack.enter_context(tempfile.TemporaryFile(buffering=0)).fileno()
    stack.callback(os.close, descriptor)
    return descriptor


def _write(lib: Any, path: Path, shape: Shape, type_name: str) -> None:
    """One matrix at a time: a small board has no room for the model twice."""
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
    matrices = _matrices(shape)
    norms = ["output_norm", *(f"blk.{i}.{name}" for i in range(shape.n_layers) for name in ("attn_norm", "ffn_norm"))]
    ones = np.ones(shape.n_embd, np.float32)
    for name, (rows, length) in matrices.items():
        size = rows, row_bytes(type_name, length)
        writer.add_tensor_info(f"{name}.weight", size, np.dtype(np.uint8), size[0] * size[1], raw_dtype=kind)
    for name in norms:
        writer.add_tensor_info(f"{name}.weight", ones.shape, ones.dtype, ones.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    tiles = {length: _tile(lib, type_name, length) for _, length in matrices.values()}
    for rows, length in matrices.values():
        writer.write_tensor_data(np.tile(tiles[length], (rows // _TILE_ROWS, 1)))
    for _ in norms:
        writer.write_tensor_data(ones)
    writer.close()


def _matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """Rows and row length of every matrix, by its name in the file."""
    found = {"token_embd": (N_TOKENS, shape.n_embd)}
    for layer in range(shape.n_layers):
        found |= {f"blk.{layer}.{name}": size for name, size in shape.matrices.items()}
    return found


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

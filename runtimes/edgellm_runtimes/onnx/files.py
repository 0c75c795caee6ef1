"""The files of an ONNX model, wherever they lie and whatever they are called there; checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.files import os_errors, read_small_file
from edgellm.formats.onnx_graph import OnnxGraph, check_data, read_graph

__all__ = [
    "CONFIG",
    "DATA",
    "GRAPH",
    "OPTIONAL_INPUTS",
    "TOKENIZER",
    "TOKENIZER_CONFIG",
    "Decoder",
    "ModelConfig",
    "OnnxFiles",
    "is_onnx",
]

GRAPH = "model.onnx"
DATA = "model.onnx.data"
CONFIG = "genai_config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

OPTIONAL_INPUTS = ("query_lens", "logits_indices", "logits_count")
"""Inputs with defaults, for other programs: what has a default cannot be bound to our memory."""

_JSON_LIMIT_BYTES = 4 << 20
_LARGEST = 2**31
_AGAIN = "check the bundle with `edgellm verify`, or pack the model again"
_DATA_SIZE, _DATA_DIGEST = "edgellm.data_size", "edgellm.data_digest"  # metadata of the graph: what it belongs to
_BLOBS = "sha256"  # the folder of files that are called by their digest


class Decoder(msgspec.Struct, frozen=True):
    """The shape of the decoder; other entries are for onnxruntime-genai."""

    head_size: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    num_hidden_layers: int


class ModelConfig(msgspec.Struct, frozen=True):
    """The part ``model`` of genai_config.json that concerns us."""

    type: str
    context_length: int
    vocab_size: int
    decoder: Decoder
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None

    @property
    def ends(self) -> tuple[int, ...]:
        """Every token that ends a reply."""
        found = self.eos_token_id
        return () if found is None else tuple(found) if isinstance(found, list) else (found,)


class _GenaiConfig(msgspec.Struct, frozen=True):
    model: ModelConfig


def is_onnx(path: Path, files: Mapping[str, Path]) -> bool:
    """True when a model of these files is an ONNX model."""
    return GRAPH in files or path.suffix == ".onnx"


class OnnxFiles:
    """The files of one model: ``path`` is its graph, ``files`` has the others by their names in the bundle.

    Without ``files`` they lie in the folder of ``path``. Raises ModelFileError for files that are missing, damaged or
    do not belong together, UnsupportedError for an ONNX model that is no decoder of ours.
    """

    def __init__(self, path: Path, files: Mapping[str, Path] | None = None) -> None:
        self.path = path
        self._files = files or {name: path.parent / name for name in (CONFIG, TOKENIZER, TOKENIZER_CONFIG)}
        self.graph_bytes, self.graph = read_graph(path)
        self.config = self._read_config()
        self.data = self._find_data(path, files)
        _check_graph(self.graph, self.config, path)

    def text(self, name: str, limit_bytes: int = _JSON_LIMIT_BYTES) -> bytes:
        """The bytes of a small file. Raises ModelFileError."""
        found = self._files.get(name)
        if found is None or not found.exists():
            raise ModelFileError(f"{self.path}: {name} is missing beside it", hint=_AGAIN)
        return read_small_file(found, limit_bytes, name)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return name in self._files and self._files[name].exists()

    def where(self, name: str) -> Path:
        """The file called ``name``."""
        return self._files[name]

    @property
    def size_bytes(self) -> int:
        """Of the graph and its data."""
        with os_errors(f"read {self.data or self.path}"):
            return len(self.graph_bytes) + (self.data.stat().st_size if self.data is not None else 0)

    def _read_config(self) -> ModelConfig:
        try:
            config = msgspec.json.decode(self.text(CONFIG), type=_GenaiConfig).model
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ModelFileError(f"{self.path}: {CONFIG} is not valid: {error}", hint=_AGAIN) from error
        numbers = [config.context_length, config.vocab_size, *msgspec.structs.astuple(config.decoder)]
        if not all(0 < number < _LARGEST for number in numbers):
            raise ModelFileError(f"{self.path}: {CONFIG} states impossible numbers", hint=_AGAIN)
        return config

    def _find_data(self, path: Path, files: Mapping[str, Path] | None) -> Path | None:
        """The file that holds the tensors of the graph; None where they all lie in the graph."""
        locations = self.graph.locations
        if not locations:
            return None
        if len(locations) > 1 or "/" in (name := next(iter(locations))) or name.startswith("."):
            raise UnsupportedError(
                f"{path}: its tensors lie in {', '.join(sorted(locations))[:200]}; one file beside it is supported"
            )
        found = files.get(name) if files else path.parent / name
        if found is None or not found.exists():
            raise ModelFileError(f"{path}: its weights ({name}) are missing beside it", hint=_AGAIN)
        with os_errors(f"read {found}"):
            size_bytes = found.stat().st_size
        check_data(self.graph, size_bytes, str(found))
        stated = self.graph.metadata.get(_DATA_SIZE, "")
        digest = self.graph.metadata.get(_DATA_DIGEST, "")
        is_other = found.parent.name == _BLOBS and digest not in ("", f"sha256:{found.name}")
        if is_other or stated not in ("", str(size_bytes)):
            raise ModelFileError(
                f"{path} was made with other weights than those in {found}: they do not belong together", hint=_AGAIN
            )
        return found


def _check_graph(graph: OnnxGraph, config: ModelConfig, path: Path) -> None:
    """Refuse a graph that our sessions could not be fed with."""
    wanted: dict[str, tuple[Any, ...]] = {"input_ids": (None, None), "attention_mask": (None, None)}
    decoder = config.decoder
    kv = (None, decoder.num_key_value_heads, None, decoder.head_size)
    for layer in range(decoder.num_hidden_layers):
        wanted |= {f"past_key_values.{layer}.{part}": kv for part in ("key", "value")}
    missing = [name for name in (*wanted, *OPTIONAL_INPUTS) if name not in graph.inputs]
    missing += [name for name in ("logits", "hidden_states") if name not in graph.outputs]
    if missing:
        raise UnsupportedError(
            f"{path} has no {', '.join(missing[:3])}: only decoders that edgellm packed can be run here",
            hint="pack the checkpoint: edgellm pack CHECKPOINT --device local --format onnx",
        )
    for name, shape in wanted.items():
        found = graph.inputs[name].shape
        if len(found) != len(shape) or any(
            isinstance(there, int) and length is not None and there != length
            for there, length in zip(found, shape, strict=True)
        ):
            raise ModelFileError(
                f"{path}: {name} has the shape {list(found)}, {CONFIG} says {list(shape)}: they do not belong together",
                hint=_AGAIN,
            )
    vocabulary = graph.outputs["logits"].shape[-1:]
    if isinstance(vocabulary[0] if vocabulary else "", int) and vocabulary[0] != config.vocab_size:
        raise ModelFileError(
            f"{path}: its logits have {vocabulary[0]} entries, {CONFIG} says {config.vocab_size}", hint=_AGAIN
        )

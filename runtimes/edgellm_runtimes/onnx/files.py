"""The files of an ONNX model, wherever they lie and whatever they are called there; checked before they are used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.bundle.digest import sha256_stream
from edgellm.errors import ModelFileError, UnsupportedError
from edgellm.files import os_errors, read_small_file
from edgellm.formats.encoders import Pooling
from edgellm.formats.onnx_graph import OnnxGraph, check_data, read_graph

if TYPE_CHECKING:
    from edgellm.progress import CancelToken

__all__ = [
    "CONFIG",
    "DATA",
    "ENCODER_FACTS",
    "GRAPH",
    "OPTIONAL_INPUTS",
    "TOKENIZER",
    "TOKENIZER_CONFIG",
    "Decoder",
    "EncoderTraits",
    "ModelConfig",
    "OnnxFiles",
    "is_onnx",
]

GRAPH = "model.onnx"
DATA = "model.onnx.data"
CONFIG = "genai_config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

ENCODER_FACTS = "edgellm.encoder"
"""The key of a graph's metadata under which an encoder says what it is, as JSON."""

OPTIONAL_INPUTS = ("query_lens", "logits_indices", "logits_count")
"""Inputs with defaults, for other programs: what has a default cannot be bound to our memory."""

_JSON_LIMIT_BYTES = 4 << 20
_LARGEST = 2**31
_AGAIN = "check the bundle with `edgellm verify`, or pack the model again"
_DATA_SIZE, _DATA_DIGEST = "edgellm.data_size", "edgellm.data_digest"  # metadata of the graph: what it belongs to
_BLOBS = "sha256"  # the folder of files that are called by their digest


class Decoder(msgspec.Struct, frozen=True):
    """The shape of the layers; other entries are for onnxruntime-genai."""

    head_size: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    num_hidden_layers: int


class EncoderTraits(msgspec.Struct, frozen=True):
    """How the graph of an encoder makes one vector of a text."""

    pooling: Pooling
    normalised: bool  # to a length of 1


class ModelConfig(msgspec.Struct, frozen=True):
    """The part ``model`` of genai_config.json that concerns us; of an encoder the same from its graph."""

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
    do not belong together, UnsupportedError for an ONNX model that is none of ours.
    """

    def __init__(self, path: Path, files: Mapping[str, Path] | None = None) -> None:
        self.path = path
        self._files = files or {name: path.parent / name for name in (CONFIG, TOKENIZER, TOKENIZER_CONFIG)}
        self.graph_bytes, self.graph = read_graph(path)
        self.encoder: EncoderTraits | None = None
        if ENCODER_FACTS in self.graph.metadata:
            self.config, self.encoder = read_encoder(self.graph, path)
        else:
            self.config = self._read_config()
        self.data = self._find_data(path, files)
        if self.encoder is None:
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

    def prove_data(self, cancel: CancelToken, *, by_name: bool = True) -> None:
        """Show that the weights are those that the graph was made with. In a store their name does, unless ``by_name``
        is False; a file of another name is read once. Raises ModelFileError, Interrupted."""
        digest = self.graph.metadata.get(_DATA_DIGEST, "")
        if self.data is None or not digest or (by_name and self.data.parent.name == _BLOBS):
            return
        with os_errors(f"read {self.data}"), io.FileIO(self.data) as file:
            found, _length = sha256_stream(file, self.data.stat().st_size, cancel=cancel)
        if found != digest:
            raise self._other_weights(self.data)

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
        _check_numbers(config, f"{self.path}: {CONFIG}")
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
            raise self._other_weights(found)
        return found

    def _other_weights(self, data: Path) -> ModelFileError:
        return ModelFileError(
            f"{self.path} was made with other weights than those in {data}: they do not belong together", hint=_AGAIN
        )


def read_encoder(graph: OnnxGraph, path: Path) -> tuple[ModelConfig, EncoderTraits]:
    """What the graph of an encoder says about itself. Raises ModelFileError, UnsupportedError."""
    try:
        facts = msgspec.json.decode(graph.metadata[ENCODER_FACTS].encode(), type=_EncoderFacts)
    except msgspec.MsgspecError as error:
        raise ModelFileError(f"{path}: its facts are not valid: {error}", hint=_AGAIN) from error
    heads = facts.n_heads
    decoder = Decoder(facts.n_embd // max(1, heads), facts.n_embd, heads, heads, facts.n_layers)
    config = ModelConfig(facts.architecture, facts.n_positions, facts.n_vocab, decoder)
    _check_numbers(config, str(path))
    wanted = {"input_ids": (None, None), "attention_mask": (None, None)}
    given = {"token_embeddings": (None, None, facts.n_embd), "sentence_embedding": (None, facts.n_embd)}
    for values, shapes in ((graph.inputs, wanted), (graph.outputs, given)):
        for name, shape in shapes.items():
            if name not in values:
                raise UnsupportedError(
                    f"{path} has no {name}: only encoders that edgellm packed can be run here",
                    hint="pack the checkpoint: edgellm pack CHECKPOINT --device local --format onnx",
                )
            if not _fits(values[name].shape, shape):
                raise ModelFileError(
                    f"{path}: {name} has the shape {list(values[name].shape)} instead of {list(shape)}", hint=_AGAIN
                )
    return config, EncoderTraits(facts.pooling, facts.normalised)


class _EncoderFacts(msgspec.Struct, frozen=True):
    """The metadata ``ENCODER_FACTS`` of a graph."""

    architecture: str
    n_vocab: int
    n_embd: int
    n_heads: int
    n_layers: int
    n_positions: int
    pooling: Pooling
    normalised: bool


def _check_numbers(config: ModelConfig, what: str) -> None:
    numbers = [config.context_length, config.vocab_size, *msgspec.structs.astuple(config.decoder)]
    if not all(0 < number < _LARGEST for number in numbers):
        raise ModelFileError(f"{what} states impossible numbers", hint=_AGAIN)


def _fits(found: tuple[int | str, ...], shape: tuple[int | None, ...]) -> bool:
    """Whether an input or output has the lengths of ``shape``; None is any."""
    return len(found) == len(shape) and not any(
        isinstance(there, int) and length is not None and there != length
        for there, length in zip(found, shape, strict=True)
    )


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
        if not _fits(found, shape):
            raise ModelFileError(
                f"{path}: {name} has the shape {list(found)}, {CONFIG} says {list(shape)}: they do not belong together",
                hint=_AGAIN,
            )
    vocabulary = graph.outputs["logits"].shape[-1:]
    if isinstance(vocabulary[0] if vocabulary else "", int) and vocabulary[0] != config.vocab_size:
        raise ModelFileError(
            f"{path}: its logits have {vocabulary[0]} entries, {CONFIG} says {config.vocab_size}", hint=_AGAIN
        )

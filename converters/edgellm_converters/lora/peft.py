"""A PEFT folder: adapter_config.json and adapter_model.safetensors, read with the same distrust as a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import CheckpointError, NotFoundError, UnsupportedError, UsageError
from edgellm.formats.safetensors import read_header
from edgellm_converters.checkpoint import Checkpoint, TensorRef
from edgellm_converters.checkpoint.checkpoint import READ_DTYPES
from edgellm_converters.checkpoint.files import inside, read_json
from edgellm_converters.lora.config import LoraConfig, parse_config

__all__ = ["CONFIG_NAME", "WEIGHTS_NAME", "LoraPair", "PeftAdapter", "open_peft"]

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_PICKLE_NAME = "adapter_model.bin"
_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.(?:lora_([AB])\.weight|lora_embedding_([AB]))", re.DOTALL)
_BASE_LAYER = re.compile(r"(?:base_model\.model\.)?(.+)\.base_layer\.weight", re.DOTALL)
_AGAIN = "download the adapter again"
_MERGE = "merge the adapter into its base model with PEFT (merge_and_unload) and pack the result"


@dataclass(frozen=True)
class LoraPair:
    """The two matrices of one module: its weight [out, in] gains a multiple of ``b @ a``.

    Of an embedding table [vocabulary, width] it is the transpose of ``b @ a``.
    """

    module: str  # as the base model calls it: model.layers.0.self_attn.q_proj
    a: TensorRef  # [rank, in]; of an embedding [rank, vocabulary]
    b: TensorRef  # [out, rank]; of an embedding [width, rank]
    is_embedding: bool

    @property
    def rank(self) -> int:
        """Rows of ``a``, columns of ``b``."""
        return self.a.shape[0]


@dataclass(frozen=True)
class PeftAdapter:
    """An opened adapter: headers were read, no weights. ``reader`` reads its tensors from any thread."""

    path: Path
    config: LoraConfig
    pairs: tuple[LoraPair, ...]
    base_layers: dict[str, TensorRef]  # copies of the base model's own weights, by module
    reader: Checkpoint

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the result depends on."""
        return self.path / CONFIG_NAME, self.path / WEIGHTS_NAME

    @property
    def rank(self) -> int:
        """The largest rank of a module."""
        return max(pair.rank for pair in self.pairs)

    @property
    def n_weights(self) -> int:
        """Number of weights in all matrices."""
        return sum(half.n_rows * half.row_length for pair in self.pairs for half in (pair.a, pair.b))

    def close(self) -> None:
        """Close its files."""
        self.reader.close()


def open_peft(folder: Path) -> PeftAdapter:
    """Open the adapter in ``folder``.

    Raises UnsupportedError for pickled weights and for what is no plain LoRA (see ``parse_config``), CheckpointError
    for anything torn, lying or incomplete, UsageError for another kind of folder, NotFoundError, AccessError.
    """
    values = read_json(folder, _require_config(folder))
    config = parse_config(values)
    path = _weights(folder)
    tensors = {
        name: TensorRef(name, entry.dtype, entry.shape, path, entry.start, entry.end)
        for name, entry in read_header(path).items()
    }
    pairs, base_layers = _sort_out(path, tensors.values())
    for pair in pairs:
        if pair.rank != config.rank and not config.has_rank_pattern:
            raise CheckpointError(
                f"{path}: {pair.module} has the rank {pair.rank}, {CONFIG_NAME} says {config.rank}", hint=_AGAIN
            )
    return PeftAdapter(folder, config, pairs, base_layers, Checkpoint(folder, values, {}, tensors))


def _require_config(folder: Path) -> str:
    if folder.is_dir() and not (folder / CONFIG_NAME).exists():
        inner = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_NAME}"))
        if inner:
            hint = f"give one of the folders in it: {', '.join(inner[:5])}"
        elif (folder / "config.json").exists():
            hint = "this is a whole model: pack it by itself"
        else:
            hint = f"an adapter is a folder with {CONFIG_NAME} and {WEIGHTS_NAME}, as PEFT saves it, or a GGUF file"
        raise UsageError(f"{folder} is not an adapter: it has no {CONFIG_NAME}", hint=hint)
    return CONFIG_NAME


def _weights(folder: Path) -> Path:
    if not (folder / WEIGHTS_NAME).exists():
        if (folder / _PICKLE_NAME).exists():
            raise UnsupportedError(
                f"{folder} holds its weights only as {_PICKLE_NAME}, a Python pickle: reading it would run its code",
                hint="get the safetensors version, or save it once with a recent PEFT: "
                "PeftModel.from_pretrained(...).save_pretrained(...)",
            )
        raise NotFoundError(f"{folder} has no {WEIGHTS_NAME}", hint=_AGAIN)
    return inside(folder, WEIGHTS_NAME)


def _sort_out(path: Path, tensors: Iterable[TensorRef]) -> tuple[tuple[LoraPair, ...], dict[str, TensorRef]]:
    """The pairs by module, and the copies of base weights."""
    halves: dict[str, dict[str, TensorRef]] = {}
    embeddings: set[str] = set()
    base_layers: dict[str, TensorRef] = {}
    for tensor in tensors:
        if match := _NAME.fullmatch(tensor.name):
            module, side = match[1], match[2] or match[3]
            if side in halves.setdefault(module, {}):
                raise CheckpointError(f"{path} has lora_{side} of {module[:200]!r} twice", hint=_AGAIN)
            halves[module][side] = tensor
            if match[3]:
                embeddings.add(module)
        elif match := _BASE_LAYER.fullmatch(tensor.name):
            base_layers[match[1]] = tensor
        else:
            raise _no_lora(path, tensor.name)
    if not halves:
        raise CheckpointError(f"{path} holds no LoRA weights", hint=_AGAIN)
    pairs = [_pair(path, module, found, module in embeddings) for module, found in sorted(halves.items())]
    return tuple(pairs), base_layers


def _pair(path: Path, module: str, found: dict[str, TensorRef], is_embedding: bool) -> LoraPair:
    if len(found) != 2:
        raise CheckpointError(f"{path} has only lora_{next(iter(found))} of {module[:200]!r}", hint=_AGAIN)
    a, b = found["A"], found["B"]
    for half in (a, b):
        if half.dtype not in READ_DTYPES:
            raise UnsupportedError(
                f"the tensor {half.name[:200]!r} of {path} has dtype {half.dtype}",
                hint=f"save the adapter in {', '.join(READ_DTYPES)}",
            )
    if len(a.shape) != 2 or len(b.shape) != 2 or 0 in (*a.shape, *b.shape) or a.shape[0] != b.shape[1]:
        raise CheckpointError(
            f"{path}: the matrices of {module[:200]!r} are {list(a.shape)} and {list(b.shape)}, which do not multiply",
            hint=_AGAIN,
        )
    return LoraPair(module, a, b, is_embedding)


def _no_lora(path: Path, name: str) -> UnsupportedError:
    shown = f"{path} holds the tensor {name[:200]!r}"
    if "lora_magnitude_vector" in name:
        return UnsupportedError(f"{shown}: it is a DoRA, which a GGUF adapter cannot express", hint=_MERGE)
    if name.endswith(("embed_tokens.weight", "lm_head.weight")):
        return UnsupportedError(f"{shown}, a whole table beside the adapter (tokens were added to it?)", hint=_MERGE)
    return UnsupportedError(f"{shown}, which is no matrix of a LoRA", hint=_MERGE)

"""Where each tensor of a checkpoint lies: one safetensors file, or shards with an index."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.files import os_errors
from edgellm.formats.safetensors import DTYPE_BYTES, read_header
from edgellm.sources.repository_files import INDEX_NAME, SHARD, SINGLE_NAME
from edgellm_converters.checkpoint.files import inside, read_json

__all__ = ["TensorRef", "find_tensors"]

_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin", "consolidated.00.pth")


class TensorRef(NamedTuple):
    """One tensor of a checkpoint; ``start`` and ``end`` are offsets from the beginning of ``path``."""

    name: str
    dtype: str  # "BF16", "F16", "F32"
    shape: tuple[int, ...]  # row-major, the row length last
    path: Path
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor in its file."""
        return self.end - self.start

    @property
    def row_length(self) -> int:
        """Elements of one row; a vector is one row."""
        return self.shape[-1] if self.shape else 1

    @property
    def n_rows(self) -> int:
        """Number of rows of ``row_length`` elements."""
        count = 1
        for length in self.shape[:-1]:
            count *= length
        return count

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return DTYPE_BYTES[self.dtype]


def find_tensors(folder: Path) -> dict[str, TensorRef]:
    """The tensors of the checkpoint in ``folder``, from the headers alone.

    Raises CheckpointError for a missing or torn shard, a tensor that stands twice, or an index that disagrees with its
    shards; UnsupportedError when there are only pickled weights.
    """
    with os_errors(f"read {folder}"):
        present = {path.name for path in folder.iterdir()}
    if INDEX_NAME in present:
        return _from_index(folder)
    names = [SINGLE_NAME] if SINGLE_NAME in present else _shards_without_index(folder, present)
    if not names:
        raise _no_weights(folder, present)
    return _from_files(folder, names)


def _from_index(folder: Path) -> dict[str, TensorRef]:
    weight_map = read_json(folder, INDEX_NAME).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{folder / INDEX_NAME} has no usable weight_map", hint="download it again")
    shards = sorted(set(weight_map.values()))
    paths = [folder / shard for shard in shards if "/" not in shard and not (folder / shard).exists()]
    if paths:
        raise CheckpointError(
            f"{folder} is incomplete: {', '.join(path.name for path in paths[:4])} of {len(shards)} shards missing",
            hint="download the checkpoint again",
        )
    tensors = _from_files(folder, shards)
    for name, shard in weight_map.items():
        if name not in tensors or tensors[name].path.name != shard:
            raise CheckpointError(
                f"{shard} does not hold the tensor {name[:200]!r} that {INDEX_NAME} puts there",
                hint="download the checkpoint again",
            )
    extra = sorted(set(tensors) - set(weight_map))
    if extra:
        raise CheckpointError(
            f"{tensors[extra[0]].path.name} holds the tensor {extra[0][:200]!r} that {INDEX_NAME} does not know",
            hint="download the checkpoint again",
        )
    return tensors


def _from_files(folder: Path, names: list[str]) -> dict[str, TensorRef]:
    tensors: dict[str, TensorRef] = {}
    for file_name in names:
        path = inside(folder, file_name)
        for name, entry in read_header(path).items():
            if name in tensors:
                raise CheckpointError(
                    f"the tensor {name[:200]!r} is both in {tensors[name].path.name} and in {path.name}",
                    hint="remove the file that does not belong to this checkpoint",
                )
            tensors[name] = TensorRef(name, entry.dtype, entry.shape, path, entry.start, entry.end)
    return tensors


def _shards_without_index(folder: Path, present: set[str]) -> list[str]:
    """Shards by their numbered names, when the index is not there; all of them must be."""
    shards = sorted(name for name in present if SHARD.fullmatch(name))
    if not shards:
        return []
    match = SHARD.fullmatch(shards[0])
    count = int(match.group(2)) if match else 0
    expected = [f"model-{number + 1:05d}-of-{count:05d}.safetensors" for number in range(count)]
    if shards != expected:
        missing = [name for name in expected if name not in present]
        raise CheckpointError(
            f"{folder} is incomplete: {(missing or shards)[0]} of {count} shards "
            + ("missing" if missing else "does not belong to the others"),
            hint="download the checkpoint again",
        )
    return shards


def _no_weights(folder: Path, present: set[str]) -> UnsupportedError | CheckpointError:
    pickles = sorted(name for name in present if name in _PICKLES or name.startswith("pytorch_model-"))
    if pickles:
        return UnsupportedError(
            f"{folder} holds its weights only as {pickles[0]}, a Python pickle: reading it would run its code",
            hint="get the safetensors version, or save it once with transformers: "
            "AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )
    return CheckpointError(
        f"{folder} has no weights: neither {SINGLE_NAME} nor {INDEX_NAME}",
        hint="download the checkpoint again, with its *.safetensors files",
    )

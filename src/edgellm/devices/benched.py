"""What `edgellm bench` found on this machine: kept in the state folder, shown by `fit`, and what chooses a format.

Figures are compared only with those of the same run, in which the bundles took turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgellm.devices.calibration import Machine, machine_mismatch, this_machine
from edgellm.devices.model import ModelShape
from edgellm.errors import AccessError, NotFoundError, UsageError
from edgellm.files import os_errors, read_small_file, write_atomic
from edgellm.progress import Progress

__all__ = [
    "RUNTIME_PACKAGES",
    "BenchedModel",
    "benched_path",
    "keep_benched",
    "latest_of",
    "model_sizes",
    "read_benched",
]

RUNTIME_PACKAGES = {"gguf": "llama-cpp-python", "onnx": "onnxruntime"}
"""What runs the models of each format."""

_VERSION = 1
_LIMIT_BYTES = 1 << 20
_MOST_KEPT = 200

Text = Annotated[str, msgspec.Meta(max_length=400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class BenchedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The medians of one bundle in one run of `edgellm bench`. Speeds are tokens per second."""

    run: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]  # when it began
    machine: Machine
    name: Text  # of the bundle
    format: Literal["gguf", "onnx"]
    recipe: Text
    sizes: Text  # see ``model_sizes``
    prompt_tokens: Count
    streams: Count
    prefill: Speed
    decode: Speed  # one answer alone
    together: Speed  # all streams
    load_s: Speed
    memory_bytes: int | None  # of the process alone, where the system tells

    @property
    def date(self) -> str:
        """The day of the run."""
        return self.run[:10]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[BenchedModel, ...]
    version: int = _VERSION


def model_sizes(shape: ModelShape) -> str:
    """What the speed of a model depends on besides its recipe; the same for a model and what was trained on from it."""
    layer = shape.layers[0] if shape.layers else None
    by_name = {tensor.name: tensor for tensor in shape.tensors}
    wide = [t.shape[0] for name, t in by_name.items() if name.startswith("blk.0.ffn_down") and len(t.shape) > 1]
    embedding = by_name.get("token_embd.weight")
    vocabulary = embedding.shape[-1] if embedding is not None else shape.n_vocab
    kv = f"{layer.n_kv_heads}x{layer.key_length}" if layer is not None else "0"
    experts = f", {shape.n_experts_used} of {shape.n_experts} experts" if shape.n_experts else ""
    tied = "" if shape.is_tied else ", an output matrix of its own"
    return (
        f"{shape.n_embd} wide, {len(shape.layers)} layers, {shape.n_heads} heads, cache {kv}, "
        f"feed-forward {wide[0] if wide else 0}{experts}, vocabulary {vocabulary}{tied}"
    )


def benched_path(state_folder: Path) -> Path:
    """Where it lies."""
    return state_folder / "bench.json"


def keep_benched(state_folder: Path, found: Sequence[BenchedModel]) -> None:
    """Add ``found``; what is oldest goes when there is much. Not for two processes at once. Raises AccessError,
    NoSpaceError."""
    path = benched_path(state_folder)
    known, _problem = _read(path)
    data = msgspec.json.format(msgspec.json.encode(_File((*known, *found)[-_MOST_KEPT:]))) + b"\n"
    with os_errors(f"write {path}"):
        state_folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)


def read_benched(
    state_folder: Path, *, root: Path = Path("/"), progress: Progress | None = None
) -> tuple[BenchedModel, ...]:
    """All that was measured on this machine as it is now, the oldest first.

    What was measured with another processor, other threads or another version of a runtime is left out; a file that
    cannot be read counts as none. ``progress`` hears why nothing is left.
    """
    path = benched_path(state_folder)
    known, problem = _read(path)
    here = {format_: this_machine(root, package) for format_, package in RUNTIME_PACKAGES.items()} if known else {}
    found = tuple(one for one in known if one.machine == here[one.format])
    if known and not found:
        problem = machine_mismatch(known[-1].machine, here[known[-1].format])
    if problem and progress is not None:
        progress.message(f"what bench kept in {path} is not used: {problem}")
    return found


def latest_of(benched: Iterable[BenchedModel], shape: ModelShape, recipe: str) -> BenchedModel | None:
    """The last measurement of a model of these sizes in ``recipe``."""
    sizes = model_sizes(shape)
    found = [one for one in benched if (one.sizes, one.recipe, one.format) == (sizes, recipe, shape.format)]
    return max(found, key=lambda one: one.run, default=None)


def _read(path: Path) -> tuple[tuple[BenchedModel, ...], str]:
    """What is in the file, and why there is nothing."""
    try:
        found = msgspec.json.decode(read_small_file(path, _LIMIT_BYTES, "the measurements"), type=_File)
    except NotFoundError:
        return (), ""
    except (msgspec.MsgspecError, UnicodeDecodeError, UsageError, AccessError) as error:
        return (), f"it cannot be read ({error})"
    if found.version != _VERSION:
        return (), f"it has version {found.version}, this edgellm writes {_VERSION}"
    return found.models, ""

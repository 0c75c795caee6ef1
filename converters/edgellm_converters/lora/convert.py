"""A PEFT adapter fitted to its base model and written as GGUF, tensor after tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.progress import CancelToken, Progress
from edgellm_converters.arch.metadata import MetadataEntry
from edgellm_converters.arch.plan import TensorPlan, layer_order
from edgellm_converters.checkpoint import TensorRef
from edgellm_converters.gguf.encode import Layout, encode_entry, make_layout
from edgellm_converters.gguf.general import GeneralMetadata, identity_metadata
from edgellm_converters.gguf.to_type import to_type
from edgellm_converters.gguf.writer import Sink, TensorWriter
from edgellm_converters.lora.base import AdapterBase
from edgellm_converters.lora.peft import LoraPair, PeftAdapter
from edgellm_converters.streaming import Work, run

__all__ = ["FittedAdapter", "fit_peft"]

_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION
_TYPE = "F32"  # exact, whatever PEFT saved
_SHOWN = 4
_OTHER = "an adapter works with the model that it was trained on, and with no other"


@dataclass(frozen=True)
class FittedAdapter:
    """An adapter that was checked against its base model, ready to be written."""

    rank: int  # the largest
    alpha: float  # as llama.cpp reads it: the product counts with alpha / rank
    layout: Layout
    works: tuple[Work[str], ...]

    @property
    def size_bytes(self) -> int:
        """The exact size of the file."""
        return self.layout.total_bytes

    def write(self, sink: Sink, *, threads: int, progress: Progress, cancel: CancelToken) -> None:
        """Write the file, front to back. Memory stays at a few buffers. Raises CheckpointError, Interrupted."""
        progress.phase("convert the adapter", sum(work.source_bytes for work in self.works))
        writer = TensorWriter(self.layout, sink)

        def write(work: Work[str], data: dict[str, NDArray[np.uint8]], is_last: bool) -> None:
            writer.write(work.name, data, is_last)

        run(self.works, to_type, write, threads=threads, progress=progress, cancel=cancel)
        writer.finish()


def fit_peft(adapter: PeftAdapter, base: AdapterBase, general: GeneralMetadata) -> FittedAdapter:
    """Match the adapter's modules with the matrices of ``base``.

    Keys, names and shapes are those of llama.cpp's convert_lora_to_gguf.py. Raises CheckpointError for modules that the
    model does not have or that have another shape there, UnsupportedError for what llama.cpp cannot apply.
    """
    targets = _targets(adapter, base)
    _check_base_layers(adapter, base)
    wanted = [adapter.config.effective_alpha(pair.module, pair.rank) for pair, _ in targets]
    alpha = max(
        wanted
    )  # llama.cpp has one for the file: where modules differ, the rest of the factor goes into their B
    works: list[Work[str]] = []
    for (pair, target), own in zip(targets, wanted, strict=True):
        works += _works(adapter, pair, target, own / alpha)
    n_parameters = -sum(target.n_elements for _, target in targets)  # negative: of the weights it changes
    entries: list[MetadataEntry] = [
        ("general.architecture", base.architecture, "str"),
        ("general.type", "adapter", "str"),
        ("adapter.type", "lora", "str"),
        *identity_metadata(adapter.path, general, n_parameters),
        ("adapter.lora.alpha", alpha, "f32"),
        ("general.quantization_version", _QUANTIZATION_VERSION, "u32"),
    ]
    layout = make_layout(
        [encode_entry(entry) for entry in entries],
        [(work.name, _TYPE, (work.row_length, work.n_rows)) for work in works],
    )
    return FittedAdapter(adapter.rank, alpha, layout, tuple(works))


def _targets(adapter: PeftAdapter, base: AdapterBase) -> Sequence[tuple[LoraPair, TensorPlan]]:
    if base.refusal is not None:
        raise base.refusal
    found, missing, wrong = [], [], []
    for pair in adapter.pairs:
        target = base.matrices.get(pair.module) or base.matrices.get(f"model.{pair.module}")
        if target is None:
            missing.append(pair.module)
            continue
        _refuse_tied(pair, target, base)
        columns, rows = target.shape
        if (pair.a.shape[1], pair.b.shape[0]) != ((rows, columns) if pair.is_embedding else (columns, rows)):
            wrong.append(f"{pair.module} (for {[pair.b.shape[0], pair.a.shape[1]]}, the model has {[rows, columns]})")
        found.append((pair, target))
    if missing:
        raise CheckpointError(
            f"the adapter changes modules that the model does not have: {_shown(missing)}", hint=_OTHER
        )
    if wrong:
        raise CheckpointError(f"the adapter has other shapes than the model: {_shown(wrong)}", hint=_OTHER)
    return sorted(found, key=lambda item: layer_order(item[1].name))


def _refuse_tied(pair: LoraPair, target: TensorPlan, base: AdapterBase) -> None:
    is_table = target.name == "token_embd.weight"
    if is_table != pair.is_embedding:
        raise CheckpointError(
            f"the adapter treats {pair.module} as {'an embedding table' if pair.is_embedding else 'a linear layer'}, "
            "which it is not",
            hint=_OTHER,
        )
    if is_table and base.is_tied:
        raise UnsupportedError(
            f"the adapter changes {pair.module}, which also is the output matrix here: llama.cpp cannot apply it",
            hint="merge the adapter into the model's checkpoint with PEFT (merge_and_unload) and pack that",
        )


def _check_base_layers(adapter: PeftAdapter, base: AdapterBase) -> None:
    """PEFT saves embedding tables beside their adapter; they are the base model's own unless tokens were added."""
    for module, tensor in adapter.base_layers.items():
        target = base.matrices.get(module) or base.matrices.get(f"model.{module}")
        if target is None or tuple(reversed(tensor.shape)) != target.shape:
            has = f"the model has {list(reversed(target.shape))}" if target else "the model has none"
            raise UnsupportedError(
                f"the adapter brings {module} as {list(tensor.shape)}, {has}: tokens were added to it",
                hint="merge the adapter into its base model with PEFT (merge_and_unload) and pack the result",
            )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:200] for name in sorted(names)[:_SHOWN]) + more


def _works(adapter: PeftAdapter, pair: LoraPair, target: TensorPlan, scale: float) -> tuple[Work[str], Work[str]]:
    read_a: Callable[[int, memoryview], None] = partial(adapter.reader.read_into, pair.a)
    row_length, n_rows = pair.a.shape[1], pair.rank
    if pair.is_embedding:  # rows are looked up: one for each token
        read_a, row_length, n_rows = partial(_read_transposed, adapter, pair.a), n_rows, row_length
    a = Work(f"{target.name}.lora_a", pair.a.dtype, row_length, n_rows, (_TYPE,), read_a)
    read_b: Callable[[int, memoryview], None] = partial(adapter.reader.read_into, pair.b)
    rows = pair.b.shape[0]
    b = Work(f"{target.name}.lora_b", pair.b.dtype, pair.rank, rows, (_TYPE,), read_b, target.heads, scale)
    return a, b


def _read_transposed(adapter: PeftAdapter, tensor: TensorRef, offset_bytes: int, buffer: memoryview) -> None:
    """Fill ``buffer`` with bytes of the transposed matrix, from ``offset_bytes`` of it on."""
    n_rows, n_columns = tensor.shape
    item = tensor.item_bytes
    line = n_rows * item  # of the transposed matrix
    first = offset_bytes // line
    end = min(n_columns, math.ceil((offset_bytes + len(buffer)) / line))
    block = np.empty((n_rows, end - first, item), np.uint8)
    for row in range(n_rows):
        adapter.reader.read_into(tensor, (row * n_columns + first) * item, block[row].reshape(-1).data)
    start = offset_bytes - first * line
    buffer[:] = np.ascontiguousarray(block.swapaxes(0, 1)).reshape(-1).data[start : start + len(buffer)]

"""What a GGUF will hold: each tensor with its source in the checkpoint, and the check that the checkpoint has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edgellm.errors import CheckpointError

__all__ = ["TensorPlan", "is_ignored", "layer_order", "match_tensors"]

_IGNORED = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq", "embeddings.position_ids")
_SHOWN = 4


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the result.

    ``heads`` > 0 asks for the rotary permutation: inside each of so many heads the two halves of the rows are
    interleaved (row j * d/2 + i of a head of d rows becomes row 2 i + j), which turns the pairing of transformers into
    that of llama.cpp. ``values`` are given for a tensor that is computed rather than read; its ``source`` is empty.
    """

    name: str  # GGUF name
    shape: tuple[int, ...]  # ggml order: the row length first
    source: str = ""  # name in the checkpoint
    heads: int = 0
    values: tuple[float, ...] = ()

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        count = 1
        for length in self.shape:
            count *= length
        return count


class HasShape(Protocol):
    """What the check needs to know of a checkpoint's tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Row-major shape."""


def is_ignored(name: str) -> bool:
    """True for buffers that old checkpoints saved along with the weights."""
    return name.endswith(_IGNORED)


def layer_order(name: str) -> tuple[int, str]:
    """Sort key of a GGUF tensor: what belongs to no layer first, then layer by layer, then by name.

    This is the order in which llama.cpp's quantizer walks over a model; recipes count tensors in it.
    """
    parts = name.split(".", 2)
    if len(parts) == 3 and parts[0] == "blk" and parts[1].isdecimal():
        return int(parts[1]), name
    return -1, name


def match_tensors(plans: Iterable[TensorPlan], tensors: Mapping[str, HasShape]) -> list[TensorPlan]:
    """The plans in ``layer_order``, after a check against the checkpoint's tensors.

    Raises CheckpointError naming missing tensors, tensors of another shape, and tensors that nothing asks for.
    """
    ordered = sorted(plans, key=lambda plan: layer_order(plan.name))
    sources = {plan.source: plan for plan in ordered if plan.source}
    _refuse("lacks", "", [name for name in sources if name not in tensors])
    wrong = []
    for name, plan in sources.items():
        if tuple(reversed(tensors[name].shape)) != plan.shape:
            wrong.append(f"{name} {list(tensors[name].shape)} (config.json implies {list(reversed(plan.shape))})")
    _refuse("has wrong shapes:", "", wrong)
    _refuse(
        "has",
        " that this architecture does not use",
        [name for name in tensors if name not in sources and not is_ignored(name)],
    )
    return ordered


def _refuse(verb: str, tail: str, names: list[str]) -> None:
    if not names:
        return
    names = sorted(names)
    shown = ", ".join(name[:200] for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise CheckpointError(
        f"the checkpoint {verb} {'' if verb.endswith(':') else 'the tensors '}{shown}{more}{tail}",
        hint="config.json and the weights must belong to the same model; download the checkpoint again",
    )

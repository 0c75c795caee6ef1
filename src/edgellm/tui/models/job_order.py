"""What a job was asked to do, in words."""

from __future__ import annotations

from collections.abc import Iterable

from edgellm.api.orders import CreateOrder, ExportOrder, ImportOrder, Order, PackOrder, PullOrder, VerifyOrder
from edgellm.tui.models.text import one_line

__all__ = ["kind_of", "order_lines", "subject_of"]

_KINDS: dict[type, str] = {
    PullOrder: "pull",
    PackOrder: "pack",
    VerifyOrder: "verify",
    ExportOrder: "export",
    ImportOrder: "import",
    CreateOrder: "create",
}
_DIGEST_LETTERS = len("sha256:") + 12


def kind_of(order: Order) -> str:
    """Its one word: pull, pack, verify, export, import or create."""
    return _KINDS[type(order)]


def subject_of(order: Order) -> str:
    """What it is about, short enough for a row."""
    match order:
        case PullOrder():
            text = order.model
        case PackOrder():
            text = order.model or order.name or order.folder or _names(_model_files(order.files))
        case VerifyOrder():
            text = order.name or "every bundle"
        case ExportOrder():
            text = _names(order.names)
        case ImportOrder():
            text = order.name or order.blob[:_DIGEST_LETTERS]
        case CreateOrder():
            text = f"{order.name} from {order.base}"
    return one_line(text)


def order_lines(order: Order) -> list[tuple[str, str]]:
    """What else was asked for, as names and values; what was left to edgellm is not there."""
    found: list[tuple[str, str]] = []
    match order:
        case PullOrder() | PackOrder():
            devices = order.devices if isinstance(order, PackOrder) else [order.device or "this machine"]
            found.append(("device", ", ".join(devices) or "this machine"))
            found += [
                (name, str(value))
                for name in ("quant", "format", "context", "sequences", "memory", "min_speed", "name")
                if (value := getattr(order, name)) is not None
            ]
            if order.force:
                found.append(("force", "yes"))
        case ExportOrder():
            found.append(("bundles", ", ".join(order.names)))
        case ImportOrder():
            found.append(("archive", order.blob))
        case CreateOrder():
            found += [("parameters", ", ".join(sorted(order.parameters)))] if order.parameters else []
            found += [("adapters", ", ".join(sorted(order.adapters)))] if order.adapters else []
        case VerifyOrder():
            pass
    return [(name, one_line(value)) for name, value in found]


def _model_files(files: Iterable[str]) -> list[str]:
    """A GGUF file or its parts; all of a checkpoint whose folder nobody named."""
    ggufs = sorted(name for name in files if name.lower().endswith(".gguf"))
    return ggufs or sorted(files)


def _names(names: list[str]) -> str:
    """The first one, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

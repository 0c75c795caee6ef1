"""What an order may hold: no job begins with what no command would take."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgellm.api.orders import CreateOrder, ExportOrder, ImportOrder, Order, PackOrder, PullOrder, VerifyOrder
from edgellm.bundle.names import parse_name, parse_reference
from edgellm.errors import UsageError
from edgellm.formats.sentence_files import is_sentence_file
from edgellm.sources.hub.reference import parse_hub_reference
from edgellm.units import parse_bytes

__all__ = ["check_files", "check_order", "uploaded_files"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,63}")
_RECIPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_FILES = 1000


def check_order(order: Order) -> None:
    """Raise UsageError for what no command would take, and for what might be read as a path or an option."""
    match order:
        case PullOrder():
            parse_hub_reference(order.model)
            _check_target(order, [order.device] if order.device is not None else [])
        case PackOrder():
            if bool(order.model) == bool(order.files):
                raise UsageError("a pack takes either a model of a hub or files", hint='give "model" or "files"')
            if order.model:
                parse_hub_reference(order.model)
            check_files(order.files, order.folder)
            _check_adapters(order.adapters)
            _check_target(order, order.devices)
        case VerifyOrder():
            if order.name is not None:
                parse_reference(order.name)
        case ExportOrder():
            for name in order.names:
                parse_reference(name)
        case ImportOrder():
            check_files({"archive": order.blob})
            if order.name is not None:
                parse_name(order.name, default_tag="latest")
        case CreateOrder():
            parse_name(order.name, default_tag="latest")
            parse_reference(order.base)
            _check_adapters(order.adapters)


def uploaded_files(order: Order) -> set[str]:
    """The digests of all uploaded files that ``order`` names."""
    match order:
        case PackOrder():
            return {*order.files.values(), *_adapter_files(order)}
        case CreateOrder():
            return _adapter_files(order)
        case ImportOrder():
            return {order.blob}
    return set()


def _adapter_files(order: PackOrder | CreateOrder) -> set[str]:
    return {digest for files in order.adapters.values() for digest in files.values()}


def _check_target(order: PullOrder | PackOrder, devices: list[str]) -> None:
    for device in devices:
        if not _WORD.fullmatch(device):
            raise UsageError(f"{device[:80]!r} is no device profile", hint="GET /api/edgellm/devices lists them")
    if order.quant is not None and not _RECIPE.fullmatch(order.quant):
        raise UsageError(f"{order.quant[:80]!r} is no recipe", hint="give one such as Q4_K_M, or auto")
    if order.memory is not None:
        parse_bytes(order.memory)
    if order.name is not None:
        parse_name(order.name, default_tag="latest")


def _check_adapters(adapters: Mapping[str, Mapping[str, str]]) -> None:
    from edgellm.bundle.adapters import parse_adapter_name

    for name, files in adapters.items():
        parse_adapter_name(name)
        if not files:
            raise UsageError(f"the adapter {name} has no files")
        check_files(files)


def check_files(files: Mapping[str, str], folder: str = "") -> None:
    """Raise UsageError for names that are more than names, that of their folder too, and for digests that are none."""
    if folder and (not files or not _FILE.fullmatch(folder) or ".." in folder):
        raise UsageError(f"{folder[:80]!r} is no name of a folder of files", hint="give its plain name, or none")
    if len(files) > _MOST_FILES:
        raise UsageError(f"{len(files)} files are given; at most {_MOST_FILES} are possible")
    for name, digest in files.items():
        is_plain = _FILE.fullmatch(name) is not None and ".." not in name
        if not (is_plain or (is_sentence_file(name) and name.partition("/")[0] not in files)):
            raise UsageError(
                f"{name[:80]!r} is no file name",
                hint="give plain names; with a folder only such as 1_Pooling/config.json",
            )
        if not _DIGEST.fullmatch(digest):
            raise UsageError(f"{name} has {digest[:80]!r} where a digest (sha256:...) should be")

"""From an order to the command line that does it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edgellm.api.orders import (
    CreateOrder,
    ExportOrder,
    ImportOrder,
    Order,
    PackOrder,
    PullOrder,
    VerifyOrder,
)
from edgellm.bundle.adapters import parse_adapter_name
from edgellm.files import os_errors, require_free_space
from edgellm.sources.hub.reference import parse_hub_reference

__all__ = ["EXPORTED", "command_line", "linked_model"]

EXPORTED = "export.tar"
FindBlob = Callable[[str], Path]


def command_line(order: Order, folder: Path, find_blob: FindBlob) -> list[str]:
    """The arguments of `edgellm` for ``order``. Files that it needs are put into ``folder``, which is the job's own.

    ``find_blob`` gives the file of an uploaded blob. Raises what that raises, and NoSpaceError.
    """
    work = _Work(folder, find_blob)
    match order:
        case PullOrder():
            arguments = ["pull", "--yes", "--json", *_target(order)]
            if order.device is not None:
                arguments.append(f"--device={order.device}")
            return [*arguments, "--", str(parse_hub_reference(order.model))]
        case PackOrder():
            return work.pack(order)
        case VerifyOrder():
            return ["verify", "--json", *(["--", order.name] if order.name is not None else [])]
        case ExportOrder():
            return ["export", "--json", "--force", "--", *order.names, str(folder / EXPORTED)]
        case ImportOrder():
            name = [f"--name={order.name}"] if order.name is not None else []
            return ["import", "--json", *name, "--", str(find_blob(order.blob))]
        case CreateOrder():
            return work.create(order)


def linked_model(files: Mapping[str, str], name: str, folder: Path, find_blob: FindBlob) -> Path:
    """The model that uploaded ``files`` (name -> digest) are, under their names below ``folder``.

    ``name``: what the folder of a checkpoint is called, or nothing. Raises NotFoundError.
    """
    return _Work(folder, find_blob).model(files, name)


def _target(order: PullOrder | PackOrder) -> list[str]:
    options = {
        "quant": order.quant,
        "format": order.format,
        "context": order.context,
        "sequences": order.sequences,
        "memory": order.memory,
        "min-speed": order.min_speed,
        "name": order.name,
    }
    found = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [*found, "--force"] if order.force else found


class _Work:
    """What a command reads, in a folder."""

    def __init__(self, folder: Path, find_blob: FindBlob) -> None:
        self._folder = folder
        self._find_blob = find_blob

    def pack(self, order: PackOrder) -> list[str]:
        arguments = ["pack", "--json", *_target(order), *self._adapters(order.adapters)]
        arguments += [f"--device={device}" for device in order.devices]
        if order.system:
            arguments.append(f"--system={self._text('system.txt', order.system)}")
        if order.model:
            return [*arguments, "--", str(parse_hub_reference(order.model))]
        return [*arguments, "--", str(self.model(order.files, order.folder))]

    def create(self, order: CreateOrder) -> list[str]:
        arguments = ["create", "--json", f"--from={order.base}", *self._adapters(order.adapters)]
        if order.system is not None:
            arguments.append(f"--system={self._text('system.txt', order.system)}")
        if order.template is not None:
            arguments.append(f"--template={self._text('template.jinja', order.template)}")
        if order.messages:
            raw = msgspec.json.encode(order.messages).decode()
            arguments.append(f"--messages={self._text('messages.json', raw)}")
        for number, text in enumerate(order.licenses):
            arguments.append(f"--license={self._text(f'license-{number}.txt', text)}")
        if order.parameters:
            raw = msgspec.json.encode(order.parameters).decode()
            arguments.append(f"--parameters={self._text('parameters.json', raw)}")
        return [*arguments, "--", order.name]

    def _text(self, name: str, text: str) -> Path:
        path = self._folder / name
        with os_errors(f"write {path}"):
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return path

    def model(self, files: Mapping[str, str], name: str) -> Path:
        """One GGUF file, or the first part of a split one, or the folder of a checkpoint."""
        folder = self._linked(f"model/{name}" if name else "model", files)
        ggufs = sorted(name for name in files if name.lower().endswith(".gguf"))
        if not ggufs and len(files) == 1:  # clients call it what they like
            return folder / next(iter(files))
        return folder / ggufs[0] if ggufs else folder

    def _adapters(self, adapters: Mapping[str, Mapping[str, str]]) -> list[str]:
        found = []
        for text, files in adapters.items():
            name = parse_adapter_name(text)
            folder = self._linked(f"adapter-{name}", files)
            whole = folder / next(iter(files)) if len(files) == 1 else folder
            found.append(f"--adapter={name}={whole}")
        return found

    def _linked(self, name: str, files: Mapping[str, str]) -> Path:
        """A folder in which the blobs have the names that the order gives them."""
        folder = self._folder / name
        with os_errors(f"write {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            for file, digest in files.items():
                link = folder / file
                link.parent.mkdir(exist_ok=True)
                link.unlink(missing_ok=True)
                _link(self._find_blob(digest), link, alone=len(files) == 1)
        return folder


def _link(blob: Path, name: Path, *, alone: bool) -> None:
    """A second name of the file; on another disk a symbolic one, or a copy of what is not read through such links.

    Those are the files of a checkpoint: a GGUF is one whatever it is called, and a file that comes ``alone`` is none.
    """
    try:
        os.link(blob, name)
    except OSError:
        if alone or _is_gguf(blob):
            name.symlink_to(blob)
            return
        require_free_space(name.parent, blob.stat().st_size, "a copy of the files")
        shutil.copyfile(blob, name)


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"

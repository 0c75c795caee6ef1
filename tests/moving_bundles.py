"""Bundles on their way between two stores, on every medium that there is."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgellm.bundle.export import Outgoing, export_file, export_folder
from edgellm.bundle.layout import open_layout
from edgellm.store.intake import ImportReport, chosen_names, import_layout
from edgellm.store.reserve import RESERVE_FILE
from edgellm.store.store import Store
from edgellm.store.stream_intake import import_stream

MEDIA = ["folder", "archive", "pipe"]


def outgoing(store: Store, *names: str) -> list[Outgoing]:
    found = []
    for name in names or ("tiny",):
        entry = store.find(name)
        opened = store.resolve(name)
        found.append(Outgoing(entry.name, opened.bundle, opened.layout))
    return found


def packed(bundles: list[Outgoing], medium: str, folder: Path) -> Path:
    """The bundles on a medium."""
    path = folder / ("moving" if medium == "folder" else "moving.tar")
    (export_folder if medium == "folder" else export_file)(bundles, path)
    return path


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """A pipe that somebody fills."""
    reading, writing = os.pipe()

    def fill() -> None:
        # A reader may refuse to go on.
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            for start in range(0, len(data), 60_000):
                pipe.write(data[start : start + 60_000])

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield reading
    finally:
        os.close(reading)
        thread.join()


def take_in(store: Store, medium: str, path: Path, name: str | None = None) -> ImportReport:
    """Import what lies at ``path``; into a pipe goes its archive."""
    if medium == "pipe":
        with piped(path.read_bytes() if path.is_file() else as_archive(path)) as pipe, store.writer() as writer:
            return import_stream(writer, pipe, "the pipe", name=name)
    layout = open_layout(path)
    with store.writer() as writer:
        return import_layout(writer, layout, chosen_names(layout, name))


def as_archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder), recursive=False)
    return buffer.getvalue()


def contents(store: Store) -> dict[str, bytes]:
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.name != RESERVE_FILE
    }


def blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)

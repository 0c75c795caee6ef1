"""Bundles that go from one store to another: by folder, by archive and through a pipe."""

from __future__ import annotations

import io
import itertools
import os
import random
import tarfile
import threading
from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.bundle.digest import sha256_bytes
from edgellm.bundle.export import Outgoing, export_file, export_folder, export_pipe
from edgellm.bundle.folder_layout import FolderLayout
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import open_bundle
from edgellm.errors import BundleError, Interrupted, UsageError
from edgellm.progress import CancelToken
from edgellm.store.intake import chosen_names
from edgellm.store.store import Store
from edgellm.store.stream_intake import import_stream
from hostile_bundles import Layout
from moving_bundles import MEDIA, blob, contents, outgoing, overwrite, packed, piped, take_in

WEIGHTS = sha256_bytes(gguf_bytes())


@pytest.mark.parametrize("medium", MEDIA)
def test_a_bundle_moves_to_another_store(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    report = take_in(there, medium, packed(outgoing(here), medium, tmp_path))
    [imported] = report.bundles
    assert (str(imported.name), imported.former) == ("tiny:raspberrypi5-q4_k_m", None)
    assert report.written_bytes == here.resolve("tiny").size_bytes
    assert report.skipped_bytes == 0
    assert there.resolve("tiny").digest == here.resolve("tiny").digest
    assert there.resolve("tiny").weights_path.read_bytes() == gguf_bytes()
    assert there.verify().findings == []
    assert there.gc().leftovers == 0
    assert [row.full_name for row in there.list()] == ["other:a", "tiny:raspberrypi5-q4_k_m"]


def test_the_same_bundle_gives_the_same_archive_by_file_and_by_pipe(here: Store, tmp_path: Path) -> None:
    export_file(outgoing(here), tmp_path / "a.tar")
    export_folder(outgoing(here), tmp_path / "folder")
    opened = open_bundle(tmp_path / "folder")
    again = Outgoing(BundleName("tiny", "raspberrypi5-q4_k_m"), opened.bundle, opened.layout)
    export_file([again], tmp_path / "b.tar")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        thread = threading.Thread(target=lambda: (export_pipe(outgoing(here), writing, "the pipe"), os.close(writing)))
        thread.start()
        assert pipe.read() == (tmp_path / "a.tar").read_bytes()
        thread.join()
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_archive_names_what_it_brings_before_the_weights(here: Store, tmp_path: Path) -> None:
    export_file(outgoing(here), tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
    assert names[:3] == ["oci-layout", "index.json", "blobs/sha256/" + here.resolve("tiny").digest[7:]]
    assert names[-1] == "blobs/sha256/" + WEIGHTS[7:]


@pytest.mark.parametrize("medium", MEDIA)
def test_several_bundles_travel_together_and_share_their_weights(
    here: Store, there: Store, medium: str, tmp_path: Path
) -> None:
    with here.writer() as writer:
        write_bundle(writer, "tiny:pi4", plan=for_device("raspberrypi4"))
    bundles = outgoing(here, "tiny:raspberrypi5-q4_k_m", "tiny:pi4")
    path = packed(bundles, medium, tmp_path)
    report = take_in(there, medium, path)
    assert sorted(str(imported.name) for imported in report.bundles) == ["tiny:pi4", "tiny:raspberrypi5-q4_k_m"]
    assert report.written_bytes < sum(found.bundle.size_bytes for found in bundles)
    before = contents(there)
    with pytest.raises(UsageError, match="holds 2"):
        take_in(there, medium, path, name="renamed")
    assert contents(there) == before


@pytest.mark.parametrize("medium", MEDIA)
def test_a_bundle_may_be_renamed_on_arrival(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    path = packed(outgoing(here), medium, tmp_path)
    assert str(take_in(there, medium, path, name="mine").bundles[0].name) == "mine:raspberrypi5-q4_k_m"
    assert str(take_in(there, medium, path, name="mine:b").bundles[0].name) == "mine:b"


@pytest.mark.parametrize("medium", MEDIA)
def test_a_name_that_moves_keeps_what_it_meant(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    former = there.resolve("other").digest
    report = take_in(there, medium, packed(outgoing(here), medium, tmp_path), name="other:a")
    assert report.bundles[0].former == former
    assert there.resolve("other@previous").digest == former


def test_what_is_there_is_not_read_from_a_folder(here: Store, there: Store, tmp_path: Path) -> None:
    path = packed(outgoing(here), "folder", tmp_path)
    with there.writer() as writer:
        assert write_bundle(writer, "same:weights", license_text=b"x")
    trap = blob(path, WEIGHTS)
    overwrite(trap, b"")
    os.truncate(trap, len(gguf_bytes()))  # the right size, and not one right byte
    report = take_in(there, "folder", path)
    assert report.skipped_bytes >= len(gguf_bytes())
    assert there.verify().findings == []


def test_what_is_there_is_not_read_from_an_archive(here: Store, there: Store, tmp_path: Path) -> None:
    path = packed(outgoing(here), "archive", tmp_path)
    take_in(there, "archive", path)
    [license_digest] = [file.digest for file in here.resolve("tiny").bundle.docs]
    blob(there.root, license_digest).unlink()
    data = bytearray(path.read_bytes())
    start = data.index(gguf_bytes())
    data[start : start + len(gguf_bytes())] = bytes(len(gguf_bytes()))
    path.write_bytes(data)
    report = take_in(there, "archive", path)
    assert report.written_bytes == len(b"Apache License\n")
    assert there.verify().findings == []


@pytest.mark.parametrize("medium", MEDIA)
def test_what_is_there_is_not_written_again(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    path = packed(outgoing(here), medium, tmp_path)
    take_in(there, medium, path)
    before = {file: file.stat().st_ino for file in there.root.rglob("*") if file.is_file()}
    report = take_in(there, medium, path)
    assert (report.written_bytes, report.skipped_bytes) == (0, here.resolve("tiny").size_bytes)
    assert {file: file.stat().st_ino for file in there.root.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("medium", MEDIA)
def test_a_damaged_blob_is_replaced(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    path = packed(outgoing(here), medium, tmp_path)
    take_in(there, medium, path)
    overwrite(blob(there.root, WEIGHTS), bytes(len(gguf_bytes())))
    report = take_in(there, medium, path)
    assert report.written_bytes == len(gguf_bytes())
    assert there.verify().findings == []


def test_a_pipe_may_bring_its_members_in_any_order(here: Store, there: Store, tmp_path: Path) -> None:
    folder = packed(outgoing(here), "folder", tmp_path)
    members = sorted(path for path in folder.rglob("*") if path.is_file())
    shuffle = random.Random(3)
    orders = [members, members[::-1], *(shuffle.sample(members, len(members)) for _ in range(10))]
    for order in orders:
        for path in itertools.chain(there.root.glob("blobs/sha256/*")):
            path.unlink()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path in order:
                tar.add(path, path.relative_to(folder))
        with piped(buffer.getvalue()) as pipe, there.writer() as writer:
            import_stream(writer, pipe, "the pipe")
        assert there.verify("tiny").findings == []


def test_export_refuses_a_damaged_blob_and_leaves_nothing(here: Store, there: Store, tmp_path: Path) -> None:
    overwrite(blob(here.root, WEIGHTS), bytes(len(gguf_bytes())))
    (tmp_path / "out").mkdir()
    for write, name in ((export_file, "a.tar"), (export_folder, "a")):
        with pytest.raises(BundleError, match="damaged"):
            write(outgoing(here), tmp_path / "out" / name)
    assert list((tmp_path / "out").iterdir()) == []
    with (tmp_path / "torn").open("wb") as file, pytest.raises(BundleError, match="damaged"):
        export_pipe(outgoing(here), file.fileno(), "the pipe")
    before = contents(there)
    with pytest.raises(BundleError):
        take_in(there, "pipe", tmp_path / "torn")
    assert contents(there) == before


def test_a_store_as_a_folder_is_imported_without_former_bundles(here: Store, there: Store) -> None:
    with here.writer() as writer:
        write_bundle(writer, weights=gguf_bytes(5))
    report = take_in(there, "folder", here.root)
    assert [str(imported.name) for imported in report.bundles] == ["tiny:raspberrypi5-q4_k_m"]
    assert there.verify().findings == []


def test_waiting_for_a_silent_sender_ends_with_a_stop(there: Store) -> None:
    reading, writing = os.pipe()
    cancel = CancelToken()
    threading.Timer(0.05, cancel.cancel).start()
    before = contents(there)
    with there.writer() as writer, pytest.raises(Interrupted):
        import_stream(writer, reading, "the pipe", cancel=cancel)
    os.close(reading)
    os.close(writing)
    assert contents(there) == before


def test_a_layout_that_another_tool_named_is_called_after_its_model(there: Store, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    layout.index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    layout.save()
    [(_, name)] = chosen_names(FolderLayout(layout.folder), None)
    assert str(name) == "tiny:raspberrypi5-q4_k_m"

"""The three targets of a pack."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, make_plan, write_bundle
from edgellm.bundle.contained import read_single_bundle
from edgellm.bundle.contents import BundleContents, FileLayer, created_at
from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.layout import open_layout
from edgellm.bundle.manifest import Descriptor, ModelDescriptor, ModelFacts
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import open_bundle
from edgellm.bundle.stream import HashedStream
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.verify import verify_layout
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import BundleError, EdgeLLMError, NoSpaceError, UsageError
from edgellm.store.store import Store

TARGETS = ["store", "folder", "tar"]


def open_writer(target: str, root: Path) -> BundleWriter:
    if target == "store":
        return Store(root / "store", root / "state").writer()
    return layout_writer(root / "bundle") if target == "folder" else tar_writer(root / "bundle.tar")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_under(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_the_same_input_has_the_same_digest_in_every_target(tmp_path: Path) -> None:
    digests = set()
    for target in TARGETS:
        for attempt in range(2):
            root = tmp_path / f"{target}-{attempt}"
            root.mkdir()
            with open_writer(target, root) as writer:
                digests.add(write_bundle(writer))
    assert len(digests) == 1


def test_two_archives_of_the_same_input_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        with tar_writer(tmp_path / name) as writer:
            write_bundle(writer)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("target", TARGETS)
def test_leaving_without_a_commit_leaves_nothing(target: str, tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), open_writer(target, tmp_path) as writer:
        writer.add_bytes(b"one blob")
        with writer.blob() as blob:
            blob.write(bytes(2 << 20))
            raise RuntimeError
    assert files_under(tmp_path) <= {"store/index.json", "store/oci-layout", "store/.lock", "store/.reserve"}
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("target", TARGETS)
def test_a_blob_that_cannot_fit_is_refused_before_it_is_written(target: str, tmp_path: Path) -> None:
    with open_writer(target, tmp_path) as writer, pytest.raises(NoSpaceError), writer.blob(2**60):
        pass


@pytest.mark.parametrize("target", TARGETS)
def test_a_failed_blob_does_not_spoil_the_bundle(target: str, tmp_path: Path) -> None:
    with open_writer(target, tmp_path) as writer:
        with contextlib.suppress(RuntimeError), writer.blob() as blob:
            blob.write(bytes(3 << 20))
            raise RuntimeError
        write_bundle(writer)
    place = tmp_path / {"store": "store", "folder": "bundle", "tar": "bundle.tar"}[target]
    assert verify_layout(open_layout(place)).findings == []


def test_the_archive_is_as_large_as_its_parts_and_tar_reads_it(tmp_path: Path) -> None:
    with tar_writer(tmp_path / "b.tar") as writer:
        digest = write_bundle(writer)
    with tarfile.open(tmp_path / "b.tar") as archive:
        members = archive.getmembers()
        for member in members:
            if member.name.startswith("blobs/"):
                data = archive.extractfile(member).read()  # type: ignore[union-attr]
                assert member.name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    rounded = sum(512 + -(-member.size // 512) * 512 for member in members)
    assert (tmp_path / "b.tar").stat().st_size == rounded + 1024
    assert read_single_bundle(open_layout(tmp_path / "b.tar"))[1].digest == digest
    (tmp_path / "x").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "x", "-xf", tmp_path / "b.tar"], check=True)
    assert open_bundle(tmp_path / "x").digest == digest


def test_an_archive_made_by_tar_from_a_folder_is_read(tmp_path: Path) -> None:
    with layout_writer(tmp_path / "bundle") as writer:
        digest = write_bundle(writer)
    for form in ("gnu", "posix", "ustar"):
        archive = tmp_path / f"{form}.tar"
        subprocess.run(["tar", f"--format={form}", "-C", tmp_path / "bundle", "-cf", archive, "."], check=True)
        assert read_single_bundle(open_layout(archive))[1].digest == digest


def test_an_archive_replaces_the_one_before(tmp_path: Path) -> None:
    for seed in (1, 2):
        with tar_writer(tmp_path / "b.tar") as writer:
            digest = write_bundle(writer, weights=gguf_bytes(seed))
    assert read_single_bundle(open_layout(tmp_path / "b.tar"))[1].digest == digest
    assert names_in(tmp_path) == ["b.tar"]


def test_a_folder_that_is_not_empty_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with layout_writer(tmp_path / "bundle") as writer:
        write_bundle(writer)
    with pytest.raises(UsageError):
        layout_writer(tmp_path / "bundle")
    with pytest.raises(UsageError):
        tar_writer(tmp_path / "bundle")


def test_a_second_pack_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".bundle.partial-00").mkdir()
    (tmp_path / ".bundle.partial-00" / "partial-1").write_bytes(b"x")
    (tmp_path / ".b.tar.partial-00").write_bytes(b"x")
    with layout_writer(tmp_path / "bundle") as writer, layout_writer(tmp_path / "other"):
        write_bundle(writer)
    with tar_writer(tmp_path / "b.tar") as archive, tar_writer(tmp_path / "b.tar"):
        write_bundle(archive)
    assert names_in(tmp_path) == ["b.tar", "bundle"]


def test_several_devices_share_the_weights(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path / "state")
    with store.writer() as writer:
        for device in ("raspberrypi5", "raspberrypi4"):
            write_bundle(writer, f"tiny:{device}", plan=for_device(device))
    rows = store.list()
    assert [row.full_name for row in rows] == ["tiny:raspberrypi4", "tiny:raspberrypi5"]
    assert all(row.shared_bytes >= len(gguf_bytes()) for row in rows)
    assert all(row.shared_bytes < row.size_bytes for row in rows)


def test_a_foreign_blob_cannot_be_committed(tmp_path: Path) -> None:
    foreign = Descriptor(media_type="x", digest="sha256:" + "0" * 64, size=1)
    contents = BundleContents((FileLayer("m.gguf", foreign),), make_plan(), ModelDescriptor(), ModelFacts())
    for target in TARGETS:
        with open_writer(target, tmp_path) as writer, pytest.raises(EdgeLLMError):
            writer.commit(contents, BundleName("a", "b"))
    assert Store(tmp_path / "store", tmp_path / "state").list() == []


def test_paths_that_leave_the_bundle_cannot_be_written(tmp_path: Path) -> None:
    with Store(tmp_path / "store", tmp_path / "state").writer() as writer:
        blob = writer.add_bytes(b"x")
        for path in ("../x", "/x", "a//b", "a\\b", "a\0b", "", "C:x", "a/./b"):
            contents = BundleContents((FileLayer(path, blob),), make_plan(), ModelDescriptor(), ModelFacts())
            with pytest.raises(BundleError):
                writer.commit(contents, BundleName("a", "b"))
        twice = (FileLayer("a", blob), FileLayer("a", blob))
        with pytest.raises(BundleError):
            writer.commit(BundleContents(twice, make_plan(), ModelDescriptor(), ModelFacts()), BundleName("a", "b"))


def test_the_manifest_is_a_modelpack_manifest(tmp_path: Path) -> None:
    with layout_writer(tmp_path / "bundle") as writer:
        write_bundle(writer)
    bundle = open_bundle(tmp_path / "bundle")
    blobs = tmp_path / "bundle" / "blobs" / "sha256"
    manifest = json.loads((blobs / bundle.digest.removeprefix("sha256:")).read_bytes())
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert [layer["mediaType"].removeprefix("application/vnd.") for layer in manifest["layers"]] == [
        "cncf.model.weight.v1.raw",
        "cncf.model.doc.v1.raw",
        "edgellm.plan.v1+json",
    ]
    annotations = manifest["layers"][0]["annotations"]
    assert annotations["org.cncf.model.filepath"] == "model.gguf"
    assert json.loads(annotations["org.cncf.model.file.metadata+json"]) == {
        "name": "model.gguf",
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "size": len(gguf_bytes()),
        "typeflag": 48,
        "mtime": "1970-01-01T00:00:00Z",
    }
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    assert config["modelfs"] == {"type": "layers", "diffIds": [layer["digest"] for layer in manifest["layers"]]}
    assert config["config"]["paramSize"] == "1K"
    assert config["descriptor"]["licenses"] == ["Apache-2.0"]


def test_the_time_of_creation_comes_from_source_date_epoch_or_is_absent() -> None:
    assert created_at({}) == ""
    assert created_at({"SOURCE_DATE_EPOCH": "86400"}) == "1970-01-02T00:00:00Z"
    for wrong in ("yesterday", "9" * 30):
        with pytest.raises(UsageError):
            created_at({"SOURCE_DATE_EPOCH": wrong})


def test_a_file_is_copied_and_only_a_regular_one(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes())
    os.mkfifo(tmp_path / "pipe")
    with layout_writer(tmp_path / "bundle") as writer:
        assert writer.add_file(tmp_path / "m.gguf").size == len(gguf_bytes())
        for wrong in ("pipe", ".", "missing"):
            with pytest.raises(EdgeLLMError):
                writer.add_file(tmp_path / wrong)


@pytest.mark.parametrize("sizes", [[0], [1], [1 << 20], [(1 << 20) - 1, 1, 5], [3 << 20, 7, 300_000, 300_000, 600_000]])
def test_a_stream_writes_and_hashes_what_it_was_given(sizes: list[int], tmp_path: Path) -> None:
    data = [bytes([index]) * size for index, size in enumerate(sizes)]
    file_descriptor = os.open(tmp_path / "blob", os.O_WRONLY | os.O_CREAT)
    stream = HashedStream(file_descriptor, "write")
    for part in data:
        buffer = bytearray(part)
        stream.write(buffer)
        buffer[:] = bytes(len(buffer))  # the caller may reuse it at once
    digest = stream.finish()
    os.close(file_descriptor)
    assert (tmp_path / "blob").read_bytes() == b"".join(data)
    assert digest == "sha256:" + hashlib.sha256(b"".join(data)).hexdigest()

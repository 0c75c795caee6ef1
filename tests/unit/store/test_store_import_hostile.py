"""Bundles that are torn, lying or hostile do not get into a store, whatever they come on."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from edgellm.bundle.tar_header import tar_header
from edgellm.errors import BundleError, EdgeLLMError, NoSpaceError, UnsupportedError
from edgellm.store.store import Store
from edgellm.store.stream_intake import import_stream
from hostile_bundles import (
    DAMAGES,
    ESCAPING_PATHS,
    LYING_PAX,
    SPECIAL_KINDS,
    UNKNOWN_BLOB,
    UNKNOWN_MEMBERS,
    Layout,
    append_member,
    apply_damage,
)
from moving_bundles import MEDIA, as_archive, contents, outgoing, overwrite, packed, piped, take_in


def refused(store: Store, medium: str, path: Path, *kinds: type[EdgeLLMError]) -> None:
    """The import ends with such an error and changes nothing."""
    before = contents(store)
    with pytest.raises(kinds or BundleError):
        take_in(store, medium, path)
    assert contents(store) == before
    assert store.gc(dry_run=True).leftovers == 0


def on_medium(layout: Layout, medium: str, tmp_path: Path) -> Path:
    if medium != "archive":
        return layout.folder
    (tmp_path / "hostile.tar").write_bytes(as_archive(layout.folder))
    return tmp_path / "hostile.tar"


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_manifest_that_lies_is_not_imported(damage: object, medium: str, there: Store, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    apply_damage(layout, damage)  # type: ignore[arg-type]
    refused(there, medium, on_medium(layout, medium, tmp_path))


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("path", ESCAPING_PATHS)
def test_a_path_that_leaves_the_bundle_is_not_imported(path: str, medium: str, there: Store, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    layout.manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = path
    layout.save()
    refused(there, medium, on_medium(layout, medium, tmp_path))


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("name", ["../../x", "a b", "a@previous", "\x1b[2J", "", "x" * 300])
def test_a_name_that_breaks_the_rules_is_not_imported(name: str, medium: str, there: Store, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    layout.index["manifests"][0]["annotations"]["vnd.edgellm.name"] = name
    layout.save()
    refused(there, medium, on_medium(layout, medium, tmp_path))


@pytest.mark.parametrize("medium", MEDIA)
def test_a_changed_missing_or_unlisted_blob_is_not_imported(medium: str, there: Store, tmp_path: Path) -> None:
    for number, change in enumerate(("weights", "document", "missing", "unlisted", "empty")):
        layout = Layout(tmp_path / f"bundle-{number}")
        layout.save()
        file = layout.path(layout.manifest["layers"][1 if change == "document" else 0])
        if change == "missing":
            file.unlink()
        elif change == "unlisted":
            layout.put({}, b"stowaway")
        elif change == "empty":
            layout.index["manifests"] = []
            layout.save_index()
        else:
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            overwrite(file, bytes(data))
        (tmp_path / str(number)).mkdir()
        refused(there, medium, on_medium(layout, medium, tmp_path / str(number)))


@pytest.mark.parametrize("medium", MEDIA)
def test_what_only_others_can_read_says_so(medium: str, there: Store, tmp_path: Path) -> None:
    for number, part in enumerate(("plan", "weights", "index", "algorithm")):
        layout = Layout(tmp_path / f"bundle-{number}")
        if part == "plan":
            layout.plan["minimum_edgellm"] = "99.0"
        elif part == "weights":
            layout.manifest["layers"][0]["mediaType"] = "application/vnd.cncf.model.weight.v1.tar+gzip"
        elif part == "index":
            layout.index["annotations"] = {"vnd.edgellm.format": "2", "vnd.edgellm.minimum": "99.0"}
        if part == "algorithm":
            layout.manifest["layers"][0]["digest"] = "sha512:" + "a" * 128
            layout.put(layout.index["manifests"][0], b"")
            layout.path(layout.index["manifests"][0]).unlink()
            layout.put(layout.index["manifests"][0], json.dumps(layout.manifest).encode())
            layout.save_index()
        else:
            layout.save()
        (tmp_path / str(number)).mkdir()
        refused(there, medium, on_medium(layout, medium, tmp_path / str(number)), UnsupportedError)


@pytest.mark.parametrize("medium", ["archive", "pipe"])
@pytest.mark.parametrize("kind", SPECIAL_KINDS)
def test_special_members_are_not_imported(kind: bytes, medium: str, here: Store, there: Store, tmp_path: Path) -> None:
    path = packed(outgoing(here), "archive", tmp_path)
    member = tarfile.TarInfo(UNKNOWN_BLOB)
    member.type, member.linkname = kind, "/etc/passwd"
    append_member(path, member)
    refused(there, medium, path)


@pytest.mark.parametrize("medium", ["archive", "pipe"])
@pytest.mark.parametrize("name", [*UNKNOWN_MEMBERS, "./index.json", UNKNOWN_BLOB])
def test_members_that_belong_to_no_bundle_are_not_imported(
    name: str, medium: str, here: Store, there: Store, tmp_path: Path
) -> None:
    path = packed(outgoing(here), "archive", tmp_path)
    append_member(path, tarfile.TarInfo(name), b"x", tarfile.PAX_FORMAT)
    refused(there, medium, path)


@pytest.mark.parametrize("medium", ["archive", "pipe"])
@pytest.mark.parametrize("pax", LYING_PAX)
def test_lying_headers_are_not_imported(
    pax: dict[str, str], medium: str, here: Store, there: Store, tmp_path: Path
) -> None:
    path = packed(outgoing(here), "archive", tmp_path)
    member = tarfile.TarInfo(UNKNOWN_BLOB)
    member.pax_headers = pax
    append_member(path, member, b"x", tarfile.PAX_FORMAT)
    refused(there, medium, path)


@pytest.mark.parametrize("medium", ["archive", "pipe"])
def test_an_archive_torn_anywhere_is_not_imported(here: Store, there: Store, medium: str, tmp_path: Path) -> None:
    path = packed(outgoing(here), "archive", tmp_path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 512):
        path.write_bytes(whole[:end])
        refused(there, medium, path)
    path.write_bytes(whole + b"x" * 512)
    refused(there, medium, path)
    path.write_bytes(whole + bytes(2 << 20))
    refused(there, medium, path)


def test_a_pipe_that_claims_more_than_the_disk_holds_is_given_up_at_once(there: Store) -> None:
    before = contents(there)
    with (
        piped(tar_header(UNKNOWN_BLOB, 1 << 50) + bytes(1 << 20)) as pipe,
        there.writer() as writer,
        pytest.raises(NoSpaceError),
    ):
        import_stream(writer, pipe, "the pipe")
    assert contents(there) == before


def test_a_bundle_that_does_not_fit_is_refused_by_its_list(there: Store, tmp_path: Path) -> None:
    """The manifest says what will come: nothing of it has to arrive first."""
    layout = Layout(tmp_path / "bundle")
    layout.manifest["layers"][0]["size"] = 1 << 50
    layout.save()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in (layout.folder / "oci-layout", layout.folder / "index.json"):
            tar.add(path, path.name)
        manifest = layout.path(layout.index["manifests"][0])
        tar.add(manifest, manifest.relative_to(layout.folder))
    without_end = buffer.getvalue().rstrip(b"\0")
    before = contents(there)
    with (
        piped(without_end + bytes(-len(without_end) % 512)) as pipe,
        there.writer() as writer,
        pytest.raises(NoSpaceError) as caught,
    ):
        import_stream(writer, pipe, "the pipe")
    assert "/writer-" not in caught.value.message  # the folder of this process says nothing to a person
    assert contents(there) == before

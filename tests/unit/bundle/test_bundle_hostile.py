"""Bundles that are torn, lying or hostile: a clear error of ours each time, before any harm."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgellm.bundle.opened import open_bundle
from edgellm.errors import BundleError, NotFoundError, UnsupportedError
from hostile_bundles import DAMAGES, ESCAPING_PATHS, Layout, apply_damage

WEIGHT = "application/vnd.cncf.model.weight.v1."


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "bundle")


def test_a_rewritten_layout_is_still_read(layout: Layout) -> None:
    layout.save()
    assert open_bundle(layout.folder).plan.recipe == "Q4_K_M"


@pytest.mark.parametrize("path", ESCAPING_PATHS)
def test_file_paths_that_leave_the_bundle_are_refused(layout: Layout, path: str) -> None:
    layout.manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = path
    layout.save()
    with pytest.raises(BundleError, match="leave the bundle"):
        open_bundle(layout.folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_manifest_that_lies_is_refused(layout: Layout, damage: Callable[[Layout], None]) -> None:
    apply_damage(layout, damage)
    with pytest.raises(BundleError):
        open_bundle(layout.folder)


@pytest.mark.parametrize("form", ["tar", "tar+gzip", "tar+zstd", "lz4", "raw+brotli"])
def test_weights_that_are_packed_are_refused_with_the_reason(layout: Layout, form: str) -> None:
    layout.manifest["layers"][0]["mediaType"] = WEIGHT + form
    layout.save()
    with pytest.raises(UnsupportedError, match="only raw weights"):
        open_bundle(layout.folder)


def test_layers_of_unknown_types_are_passed_over(layout: Layout) -> None:
    extra = {"mediaType": "application/vnd.example.signature"}
    layout.put(extra, b"signed")
    layout.manifest["layers"].append(extra)
    layout.config["modelfs"]["diffIds"].append(extra["digest"])
    layout.save()
    assert open_bundle(layout.folder).weights_path.is_file()


def test_a_modelpack_without_a_plan_says_what_to_do(layout: Layout) -> None:
    layout.save()
    layout.path(layout.manifest["layers"][2]).unlink()
    layout.manifest["layers"].pop()
    layout.config["modelfs"]["diffIds"].pop()
    layout.put(layout.manifest["config"], json.dumps(layout.config).encode())
    layout.put(layout.index["manifests"][0], json.dumps(layout.manifest).encode())
    layout.save_index()
    with pytest.raises(UnsupportedError, match="no plan"):
        open_bundle(layout.folder)


def test_a_plan_for_a_newer_edgellm_is_refused_with_its_version(layout: Layout) -> None:
    layout.plan["minimum_edgellm"] = "99.0"
    layout.save()
    with pytest.raises(UnsupportedError, match=r"needs edgellm >= 99\.0"):
        open_bundle(layout.folder)


def test_another_digest_algorithm_is_named(layout: Layout) -> None:
    layout.manifest["layers"][0]["digest"] = "sha512:" + "a" * 128
    layout.put(layout.index["manifests"][0], json.dumps(layout.manifest).encode())
    layout.save_index()
    with pytest.raises(UnsupportedError, match="sha512"):
        open_bundle(layout.folder)


def test_a_manifest_over_four_megabytes_is_refused_unread(layout: Layout) -> None:
    layout.manifest["annotations"] = {"a": "x" * (4 << 20)}
    layout.save()
    with pytest.raises(BundleError, match="not accepted"):
        open_bundle(layout.folder)


def test_a_sparse_manifest_of_a_terabyte_is_refused_unread(layout: Layout) -> None:
    entry = layout.index["manifests"][0]
    layout.path(entry).chmod(0o644)
    os.truncate(layout.path(entry), 1 << 40)
    entry["size"] = 1 << 40
    layout.save_index()
    with pytest.raises(BundleError, match="not accepted"):
        open_bundle(layout.folder)


def test_an_index_that_lists_nothing_or_several_is_refused(layout: Layout) -> None:
    several = [layout.index["manifests"][0], {**layout.index["manifests"][0], "digest": "sha256:" + "0" * 64}]
    for manifests, kind in (([], BundleError), (several, UnsupportedError)):
        layout.index["manifests"] = manifests
        layout.save_index()
        with pytest.raises(kind):
            open_bundle(layout.folder)


def test_an_index_of_a_newer_format_is_refused_with_its_version(layout: Layout) -> None:
    layout.index["annotations"] = {"vnd.edgellm.format": "2", "vnd.edgellm.minimum": "99.0"}
    layout.save_index()
    with pytest.raises(UnsupportedError, match=r"needs edgellm >= 99\.0"):
        open_bundle(layout.folder)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_blob_is_named(layout: Layout, index: int) -> None:
    layout.save()
    digest = layout.manifest["layers"][index]["digest"]
    layout.path(layout.manifest["layers"][index]).unlink()
    with pytest.raises(BundleError, match=digest.removeprefix("sha256:")[:12]):
        open_bundle(layout.folder)


def test_a_blob_that_no_manifest_lists_is_refused(layout: Layout) -> None:
    layout.put({}, b"stowaway")
    with pytest.raises(BundleError, match="does not list"):
        open_bundle(layout.folder)


def test_links_and_pipes_in_place_of_blobs_are_not_opened(layout: Layout, tmp_path: Path) -> None:
    weights = layout.path(layout.manifest["layers"][0])
    kept = tmp_path / "kept"
    shutil.move(weights, kept)
    weights.symlink_to(kept)
    with pytest.raises(BundleError):
        open_bundle(layout.folder)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(BundleError):
        open_bundle(layout.folder)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "blobs/sha256", "blobs"])
def test_parts_that_are_links_or_missing_are_refused(layout: Layout, tmp_path: Path, name: str) -> None:
    shutil.move(layout.folder / name, tmp_path / "kept")
    with pytest.raises(BundleError):
        open_bundle(layout.folder)
    (layout.folder / name).symlink_to(tmp_path / "kept")
    with pytest.raises(BundleError):
        open_bundle(layout.folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"imageLayoutVersion": 1}', b"x" * 5000])
def test_an_oci_layout_file_that_is_not_one_is_refused(layout: Layout, data: bytes) -> None:
    (layout.folder / "oci-layout").write_bytes(data)
    with pytest.raises(BundleError):
        open_bundle(layout.folder)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError):
        open_bundle(tmp_path)

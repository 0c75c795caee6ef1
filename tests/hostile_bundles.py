"""Bundles that are torn, lying or hostile, for every reader of bundles to refuse."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle_parts import write_bundle
from edgellm.bundle.folder_writer import layout_writer

ESCAPING_PATHS = ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\..\\b", "a\0b", "C:/x", "a//b", "."]
UNKNOWN_BLOB = "blobs/sha256/" + "a" * 64
UNKNOWN_MEMBERS = ["../evil", "/etc/passwd", "blobs/sha256/../../x", "blobs/sha256/short", "README", "blobs\\x"]
UNKNOWN_MEMBERS += ["a" * 150, "ü"]
SPECIAL_KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
SPECIAL_KINDS += [tarfile.GNUTYPE_SPARSE, b"Z"]
LYING_PAX: list[dict[str, str]] = [{"GNU.sparse.major": "1"}, {"linkpath": "/x"}, {"size": "99999999999999999999"}]


class Layout:
    """A layout that a test may damage: documents are changed and everything above them is made to fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with layout_writer(folder) as writer:
            write_bundle(writer)
        self.index = json.loads((folder / "index.json").read_bytes())
        self.index.pop("annotations")
        self.manifest = self.document(self.index["manifests"][0])
        self.config = self.document(self.manifest["config"])
        self.plan = self.document(self.manifest["layers"][2])

    def document(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        return json.loads(self.path(descriptor).read_bytes())

    def path(self, descriptor: dict[str, Any]) -> Path:
        return self.folder / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")

    def put(self, descriptor: dict[str, Any], data: bytes) -> None:
        if "digest" in descriptor:
            self.path(descriptor).unlink(missing_ok=True)
        descriptor.update(digest="sha256:" + hashlib.sha256(data).hexdigest(), size=len(data))
        self.path(descriptor).write_bytes(data)

    def save(self) -> None:
        layers = self.manifest["layers"]
        self.put(layers[2], json.dumps(self.plan).encode())
        self.config["modelfs"]["diffIds"][2] = layers[2]["digest"]
        self.put(self.manifest["config"], json.dumps(self.config).encode())
        self.put(self.index["manifests"][0], json.dumps(self.manifest).encode())
        self.save_index()

    def save_index(self) -> None:
        (self.folder / "index.json").write_text(json.dumps(self.index))


def append_member(archive: Path, member: tarfile.TarInfo, data: bytes = b"", form: int = tarfile.GNU_FORMAT) -> None:
    """Add a member behind those of an archive."""
    member.size = len(data)
    with tarfile.open(archive, "a", format=form) as tar:
        tar.addfile(member, io.BytesIO(data))


def duplicate_path(layout: Layout) -> None:
    layout.manifest["layers"][1]["annotations"]["org.cncf.model.filepath"] = "model.gguf"


def no_path(layout: Layout) -> None:
    del layout.manifest["layers"][0]["annotations"]


def no_weights(layout: Layout) -> None:
    layout.manifest["layers"][0]["mediaType"] = "application/vnd.example.other"


def two_sizes(layout: Layout) -> None:
    layout.manifest["layers"].append({**layout.manifest["layers"][0], "size": 1})


def too_many_layers(layout: Layout) -> None:
    layout.manifest["layers"].extend([layout.manifest["layers"][0]] * 2000)


def lying_size(layout: Layout) -> None:
    layout.manifest["layers"][0]["size"] += 1


def huge_size(layout: Layout) -> None:
    layout.manifest["layers"][0]["size"] = 2**80


def negative_size(layout: Layout) -> None:
    layout.manifest["layers"][0]["size"] = -1


def digest_with_a_path(layout: Layout) -> None:
    layout.manifest["layers"][0]["digest"] = "sha256:../../../../etc/passwd"


def other_contents(layout: Layout) -> None:
    layout.config["modelfs"]["diffIds"][0] = "sha256:" + "0" * 64


def fewer_contents(layout: Layout) -> None:
    layout.manifest["layers"].append(layout.manifest["layers"][1])


def two_plans(layout: Layout) -> None:
    layout.manifest["layers"].append(layout.manifest["layers"][2])
    layout.config["modelfs"]["diffIds"].append("")


def wrong_schema(layout: Layout) -> None:
    layout.manifest["schemaVersion"] = 1


def config_of_a_list(layout: Layout) -> None:
    layout.config["config"] = []


DAMAGES: list[Callable[[Layout], None]] = [
    duplicate_path,
    no_path,
    no_weights,
    two_sizes,
    too_many_layers,
    lying_size,
    huge_size,
    negative_size,
]
DAMAGES += [digest_with_a_path, other_contents, fewer_contents, two_plans, wrong_schema, config_of_a_list]


def apply_damage(layout: Layout, damage: Callable[[Layout], None]) -> None:
    """Damage a document and make everything above it fit."""
    original = {**layout.manifest["layers"][0]}
    damage(layout)
    if layout.manifest["layers"][0]["digest"] != original["digest"]:
        layout.manifest["layers"][0].update(size=original["size"])
    layout.save()

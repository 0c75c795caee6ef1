"""Layers of a bundle: descriptors of raw files, and the file paths that they carry."""

from __future__ import annotations

import re

import msgspec

from edgellm.bundle.canonical import canonical_json
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import ANNOTATION_FILE_METADATA, ANNOTATION_FILE_PATH
from edgellm.errors import BundleError

__all__ = ["check_file_path", "file_layer", "layer_path"]

_PATH_LIMIT = 512
_DRIVE = re.compile(r"[a-zA-Z]:")


class FileMetadata(msgspec.Struct, frozen=True):
    """ModelPack's file metadata. Everything but name and size is constant, so that equal input gives equal digests."""

    name: str
    size: int
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: str = "1970-01-01T00:00:00Z"
    typeflag: int = 48  # tar's '0': a regular file


def file_layer(media_type: str, path: str, blob: Descriptor) -> Descriptor:
    """The layer descriptor of one raw file. ``path`` is its name inside the bundle. Raises BundleError."""
    check_file_path(path, f"the layer {path!r}")
    metadata = FileMetadata(name=path.rpartition("/")[2], size=blob.size)
    annotations = {ANNOTATION_FILE_PATH: path, ANNOTATION_FILE_METADATA: canonical_json(metadata).decode()}
    return Descriptor(media_type=media_type, digest=blob.digest, size=blob.size, annotations=annotations)


def layer_path(layer: Descriptor, what: str) -> str:
    """The checked file path of a layer. Raises BundleError when it has none or one that leaves the bundle."""
    path = layer.annotations.get(ANNOTATION_FILE_PATH, "")
    if not path:
        raise BundleError(f"{what}: a layer of type {layer.media_type[:80]} has no file path")
    return check_file_path(path, what)


def check_file_path(path: str, what: str) -> str:
    """``path`` when it stays inside the folder it is put into: relative, plain components. Raises BundleError."""
    parts = path.split("/")
    if (
        len(path) > _PATH_LIMIT
        or any(part in ("", ".", "..") or len(part.encode(errors="surrogatepass")) > 255 for part in parts)
        or "\\" in path
        or _DRIVE.match(path)
        or any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in path)
    ):
        raise BundleError(
            f"{what} has the file path {path[:120]!r}, which may leave the bundle",
            hint="do not trust this bundle; ask its author for a clean one",
        )
    return path

"""``index.json``: names of bundles, with the format's version and a checksum of the file itself.

Blobs are named by their digest, so damage shows; the index has no such name. It therefore carries the digest of its
own canonical form, and it is always written in that form: any changed byte is found.
"""

from __future__ import annotations

import msgspec

from edgellm.bundle.canonical import canonical_json, decode_json
from edgellm.bundle.compatibility import require_version
from edgellm.bundle.digest import check_digest, sha256_bytes
from edgellm.bundle.manifest import Descriptor, Index, OciLayout
from edgellm.bundle.media import (
    ANNOTATION_FORMAT,
    ANNOTATION_INDEX_DIGEST,
    ANNOTATION_MINIMUM,
    INDEX_TYPE,
)
from edgellm.errors import BundleError, UnsupportedError

__all__ = ["LAYOUT_FILE", "LAYOUT_FORMAT_VERSION", "OCI_LAYOUT", "check_layout", "decode_index", "encode_index"]

LAYOUT_FORMAT_VERSION = 1
LAYOUT_MINIMUM = "0.1.0"  # the first edgellm that reads format 1
LAYOUT_FILE = "oci-layout"
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def encode_index(manifests: list[Descriptor]) -> bytes:
    """The bytes of index.json for these entries."""
    marks = {ANNOTATION_FORMAT: str(LAYOUT_FORMAT_VERSION), ANNOTATION_MINIMUM: LAYOUT_MINIMUM}
    index = Index(schema_version=2, media_type=INDEX_TYPE, manifests=manifests, annotations=marks)
    return _with_digest(index)


def decode_index(data: bytes, where: str) -> Index:
    """Read index.json. Raises BundleError, or UnsupportedError when the layout is newer than this edgellm."""
    index = decode_json(data, Index, where)
    if index.schema_version != 2:
        raise BundleError(f"{where} has schemaVersion {index.schema_version}, not 2")
    version = index.annotations.get(ANNOTATION_FORMAT)
    if version is not None:
        if not version.isascii() or not version.isdecimal() or len(version) > 6:
            raise BundleError(f"{where} has {version[:40]!r} as its format")
        minimum = index.annotations.get(ANNOTATION_MINIMUM, "")
        require_version(where, format_version=int(version), known=LAYOUT_FORMAT_VERSION, minimum=minimum)
    for entry in index.manifests:
        check_digest(entry.digest, where)
    return index


def index_damage(data: bytes, index: Index) -> str | None:
    """What is wrong with the bytes of an index that decodes; None when they are as written.

    An index without any annotation of ours, on itself or on an entry, was written by another OCI tool and has no
    checksum to compare.
    """
    keys = [*index.annotations, *(key for entry in index.manifests for key in entry.annotations)]
    if not any(key.startswith("vnd.edgellm.") for key in keys):
        return None
    if ANNOTATION_INDEX_DIGEST not in index.annotations:
        return "its checksum is missing"
    rest = {key: value for key, value in index.annotations.items() if key != ANNOTATION_INDEX_DIGEST}
    if _with_digest(msgspec.structs.replace(index, annotations=rest)) != data:
        return "its bytes do not match its checksum"
    return None


def check_layout(data: bytes, where: str) -> None:
    """Check the bytes of ``oci-layout``. Raises BundleError or UnsupportedError."""
    layout = decode_json(data, OciLayout, f"{where}/{LAYOUT_FILE}")
    if layout.version != "1.0.0":
        raise UnsupportedError(f"{where} is an OCI image layout of version {layout.version[:20]!r}, not 1.0.0")


def _with_digest(index: Index) -> bytes:
    digest = sha256_bytes(canonical_json(index))
    marks = {**index.annotations, ANNOTATION_INDEX_DIGEST: digest}
    return canonical_json(msgspec.structs.replace(index, annotations=marks))

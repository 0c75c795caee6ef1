"""The JSON documents of a bundle, typed: OCI image layout, index and manifest, and the ModelPack config.

Only the fields that we write or read; unknown ones are ignored, as both specifications ask.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

__all__ = [
    "Capabilities",
    "Descriptor",
    "Index",
    "Manifest",
    "ModelConfig",
    "ModelDescriptor",
    "ModelFS",
    "ModelFacts",
    "OciLayout",
]

Size = Annotated[int, Meta(ge=0, le=2**62)]


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points at a blob: what it is, its digest and its size in bytes."""

    media_type: str = field(name="mediaType")
    digest: str
    size: Size
    annotations: dict[str, str] = {}
    artifact_type: str = field(name="artifactType", default="")


class OciLayout(msgspec.Struct, frozen=True):
    """The file ``oci-layout``."""

    version: str = field(name="imageLayoutVersion")


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file ``index.json``: which manifests there are and what they are called."""

    schema_version: int = field(name="schemaVersion")
    manifests: list[Descriptor]
    media_type: str = field(name="mediaType", default="")
    annotations: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The manifest of one bundle."""

    schema_version: int = field(name="schemaVersion")
    config: Descriptor
    layers: list[Descriptor]
    media_type: str = field(name="mediaType", default="")
    artifact_type: str = field(name="artifactType", default="")
    annotations: dict[str, str] = {}


class ModelDescriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """ModelPack ``descriptor``: what the model is called and where it comes from."""

    name: str = ""
    title: str = ""
    description: str = ""
    vendor: str = ""
    family: str = ""
    version: str = ""
    revision: str = ""
    source_url: str = field(name="sourceURL", default="")
    doc_url: str = field(name="docURL", default="")
    authors: list[str] = []
    licenses: list[str] = []  # SPDX expressions
    created_at: str = field(name="createdAt", default="")  # RFC 3339; from SOURCE_DATE_EPOCH or absent


class Capabilities(msgspec.Struct, frozen=True, omit_defaults=True):
    """ModelPack ``config.capabilities``; None where nobody said."""

    input_types: list[str] = field(name="inputTypes", default_factory=list)
    output_types: list[str] = field(name="outputTypes", default_factory=list)
    languages: list[str] = []
    reasoning: bool | None = None
    tool_usage: bool | None = field(name="toolUsage", default=None)


class ModelFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """ModelPack ``config``: how the model is built and stored."""

    architecture: str = "transformer"
    format: str = "gguf"
    param_size: str = field(name="paramSize", default="")  # "8.4M"
    precision: str = ""
    quantization: str = ""
    capabilities: Capabilities | None = None


class ModelFS(msgspec.Struct, frozen=True):
    """ModelPack ``modelfs``: the digests of the layers before any compression, in their order."""

    type: str
    diff_ids: list[str] = field(name="diffIds")


class ModelConfig(msgspec.Struct, frozen=True):
    """The config blob of a ModelPack manifest."""

    descriptor: ModelDescriptor
    config: ModelFacts
    modelfs: ModelFS

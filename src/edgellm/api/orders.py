"""What a job may be asked to do. Nothing in an order is a path: files are named by the digests of uploaded blobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "CreateOrder",
    "ExportOrder",
    "ImportOrder",
    "Order",
    "OrderMessage",
    "PackOrder",
    "PullOrder",
    "VerifyOrder",
]

Digest = Annotated[str, Meta(description="sha256:... of a blob that was uploaded to /api/blobs/DIGEST.")]


class _Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What packing and pulling have in common; the meanings are those of `edgellm pack`."""

    quant: str | None = None
    format: (
        Annotated[
            Literal["gguf", "onnx"], Meta(description="Of the model file; without it that of the recipe, or as suits.")
        ]
        | None
    ) = None
    context: Annotated[int, Meta(ge=16)] | None = None
    sequences: Annotated[int, Meta(ge=1, le=255)] | None = None
    memory: str | None = None
    min_speed: Annotated[float, Meta(gt=0)] | None = None
    name: str | None = None
    force: bool = False


class PullOrder(_Target, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="pull"):
    """Fetch OWNER/MODEL[:QUANT] of a hub for this machine or another device."""

    model: str
    device: str | None = None


class PackOrder(_Target, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="pack"):
    """Make bundles for devices, of OWNER/MODEL of a hub or of uploaded files (file name -> digest)."""

    model: str = ""
    files: dict[str, Digest] = {}
    folder: Annotated[str, Meta(description="Name of the folder of a checkpoint's files: a bundle is called so.")] = ""
    remove_files: Annotated[
        bool, Meta(description="Remove the uploaded files once this is done and no other job needs them.")
    ] = False
    devices: list[str] = []
    adapters: dict[str, dict[str, Digest]] = {}  # name -> file name -> digest
    system: str = ""


class VerifyOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="verify"):
    """Read every byte of one bundle, or of all."""

    name: str | None = None


class ExportOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="export"):
    """Write bundles to an archive, to be had at /api/edgellm/jobs/ID/output."""

    names: Annotated[list[str], Meta(min_length=1, max_length=64)]


class ImportOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="import"):
    """Take bundles from an archive that was uploaded as a blob."""

    blob: Digest
    name: str | None = None


class OrderMessage(msgspec.Struct, frozen=True):
    """A message that chats begin with."""

    role: str
    content: str


class CreateOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="create"):
    """A new bundle from one of the store, with whose files it shares what it does not change."""

    name: str
    base: str
    system: str | None = None
    template: str | None = None
    parameters: dict[str, Any] = {}  # Ollama's names
    messages: list[OrderMessage] = []
    licenses: list[str] = []
    adapters: dict[str, dict[str, Digest]] = {}


Order = PullOrder | PackOrder | VerifyOrder | ExportOrder | ImportOrder | CreateOrder

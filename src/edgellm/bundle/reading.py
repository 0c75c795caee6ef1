"""From a manifest's digest to a typed bundle, everything small read and checked, the weights not yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgellm.bundle.adapters import adapter_name
from edgellm.bundle.canonical import decode_json
from edgellm.bundle.digest import check_digest, short_digest
from edgellm.bundle.layers import layer_path
from edgellm.bundle.layout import Layout, read_blob
from edgellm.bundle.manifest import Descriptor, Manifest, ModelConfig
from edgellm.bundle.media import (
    ADAPTER_RAW_TYPE,
    DOC_RAW_TYPE,
    MANIFEST_TYPE,
    WEIGHT_CONFIG_TYPE,
    WEIGHT_PREFIX,
    WEIGHT_RAW_TYPE,
)
from edgellm.bundle.plan import PLAN_MEDIA_TYPE, Plan
from edgellm.bundle.plan_codec import decode_plan
from edgellm.errors import BundleError, UnsupportedError

__all__ = ["Bundle", "BundleFile", "read_bundle", "read_manifest"]

_LAYER_LIMIT = 1000


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle: its path inside, and its blob."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked, but for the bytes of its weights, adapters and documents."""

    digest: str  # of the manifest: the identity of the bundle
    manifest: Manifest
    config: ModelConfig
    plan: Plan
    weights: tuple[BundleFile, ...]  # and the small files that belong to them: tokenizer.json, ...
    docs: tuple[BundleFile, ...]
    blobs: dict[str, int]  # digest -> bytes, the manifest's own included
    adapters: Mapping[str, BundleFile] = field(default_factory=dict)  # by the names of the plan

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs, each counted once."""
        return sum(self.blobs.values())

    @property
    def model_file(self) -> BundleFile:
        """The file that the runtime is asked to load: the first GGUF or ONNX graph, or the first at all."""
        return next((file for file in self.weights if file.path.lower().endswith((".gguf", ".onnx"))), self.weights[0])


def read_manifest(layout: Layout, entry: Descriptor) -> Manifest:
    """The checked manifest behind an entry of the index. Raises BundleError, UnsupportedError."""
    what = f"{layout.where}: the manifest {short_digest(entry.digest)}"
    if entry.media_type != MANIFEST_TYPE:
        raise UnsupportedError(f"{what} is of type {entry.media_type[:100]!r}, not an OCI image manifest")
    manifest = decode_json(read_blob(layout, entry.digest, entry.size, what), Manifest, what)
    if manifest.schema_version != 2 or manifest.media_type not in ("", MANIFEST_TYPE):
        raise BundleError(f"{what} is not an OCI image manifest")
    if len(manifest.layers) > _LAYER_LIMIT:
        raise BundleError(f"{what} has {len(manifest.layers)} layers")
    sizes: dict[str, int] = {}
    for blob in (manifest.config, *manifest.layers):
        check_digest(blob.digest, what)
        if sizes.setdefault(blob.digest, blob.size) != blob.size:
            raise BundleError(f"{what} gives the blob {short_digest(blob.digest)} two sizes")
    return manifest


def read_bundle(layout: Layout, entry: Descriptor) -> Bundle:
    """Everything but the weights behind an entry of the index, checked; sizes of all blobs are compared.

    Layers of unknown types are passed over, as OCI asks. Raises BundleError, or UnsupportedError for weights that are
    packed or compressed and for a bundle that needs a newer edgellm.
    """
    manifest = read_manifest(layout, entry)
    what = f"{layout.where}: the bundle {short_digest(entry.digest)}"
    weights = _files(manifest, WEIGHT_RAW_TYPE, what)
    docs = _files(manifest, DOC_RAW_TYPE, what)
    adapters = _files(manifest, ADAPTER_RAW_TYPE, what)
    for layer in manifest.layers:
        if layer.media_type.startswith(WEIGHT_PREFIX) and layer.media_type != WEIGHT_RAW_TYPE:
            form = repr(layer.media_type.removeprefix(WEIGHT_PREFIX)[:40])
            raise UnsupportedError(
                f"{what} has its weights as {form}; only raw weights can be memory-mapped",
                hint="unpack the model file and pack it again: edgellm pack model.gguf",
            )
    if not weights:
        raise BundleError(f"{what} has no weights")
    weights += _files(manifest, WEIGHT_CONFIG_TYPE, what)
    paths = [file.path for file in (*weights, *adapters, *docs)]
    if len(set(paths)) != len(paths):
        raise BundleError(f"{what} lists the same file path twice")
    blobs = {blob.digest: blob.size for blob in (entry, manifest.config, *manifest.layers)}
    for digest, size_bytes in blobs.items():
        actual_bytes = layout.blob_size(digest)
        if actual_bytes != size_bytes:
            found = "it is missing" if actual_bytes is None else f"it has {actual_bytes}"
            raise BundleError(f"{what}: the blob {short_digest(digest)} should have {size_bytes} bytes; {found}")
    config = _read_config(layout, manifest, what)
    plan = _read_plan(layout, manifest, what)
    named = _named_adapters(plan, adapters, what)
    return Bundle(entry.digest, manifest, config, plan, weights, docs, blobs, named)


def _named_adapters(plan: Plan, files: tuple[BundleFile, ...], what: str) -> dict[str, BundleFile]:
    """The adapter files by name; they must be those that the plan lists."""
    named: dict[str, BundleFile] = {}
    for file in files:
        name = adapter_name(file.path)
        if name is None:
            raise BundleError(f"{what} has an adapter at {file.path[:120]!r}, which is no place for one")
        named[name] = file
    planned = {adapter.name for adapter in plan.adapters}
    if planned != set(named):
        raise BundleError(
            f"{what}: its plan lists the adapters {', '.join(sorted(planned)) or '(none)'}, "
            f"it has {', '.join(sorted(named)) or '(none)'}"
        )
    return named


def _files(manifest: Manifest, media_type: str, what: str) -> tuple[BundleFile, ...]:
    layers = [layer for layer in manifest.layers if layer.media_type == media_type]
    return tuple(BundleFile(layer_path(layer, what), layer.digest, layer.size) for layer in layers)


def _read_config(layout: Layout, manifest: Manifest, what: str) -> ModelConfig:
    config = decode_json(
        read_blob(layout, manifest.config.digest, manifest.config.size, f"{what}: its config"),
        ModelConfig,
        f"{what}: its config",
    )
    if len(config.modelfs.diff_ids) != len(manifest.layers):
        raise BundleError(f"{what}: its config lists {len(config.modelfs.diff_ids)} layers, not {len(manifest.layers)}")
    for layer, diff_id in zip(manifest.layers, config.modelfs.diff_ids, strict=True):
        raw = layer.media_type in (WEIGHT_RAW_TYPE, WEIGHT_CONFIG_TYPE, ADAPTER_RAW_TYPE, DOC_RAW_TYPE, PLAN_MEDIA_TYPE)
        if raw and diff_id != layer.digest:
            raise BundleError(f"{what}: its config names another content for the layer {short_digest(layer.digest)}")
    return config


def _read_plan(layout: Layout, manifest: Manifest, what: str) -> Plan:
    plans = [layer for layer in manifest.layers if layer.media_type == PLAN_MEDIA_TYPE]
    if not plans:
        raise UnsupportedError(
            f"{what} has no plan: it is a ModelPack that edgellm did not make",
            hint="take its GGUF file and pack it for a device: edgellm pack model.gguf --device local",
        )
    if len(plans) > 1:
        raise BundleError(f"{what} has {len(plans)} plans")
    return decode_plan(read_blob(layout, plans[0].digest, plans[0].size, f"{what}: its plan"), f"{what}: its plan")

"""From the parts of a bundle to its manifest: deterministic, so the same parts always give the same digest."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass

from edgellm.bundle.adapters import adapter_path
from edgellm.bundle.canonical import canonical_json
from edgellm.bundle.layers import file_layer
from edgellm.bundle.manifest import Descriptor, Manifest, ModelConfig, ModelDescriptor, ModelFacts, ModelFS
from edgellm.bundle.media import (
    ADAPTER_RAW_TYPE,
    CONFIG_TYPE,
    DOC_RAW_TYPE,
    MANIFEST_TYPE,
    MODEL_ARTIFACT_TYPE,
    WEIGHT_CONFIG_TYPE,
    WEIGHT_RAW_TYPE,
)
from edgellm.bundle.plan import PLAN_MEDIA_TYPE, Plan
from edgellm.errors import BundleError, UsageError

__all__ = ["BundleContents", "FileLayer", "build_config", "build_manifest", "created_at"]


@dataclass(frozen=True)
class FileLayer:
    """One file of the bundle: its path inside, and the blob that a writer gave back."""

    path: str
    blob: Descriptor


@dataclass(frozen=True)
class BundleContents:
    """Everything that makes a bundle. All files are blobs of the writer that commits them.

    ``adapters`` have the paths of ``adapters.adapter_path`` and are those that the plan lists.
    """

    weights: tuple[FileLayer, ...]
    plan: Plan
    about: ModelDescriptor
    facts: ModelFacts
    docs: tuple[FileLayer, ...] = ()  # LICENSE, NOTICE, USE_POLICY, README
    adapters: tuple[FileLayer, ...] = ()
    configs: tuple[FileLayer, ...] = ()  # small files that the weights cannot do without: tokenizer.json, ...


def build_layers(contents: BundleContents, plan: Descriptor) -> list[Descriptor]:
    """The layers in their fixed order: weights; configs, adapters and documents by path; plan. Raises BundleError."""
    if not contents.weights:
        raise BundleError("a bundle needs at least one weights file")
    files = [(WEIGHT_RAW_TYPE, layer) for layer in contents.weights]
    files += [(WEIGHT_CONFIG_TYPE, layer) for layer in sorted(contents.configs, key=lambda layer: layer.path)]
    files += [(ADAPTER_RAW_TYPE, layer) for layer in sorted(contents.adapters, key=lambda layer: layer.path)]
    files += [(DOC_RAW_TYPE, layer) for layer in sorted(contents.docs, key=lambda layer: layer.path)]
    planned = sorted(adapter_path(adapter.name) for adapter in contents.plan.adapters)
    if sorted(layer.path for layer in contents.adapters) != planned:
        raise BundleError("the adapters of the bundle are not those of its plan")
    paths = [layer.path for _, layer in files]
    if len(set(paths)) != len(paths):
        raise BundleError(f"two files of the bundle have the same path: {', '.join(sorted(paths))}")
    layers = [file_layer(media_type, layer.path, layer.blob) for media_type, layer in files]
    return [*layers, Descriptor(media_type=PLAN_MEDIA_TYPE, digest=plan.digest, size=plan.size)]


def build_config(contents: BundleContents, layers: list[Descriptor]) -> bytes:
    """The ModelPack config blob. Every layer is raw, so its diff id is its digest."""
    modelfs = ModelFS(type="layers", diff_ids=[layer.digest for layer in layers])
    return canonical_json(ModelConfig(descriptor=contents.about, config=contents.facts, modelfs=modelfs))


def build_manifest(layers: list[Descriptor], config: Descriptor) -> bytes:
    """The manifest blob."""
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        artifact_type=MODEL_ARTIFACT_TYPE,
        config=Descriptor(media_type=CONFIG_TYPE, digest=config.digest, size=config.size),
        layers=layers,
    )
    return canonical_json(manifest)


def created_at(environ: Mapping[str, str] = os.environ) -> str:
    """RFC 3339 time from SOURCE_DATE_EPOCH (reproducible-builds.org), or nothing without it: never the clock.

    For ``ModelDescriptor.created_at``. Raises UsageError when the variable is not a number of seconds.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    try:
        moment = datetime.datetime.fromtimestamp(int(text), datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH is {text[:40]!r}", hint="it is a count of seconds since 1970") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

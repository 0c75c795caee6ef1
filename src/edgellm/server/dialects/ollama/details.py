"""Bundles as Ollama's clients see models."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from edgellm.bundle.digest import digest_hex
from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.ollama.facts import ModelFacts, model_facts, template_of

__all__ = ["ListedModel", "ModelDetails", "capabilities", "details", "listed", "modified_at"]


class ModelDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """``details`` of a model."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int = 0
    embedding_length: int = 0


class ListedModel(msgspec.Struct, frozen=True):
    """One row of /api/tags. ``digest`` is the hex digits of the bundle's manifest."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails
    capabilities: list[str]


def details(bundle: OpenBundle) -> ModelDetails:
    """What the plan, the config and the header say. Reads the header."""
    facts = _facts(bundle)
    family = bundle.plan.source.architecture
    return ModelDetails(
        parent_model="",
        format=bundle.config.config.format,
        family=family,
        families=[family],
        parameter_size=bundle.config.config.param_size,
        quantization_level=bundle.plan.recipe,
        context_length=bundle.plan.context,
        embedding_length=facts.n_embd if facts is not None else 0,
    )


def capabilities(bundle: OpenBundle) -> list[str]:
    """What the model can do, in Ollama's words; nothing where its file cannot be read."""
    facts = _facts(bundle)
    return facts.capabilities(template_of(bundle)) if facts is not None else []


def listed(bundle: OpenBundle) -> ListedModel:
    """The row of a bundle. Reads the header."""
    return ListedModel(
        name=bundle.name,
        model=bundle.name,
        modified_at=modified_at(bundle),
        size=bundle.size_bytes,
        digest=digest_hex(bundle.digest),
        details=details(bundle),
        capabilities=capabilities(bundle),
    )


def modified_at(bundle: OpenBundle) -> str:
    """When the bundle came into the store, as RFC 3339."""
    try:
        seconds = bundle.layout.blob_path(bundle.digest).stat().st_mtime
    except OSError:
        seconds = 0.0
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _facts(bundle: OpenBundle) -> ModelFacts | None:
    try:
        return model_facts(bundle)
    except EdgeLLMError:
        return None

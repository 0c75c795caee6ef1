"""What a hub reference means: a checkpoint, or one of the GGUF files of a repository.

A repository with both is a checkpoint, because any recipe can be made of that; ``OWNER/REPO:QUANT`` or
``OWNER/REPO:FILE.gguf`` takes the GGUF. On a checkpoint, and where GGUF files of floats are all there is, ``:QUANT`` is
the recipe to make.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from edgellm.errors import IntegrityError, UsageError
from edgellm.formats.sentence_files import is_sentence_file
from edgellm.sources.gguf_files import GGUFFile, find_gguf_files, main_model, select_gguf
from edgellm.sources.hub.client import HubClient
from edgellm.sources.hub.reference import HubReference
from edgellm.sources.hub.repository import HubFile, HubRepository
from edgellm.sources.repository_files import (
    CHECKPOINT_FILES,
    INDEX_NAME,
    SHARD,
    SINGLE_NAME,
    is_document,
)

__all__ = ["HubModel", "checkpoint_files", "documents", "find_model"]

INDEX_LIMIT_BYTES = 64 << 20
_GGUF_SUFFIX = re.compile(r"[-_.]gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class HubModel:
    """A model of a repository at one commit."""

    reference: HubReference
    repository: HubRepository
    kind: Literal["checkpoint", "gguf"]
    ggufs: tuple[GGUFFile, ...] = ()  # to choose from; one when the reference names it
    recipe: str | None = None  # what the reference asks for: a recipe, or the label of a GGUF

    @property
    def name(self) -> str:
        """What a bundle of it is called: the repository's name, or that of a file which is another model."""
        own = _GGUF_SUFFIX.sub("", self.repository.repo_id.rpartition("/")[2])
        if self.kind == "gguf" and self.reference.selector and self.reference.selector.lower().endswith(".gguf"):
            return self.ggufs[0].stem if self.ggufs[0].stem.lower() not in ("model", "ggml-model") else own
        return own


def find_model(client: HubClient, reference: HubReference) -> HubModel:
    """Ask the hub what ``reference`` is.

    Raises UsageError for a repository without a model that can be read, NotFoundError for a quant or file that it does
    not have, and what the client raises.
    """
    repository = client.repository(reference)
    names = {file.path for file in repository.files}
    ggufs = find_gguf_files(repository.files)
    weights = SINGLE_NAME in names or INDEX_NAME in names or any(SHARD.fullmatch(name) for name in names)
    is_checkpoint = "config.json" in names and weights
    selector = reference.selector
    if selector is not None:
        labels = {file.label.removeprefix("UD-") for file in ggufs}
        is_there = selector.lower().endswith(".gguf") or selector.upper().removeprefix("UD-") in labels
        if not is_there and is_checkpoint:
            return HubModel(reference, repository, "checkpoint", recipe=selector)
        if not is_there and any(file.is_float for file in ggufs):
            models = tuple(main_model(ggufs, repository.repo_id))
            return HubModel(reference, repository, "gguf", models, recipe=selector)
        file = select_gguf(ggufs, selector, repository.repo_id)
        return HubModel(reference, repository, "gguf", (file,), recipe=file.label)
    if is_checkpoint:
        return HubModel(reference, repository, "checkpoint")
    if ggufs:
        return HubModel(reference, repository, "gguf", tuple(main_model(ggufs, repository.repo_id)))
    raise _no_model(repository, names)


def checkpoint_files(client: HubClient, repository: HubRepository) -> list[HubFile]:
    """The files that a checkpoint is read from, its papers included; the index says which shards belong to it."""
    by_path = {file.path: file for file in repository.files}
    names = {name for name in by_path if name in CHECKPOINT_FILES or is_sentence_file(name)}
    if INDEX_NAME in by_path:
        names |= _shards_of_index(client, by_path[INDEX_NAME], repository)
    elif SINGLE_NAME in by_path:
        names.add(SINGLE_NAME)
    else:
        names |= {path for path in by_path if SHARD.fullmatch(path)}
    missing = sorted(names - set(by_path))
    if missing:
        raise IntegrityError(
            f"{repository.repo_id} is incomplete: {missing[0][:200]} is not there", hint="take another revision"
        )
    papers = {file.path for file in documents(repository)}
    return [file for file in repository.files if file.path in names | papers]


def documents(repository: HubRepository) -> list[HubFile]:
    """Licence, notices and model card of the repository."""
    return [file for file in repository.files if is_document(file.path, file.size_bytes)]


def _shards_of_index(client: HubClient, index: HubFile, repository: HubRepository) -> set[str]:
    try:
        weight_map = msgspec.json.decode(client.read_file(index, INDEX_LIMIT_BYTES), type=_Index).weight_map
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{index.path} of {repository.repo_id} has no usable weight_map") from error
    shards = set(weight_map.values())
    odd = next((name for name in shards if "/" in name or not name.endswith(".safetensors")), None)
    if odd is not None:
        raise IntegrityError(f"{index.path} of {repository.repo_id} names {odd[:80]!r}, which is no file beside it")
    return shards


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def _no_model(repository: HubRepository, names: set[str]) -> UsageError:
    pickled = any(name.endswith((".bin", ".pth", ".pt")) for name in names)
    what = "its weights are pickled, which is never read" if pickled else "it has neither *.gguf nor model.safetensors"
    base = f"; {repository.base_models[0]} may be the whole model" if repository.base_models else ""
    return UsageError(
        f"{repository.repo_id} holds no model that can be read: {what}",
        hint=f"look at {repository.url} for a version with GGUF files or safetensors{base}",
    )

"""What a pack or pull of a hub's model comes to, known from headers alone: files, sizes, what was chosen and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape
    from edgellm.sources.gguf_files import GGUFFile
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.repository import HubFile
    from edgellm.sources.hub_model import HubModel
    from edgellm.sources.local import LocalSource
    from edgellm.sources.mirror import HeaderMirror
    from edgellm.sources.origin import Origin
    from edgellm_converters.pack import PackRequest
    from edgellm_converters.pack.choose import Target

__all__ = ["HubOrder", "gguf_shapes", "mirrored_checkpoint", "orders", "placeholder"]


@dataclass(frozen=True)
class HubOrder:
    """One download and the bundles that are made of it."""

    model: HubModel
    origin: Origin
    files: tuple[HubFile, ...]  # weights, and for a checkpoint all that belongs to it
    targets: tuple[Target, ...]  # one for each device
    gguf: GGUFFile | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def result_bytes(self) -> int:
        """What the bundles add to the store besides the download itself; weights only, each recipe once."""
        if self.gguf is not None and len(self.files) == 1:
            return 0  # the downloaded file becomes part of the bundle
        sizes = {row.recipe: row.size_bytes for target in self.targets for row in target.choice.table}
        return sum(sizes[recipe] for recipe in {target.choice.recipe for target in self.targets})

    @property
    def licenses(self) -> tuple[str, ...]:
        """As the model card states them."""
        from edgellm_converters.source_docs import license_ids

        repository = self.model.repository
        stated = {
            key: value
            for key, value in (
                ("license", repository.license),
                ("license_name", repository.license_name),
                ("license_link", repository.license_link),
            )
            if value
        }
        return license_ids(stated)


def placeholder() -> LocalSource:
    """The source of a request whose files are not here yet."""
    from edgellm.sources.local import LocalSource

    return LocalSource("checkpoint", Path(), "")


def orders(client: HubClient, model: HubModel, request: PackRequest, mirror: HeaderMirror) -> list[HubOrder]:
    """What to fetch for the devices of ``request``, chosen by the headers. One order for each file that is needed.

    Raises DoesNotFitError, UsageError, NotFoundError, and what client and readers raise.
    """
    if model.kind == "checkpoint":
        return [_checkpoint_order(client, model, request, mirror)]
    from edgellm.sources.gguf_files import select_gguf
    from edgellm_converters.pack.gguf_choice import choose_files

    if request.recipe != "auto":
        chosen = select_gguf(model.ggufs, request.recipe, model.repository.repo_id)
        model, request = replace(model, ggufs=(chosen,)), replace(request, recipe="auto")
    targets = choose_files(request, model.ggufs, lambda file: _measure(model, file, mirror))
    by_label: dict[str, list[Target]] = {}
    for target in targets:
        by_label.setdefault(target.choice.recipe, []).append(target)
    return [_gguf_order(model, label, tuple(chosen)) for label, chosen in by_label.items()]


def gguf_shapes(model: HubModel, request: PackRequest, mirror: HeaderMirror) -> dict[str, ModelShape]:
    """Label -> shape of each file of a GGUF repository; what would be chosen comes from the file's own header."""
    from edgellm_converters.pack.gguf_choice import GGUFCandidates, choose_targets_of, likely_label

    first = likely_label(request, model.ggufs)
    candidates = GGUFCandidates(model.ggufs, lambda file: _measure(model, file, mirror), first)
    choose_targets_of(request, candidates)
    return {label: candidates.shape(label) for label in candidates.recipes()}


def mirrored_checkpoint(client: HubClient, model: HubModel, mirror: HeaderMirror) -> LocalSource:
    """A checkpoint of which only the headers are here."""
    from edgellm.sources.hub_model import checkpoint_files

    return mirror.checkpoint(model.repository, checkpoint_files(client, model.repository))


def _checkpoint_order(client: HubClient, model: HubModel, request: PackRequest, mirror: HeaderMirror) -> HubOrder:
    from edgellm.sources.hub_model import checkpoint_files
    from edgellm_converters.pack.choose import choose_targets
    from edgellm_converters.pack.open_input import open_input
    from edgellm_converters.recipes import get_recipe

    if request.recipe == "auto" and model.recipe is not None:
        request = replace(request, recipe=get_recipe(model.recipe).name)
    elif model.recipe is not None and get_recipe(model.recipe).name != request.recipe:
        raise UsageError(f"{model.reference} asks for another recipe than --quant {request.recipe}")
    files = checkpoint_files(client, model.repository)
    with open_input(mirror.checkpoint(model.repository, files)) as opened:
        targets = tuple(choose_targets(request, opened))
    expected = {file.path: f"sha256:{file.sha256}" for file in files if file.sha256}
    return HubOrder(model, replace(_origin(model), expected=expected), tuple(files), targets)


def _gguf_order(model: HubModel, label: str, targets: tuple[Target, ...]) -> HubOrder:
    file = next(file for file in model.ggufs if file.label == label)
    return HubOrder(model, _origin(model, file), file.parts, targets, file)


def _measure(model: HubModel, file: GGUFFile, mirror: HeaderMirror) -> ModelShape:
    from edgellm_converters.pack.open_input import open_input

    with open_input(mirror.gguf(model.repository, file), origin=_origin(model, file)) as opened:
        return opened.shape(file.label)


def _origin(model: HubModel, file: GGUFFile | None = None) -> Origin:
    from edgellm.sources.origin import Origin

    repository = model.repository
    return Origin(
        name=repository.repo_id,
        bundle_name=model.name,
        revision=repository.revision,
        url=repository.url,
        recipe=file.label if file is not None else None,
        digests={part.name: f"sha256:{part.sha256}" for part in file.parts if part.sha256} if file is not None else {},
    )

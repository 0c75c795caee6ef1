"""What a pack or pull of a hub's model comes to, known from headers alone: files, sizes, what was chosen and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.errors import NotFoundError, UsageError

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
    from edgellm_converters.pack.gguf_choice import ChosenFile
    from edgellm_converters.pack.model_input import ModelInput

__all__ = ["HubOrder", "gguf_shapes", "mirrored_checkpoint", "orders", "placeholder"]


@dataclass(frozen=True)
class HubOrder:
    """One download and the bundles that are made of it."""

    model: HubModel
    origin: Origin
    files: tuple[HubFile, ...]  # weights, and for a checkpoint all that belongs to it
    targets: tuple[Target, ...]  # one for each device
    licenses: tuple[str, ...]  # as the model card and the headers state them
    gguf: GGUFFile | None = None
    format: str = "gguf"  # of the bundles
    notes: tuple[str, ...] = ()  # of the choice

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def made(self) -> tuple[str, ...]:
        """The recipes that are written here; none when the downloaded file becomes part of the bundle."""
        recipes = dict.fromkeys(target.choice.recipe for target in self.targets)
        as_it_is = self.gguf.label if self.gguf is not None and len(self.files) == 1 else None
        return tuple(recipe for recipe in recipes if recipe != as_it_is)

    @property
    def result_bytes(self) -> int:
        """What the bundles add to the store besides the download itself; weights only, each recipe once."""
        sizes = {row.recipe: row.size_bytes for target in self.targets for row in target.choice.table}
        return sum(sizes[recipe] for recipe in self.made)


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
    if request.format == "onnx":
        raise UsageError(
            f"{model.reference} has GGUF files only: an ONNX model is made of a checkpoint",
            hint="name the repository of the original checkpoint, or take --format gguf",
        )
    from edgellm_converters.pack.gguf_choice import choose_files

    model, request = _as_asked(model, request)
    by_label: dict[str, list[ChosenFile]] = {}
    for chosen in choose_files(request, model.ggufs, lambda file: _opened(model, file, mirror)):
        by_label.setdefault(chosen.file.label, []).append(chosen)
    return [_gguf_order(model, chosen) for chosen in by_label.values()]


def gguf_shapes(model: HubModel, request: PackRequest, mirror: HeaderMirror) -> dict[str, ModelShape]:
    """Recipe -> shape of what can be had of a GGUF repository; of what would be chosen, from the file's own header."""
    from edgellm_converters.pack.gguf_choice import file_shapes

    model, request = _as_asked(model, request)
    return file_shapes(request, model.ggufs, lambda file: _opened(model, file, mirror))


def mirrored_checkpoint(client: HubClient, model: HubModel, mirror: HeaderMirror) -> LocalSource:
    """A checkpoint of which only the headers are here."""
    from edgellm.sources.hub_model import checkpoint_files

    return mirror.checkpoint(model.repository, checkpoint_files(client, model.repository))


def _checkpoint_order(client: HubClient, model: HubModel, request: PackRequest, mirror: HeaderMirror) -> HubOrder:
    from edgellm.sources.hub_model import checkpoint_files
    from edgellm_converters.onnx.tokenizer_files import TOKENIZER_NAME
    from edgellm_converters.pack.choose import choose_targets
    from edgellm_converters.pack.formats import settle_format
    from edgellm_converters.pack.open_input import open_input
    from edgellm_converters.recipes import get_recipe

    if request.format == "onnx" and model.recipe is not None:
        raise UsageError(
            f"{model.reference} asks for a GGUF, and --format for onnx", hint="leave out one of :QUANT and --format"
        )
    if request.recipe == "auto" and model.recipe is not None:
        request = replace(request, recipe=get_recipe(model.recipe).name, format="gguf")
    elif model.recipe is not None and get_recipe(model.recipe).name != request.recipe:
        raise UsageError(f"{model.reference} asks for another recipe than --quant {request.recipe}")
    files = checkpoint_files(client, model.repository)
    source = mirror.checkpoint(model.repository, files)
    request = settle_format(
        request,
        lambda to_format: open_input(source, to_format=to_format),
        has_tokenizer_json=any(file.path == TOKENIZER_NAME for file in files),
    )
    targets = request.targets
    if not targets:
        with open_input(source, to_format=request.format) as opened:
            targets = tuple(choose_targets(request, opened))
    expected = {file.path: f"sha256:{file.sha256}" for file in files if file.sha256}
    return HubOrder(
        model,
        replace(_origin(model), expected=expected),
        tuple(files),
        targets,
        _card_licenses(model),
        format=request.format,
        notes=request.notes,
    )


def _as_asked(model: HubModel, request: PackRequest) -> tuple[HubModel, PackRequest]:
    """The files that can become what command line and reference ask for, and the request for a label or a recipe.

    Raises NotFoundError naming what the repository has.
    """
    from edgellm.sources.gguf_files import select_gguf
    from edgellm_converters.recipes import RECIPES

    wanted = request.recipe if request.recipe != "auto" else model.recipe
    if wanted is None:
        return model, request
    try:
        file = select_gguf(model.ggufs, wanted, model.repository.repo_id)
    except NotFoundError as error:
        if not any(file.is_float for file in model.ggufs):
            raise
        if wanted.upper() not in RECIPES:
            hint = f"{error.hint}; of its floats can be made: {', '.join(RECIPES)}"
            raise NotFoundError(error.message, hint=hint) from error
        return model, replace(request, recipe=wanted.upper())
    return replace(model, ggufs=(file,)), replace(request, recipe=file.label)


def _gguf_order(model: HubModel, chosen: list[ChosenFile]) -> HubOrder:
    file = chosen[0].file
    licenses = tuple(dict.fromkeys((*_card_licenses(model), *chosen[0].source.facts.licenses)))
    targets = tuple(one.target for one in chosen)
    return HubOrder(model, _origin(model, file), file.parts, targets, licenses, file)


def _opened(model: HubModel, file: GGUFFile, mirror: HeaderMirror) -> ModelInput:
    from edgellm_converters.pack.gguf_input import GGUFInput

    origin = _origin(model, file)
    return GGUFInput(mirror.gguf(model.repository, file), None, origin.revision, origin)


def _card_licenses(model: HubModel) -> tuple[str, ...]:
    from edgellm_converters.source_docs import license_ids

    repository = model.repository
    stated = {"license": repository.license, "license_name": repository.license_name}
    return license_ids({key: value for key, value in stated.items() if value})


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

"""What `edgellm fit` compares: every recipe that a source can be packed to, or the one that a bundle is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgellm.cli.progress import MessagesOnly
from edgellm.cli.target import A_MODEL, find_bundle
from edgellm.errors import EdgeLLMError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edgellm.bundle.plan import Plan
    from edgellm.cli.fit_command import FitOptions
    from edgellm.devices.load import LoadedProfile
    from edgellm.devices.model import ModelShape
    from edgellm.settings import SettingsWithOrigin
    from edgellm.sources.hub.reference import HubReference
    from edgellm.sources.local import LocalSource
    from edgellm_converters.pack.model_input import ModelInput

__all__ = ["FitCandidates", "fit_candidates"]

Shapes = Mapping[str, "ModelShape"]

_TOKENIZER = "tokenizer.json"  # an ONNX model needs it


@dataclass(frozen=True)
class FitCandidates:
    """Recipe -> shape, by format."""

    shapes: Mapping[str, Shapes]
    settled: bool = True  # the format is given: by the command line, or by what the source is
    missing: Mapping[str, str] = field(default_factory=dict)  # format -> why the model cannot have it


def fit_candidates(
    options: FitOptions, device: LoadedProfile, settings: SettingsWithOrigin
) -> tuple[FitCandidates, Plan | None]:
    """All that a source can be packed to, or what a bundle is, with its plan."""
    from edgellm.cli.target import hub_reference
    from edgellm.sources.local import open_source

    reference = hub_reference(options.model, settings)
    if reference is not None:
        return _of_hub(reference, options, device, settings.paths.cache), None
    bundle = find_bundle(options.model, settings, or_else=A_MODEL)
    if bundle is None:
        source = open_source(options.model)
        return _of_source(source, options.format_, has_tokenizer_json=(source.path / _TOKENIZER).is_file()), None
    if options.format_ is not None:
        raise UsageError(f"{options.model} is a bundle, whose format is settled", hint="leave --format out")
    from edgellm.cli.bundle_shape import bundle_shape

    shape = bundle_shape(bundle)
    return FitCandidates({shape.format: {bundle.plan.recipe: shape}}), bundle.plan


def _of_source(source: LocalSource, to_format: str | None, *, has_tokenizer_json: bool) -> FitCandidates:
    from edgellm_converters.pack.open_input import open_input

    def open_as(wanted: str) -> AbstractContextManager[ModelInput]:
        return open_input(source, to_format=wanted)

    if to_format is not None or source.kind == "gguf":
        wanted = to_format or "gguf"
        return FitCandidates({wanted: _shapes(open_as, wanted)})
    gguf = _shapes(open_as, "gguf")
    if not has_tokenizer_json:
        return FitCandidates({"gguf": gguf}, settled=False, missing={"onnx": f"{_TOKENIZER} is not there"})
    try:
        return FitCandidates({"gguf": gguf, "onnx": _shapes(open_as, "onnx")}, settled=False)
    except EdgeLLMError as error:
        return FitCandidates({"gguf": gguf}, settled=False, missing={"onnx": error.message})
    except ImportError:
        from edgellm.pip import PACK_EXTRA, pip_install

        why = f"the package onnx is not installed ({pip_install(PACK_EXTRA)})"
        return FitCandidates({"gguf": gguf}, settled=False, missing={"onnx": why})


def _shapes(open_as: Callable[[str], AbstractContextManager[ModelInput]], to_format: str) -> Shapes:
    with open_as(to_format) as opened:
        return {recipe: opened.shape(recipe) for recipe in opened.recipes()}


def _of_hub(reference: HubReference, options: FitOptions, device: LoadedProfile, cache: Path) -> FitCandidates:
    """The same for a model of a hub, of which headers alone are fetched."""
    from edgellm.cli.hub_order import gguf_shapes, mirrored_checkpoint, placeholder
    from edgellm.cli.progress import cancel_on_interrupt
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.settings import hub_settings
    from edgellm.sources.hub_model import find_model
    from edgellm.sources.mirror import HeaderMirror
    from edgellm_converters.pack import PackRequest
    from edgellm_runtimes.accelerators import installed_accelerators

    with (
        cancel_on_interrupt() as cancel,
        HubClient(hub_settings(), progress=MessagesOnly(), cancel=cancel) as client,
        HeaderMirror(client, cache) as mirror,
    ):
        model = find_model(client, reference)
        if model.kind == "checkpoint":
            has_tokenizer_json = any(file.path == _TOKENIZER for file in model.repository.files)
            source = mirrored_checkpoint(client, model, mirror)
            return _of_source(source, options.format_, has_tokenizer_json=has_tokenizer_json)
        if options.format_ == "onnx":
            raise UsageError(
                f"{reference} has GGUF files only: an ONNX model is made of a checkpoint",
                hint="name the repository of the original checkpoint, or leave --format out",
            )
        request = PackRequest(
            source=placeholder(),
            devices=(device,),
            context=options.context,
            sequences=options.sequences,
            accelerators=installed_accelerators(),
            force=True,
        )
        return FitCandidates({"gguf": gguf_shapes(model, request, mirror)})

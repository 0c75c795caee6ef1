"""The pipeline: choose for each device, prove the tokenizer, write the weights once, test them, commit the bundles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgellm.bundle.contents import BundleContents, FileLayer, created_at
from edgellm.bundle.names import BundleName, default_name, parse_name
from edgellm.bundle.plan_codec import encode_plan
from edgellm.bundle.terms import license_note
from edgellm.errors import BundleError, CheckpointError, UsageError
from edgellm.progress import CancelToken, Progress
from edgellm_converters.onnx.tokenizer_files import TOKENIZER_NAME
from edgellm_converters.pack.adapters import (
    Fitted,
    PackedAdapters,
    announce_adapters,
    fit_adapters,
    planned_adapters,
    readable_adapters,
)
from edgellm_converters.pack.choose import Target, choose_targets
from edgellm_converters.pack.digests import SourceDigests
from edgellm_converters.pack.formats import settle_format
from edgellm_converters.pack.kv_scales import INT8_KV, measure_kv_ranges
from edgellm_converters.pack.model_files import ModelFiles, SmallFileWriter, write_large_files
from edgellm_converters.pack.open_input import open_input
from edgellm_converters.pack.plan_builder import build_about, build_facts, build_plan
from edgellm_converters.pack.prompt import bake_prompt, prompt_outline
from edgellm_converters.pack.request import KvRanges, MeasureKv, PackedBundle, PackRequest, ReadPrompt, SmokeTest

if TYPE_CHECKING:
    from edgellm.bundle.manifest import Descriptor
    from edgellm.bundle.writer import BundleWriter
    from edgellm_converters.pack.model_input import ModelInput, SourceFacts

__all__ = ["pack"]


def pack(
    request: PackRequest,
    open_writer: Callable[[], BundleWriter],
    smoke_test: SmokeTest,
    committed: Callable[[PackedBundle], None],
    progress: Progress,
    cancel: CancelToken,
    read_prompt: ReadPrompt | None = None,
    measure_kv: MeasureKv | None = None,
) -> list[PackedBundle]:
    """Make one bundle for each device of ``request``; ``committed`` hears of each as soon as it is visible.

    The weights are read once, whatever the number of devices; bundles with the same recipe share their model file.
    Raises errors of our tree; what was not committed by then leaves nothing.
    """

    def open_as(to_format: str) -> contextlib.AbstractContextManager[ModelInput]:
        return open_input(request.source, request.license, request.revision, request.origin, to_format)

    has_tokenizer_json = (request.source.path / TOKENIZER_NAME).is_file()
    request = settle_format(request, open_as, has_tokenizer_json=has_tokenizer_json)
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(open_as(request.format))
        targets = request.targets or choose_targets(request, model)
        names = _names(request, targets)
        fitted = fit_adapters(request.adapters, model)
        _check_texts(request, model.facts, targets, fitted)
        _announce(model.facts, targets, request.notes, progress)
        announce_adapters(fitted, progress)
        cancel.check()
        model.plan_contexts(max(target.choice.settings.context for target in targets))
        writer = stack.enter_context(open_writer())
        recipes = list(dict.fromkeys(target.choice.recipe for target in targets))
        taken = _take_finished(model, writer, recipes)
        written = [recipe for recipe in recipes if recipe not in taken]
        adapters_bytes = sum(file.size_bytes for _, file in fitted)
        writer.require_space(adapters_bytes + sum(model.file_bytes(recipe) for recipe in written))
        model.prove_tokenizer(progress, cancel)
        known = request.origin.digests if request.origin else {}
        unknown = {name: path for name, path in model.facts.files.items() if name not in known}
        digests = stack.enter_context(SourceDigests(unknown, cancel))
        threads = request.threads or _usable_cores()
        weights = taken | write_large_files(model, writer, written, threads, progress, cancel)
        small = SmallFileWriter(writer)
        ranges = measure_kv_ranges(model, targets, weights, small, writer, measure_kv, progress, cancel)
        files = _complete(model, targets, weights, small, ranges)
        adapters = PackedAdapters.write(fitted, writer, threads, progress, cancel)
        _check_arrival(request, digests.result())
        smoke = _smoke_results(targets, files, adapters, writer, smoke_test, progress, cancel)
        cancel.check()
        prompt = bake_prompt(request, model.facts, targets, files, writer, read_prompt, progress, cancel)
        progress.phase("finish")
        docs = tuple(FileLayer(doc.name, writer.add_file(doc.path)) for doc in model.facts.documents)
        packed = []
        for target, name, model_files in zip(targets, names, files, strict=True):
            source_digests = _of_files(model.facts, known) | digests.result()
            plan = build_plan(target.device, target.choice, model.facts, source_digests, adapters.planned, prompt)
            contents = BundleContents(
                weights=model_files.weights,
                configs=model_files.configs,
                docs=(*docs, *adapters.documents),
                adapters=adapters.layers,
                plan=plan,
                about=build_about(model.facts, created_at()),
                facts=build_facts(model.shape(target.choice.recipe), target.choice.recipe),
            )
            digest = writer.commit(contents, name)
            size_bytes = model_files.size_bytes + adapters.size_bytes + sum(layer.blob.size for layer in docs)
            result = smoke[_smoke_key(target)]
            weights_bytes = model_files.weights_bytes
            packed.append(PackedBundle(name, digest, size_bytes, weights_bytes, plan, target.choice, result))
            committed(packed[-1])
        return packed


def _complete(
    model: ModelInput,
    targets: Sequence[Target],
    weights: Mapping[str, Descriptor],
    small: SmallFileWriter,
    ranges: Mapping[str, KvRanges],
) -> list[ModelFiles]:
    """The files of the model for each target."""
    files = []
    for target in targets:
        recipe, settings = target.choice.recipe, target.choice.settings
        kv = ranges[recipe] if settings.kv_type_k == INT8_KV else None
        files.append(small.complete(model, recipe, weights[recipe], settings.context, kv))
    return files


def _of_files(facts: SourceFacts, known: Mapping[str, str]) -> dict[str, str]:
    return {name: known[name] for name in facts.files if name in known}


def _check_texts(request: PackRequest, facts: SourceFacts, targets: Sequence[Target], fitted: Fitted) -> None:
    """Refuse, before any work, texts that no reader of the plan would accept."""
    prompt = prompt_outline(request, facts)
    nothing = dict.fromkeys(facts.files, f"sha256:{'0' * 64}")
    for target in targets:
        try:
            encode_plan(build_plan(target.device, target.choice, facts, nothing, planned_adapters(fitted), prompt))
        except BundleError as error:
            raise UsageError(
                error.message,
                hint="check the name of the model's folder, the revision, the device profile and the system prompt",
            ) from error


def _announce(facts: SourceFacts, targets: Sequence[Target], notes: Sequence[str], progress: Progress) -> None:
    for note in (*facts.notes, *notes):
        progress.message(f"note: {note}")
    terms = license_note(facts.licenses)
    if terms is not None:
        progress.message(f"note: {terms}")
    for target in targets:
        progress.message(target.choice.why)
        for note in target.choice.estimate.notes:
            progress.message(f"note: {note}")


def _check_arrival(request: PackRequest, digests: Mapping[str, str]) -> None:
    """Compare what was read with what the source's publisher says. Raises CheckpointError."""
    if request.origin is None:
        return
    for name, wanted in request.origin.expected.items():
        found = digests.get(name, wanted)
        if found != wanted:
            raise CheckpointError(
                f"{name} of {request.origin.name} is damaged: its bytes have {found}, the hub says {wanted}",
                hint=f"remove {(request.source.path / name).resolve()} and run the command again",
            )


def _smoke_key(target: Target) -> tuple[str, str, str, bool]:
    settings = target.choice.settings
    return target.choice.recipe, settings.kv_type_k, settings.kv_type_v, settings.flash_attention


def _smoke_results(
    targets: Sequence[Target],
    files: Sequence[ModelFiles],
    adapters: PackedAdapters,
    writer: BundleWriter,
    smoke_test: SmokeTest,
    progress: Progress,
    cancel: CancelToken,
) -> dict[tuple[str, str, str, bool], Mapping[str, Any]]:
    """One test for each model file and way to keep the KV cache."""
    results: dict[tuple[str, str, str, bool], Mapping[str, Any]] = {}
    for target, model_files in zip(targets, files, strict=True):
        key, recipe = _smoke_key(target), target.choice.recipe
        if key not in results:
            cancel.check()
            progress.phase(f"smoke test {recipe}")
            with contextlib.ExitStack() as stack:
                path, parts = model_files.readable(writer, stack)
                adapter_paths = readable_adapters(adapters, writer, stack)
                results[key] = smoke_test(path, target.choice.settings, cancel, adapter_paths, parts)
    return results


def _names(request: PackRequest, targets: Sequence[Target]) -> list[BundleName]:
    """The name of each bundle; a given tag cannot serve two bundles."""
    names = []
    for target in targets:
        source_name = request.origin.bundle_name if request.origin else request.source.name
        default = default_name(source_name, target.device.profile.id, target.choice.recipe)
        names.append(default if request.name is None else parse_name(request.name, default_tag=default.tag))
    if len(set(names)) != len(names):
        raise UsageError(
            f"two of the devices would get the same name {names[0]}",
            hint="pack them one by one, each with its own --name NAME:TAG",
        )
    return names


def _take_finished(model: ModelInput, writer: BundleWriter, recipes: list[str]) -> dict[str, Descriptor]:
    """The model files that need not be written, because the source has them as they will be."""
    taken = {}
    for recipe in recipes:
        finished = model.finished(recipe)
        if finished is not None:
            taken[recipe] = writer.take_file(*finished)
    return taken


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""The pipeline: choose for each device, prove the tokenizer, write the weights once, test them, commit the bundles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgellm.bundle.contents import BundleContents, FileLayer, created_at
from edgellm.bundle.names import BundleName, default_name, parse_name
from edgellm.errors import UsageError
from edgellm.progress import CancelToken, Progress
from edgellm_converters.pack.choose import Target, choose_targets
from edgellm_converters.pack.digests import SourceDigests
from edgellm_converters.pack.open_input import open_input
from edgellm_converters.pack.plan_builder import build_about, build_facts, build_plan
from edgellm_converters.pack.request import PackedBundle, PackRequest, SmokeTest

if TYPE_CHECKING:
    from edgellm.bundle.manifest import Descriptor
    from edgellm.bundle.writer import BundleWriter
    from edgellm_converters.pack.model_input import ModelInput

__all__ = ["pack"]

WEIGHTS_PATH = "model.gguf"


def pack(
    request: PackRequest,
    open_writer: Callable[[], BundleWriter],
    smoke_test: SmokeTest,
    progress: Progress,
    cancel: CancelToken,
) -> list[PackedBundle]:
    """Make one bundle for each device of ``request``.

    The weights are read once, whatever the number of devices; bundles with the same recipe share their model file.
    Raises errors of our tree; then nothing of what was written stays.
    """
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(open_input(request.source, request.license, request.revision))
        for note in model.facts.notes:
            progress.message(f"note: {note}")
        targets = choose_targets(request, model)
        names = _names(request, targets)
        for target in targets:
            progress.message(target.choice.why)
        cancel.check()
        model.prove_tokenizer(progress, cancel)
        writer = stack.enter_context(open_writer())
        recipes = list(dict.fromkeys(target.choice.recipe for target in targets))
        digests = stack.enter_context(SourceDigests(model.facts.files, cancel))
        weights = _write_weights(model, writer, recipes, request.threads, progress, cancel)
        smoke = {}
        for recipe, blob in weights.items():
            cancel.check()
            progress.phase(f"smoke test {recipe}")
            with writer.readable(blob) as path:
                smoke[recipe] = smoke_test(path, cancel)
        cancel.check()
        progress.phase("finish")
        docs = tuple(FileLayer(doc.name, writer.add_file(doc.path)) for doc in model.facts.documents)
        packed = []
        for target, name in zip(targets, names, strict=True):
            recipe = target.choice.recipe
            plan = build_plan(target.device, target.choice, model.facts, digests.result())
            contents = BundleContents(
                weights=(FileLayer(WEIGHTS_PATH, weights[recipe]),),
                docs=docs,
                plan=plan,
                about=build_about(model.facts, created_at()),
                facts=build_facts(model.shape(recipe), recipe),
            )
            digest = writer.commit(contents, name)
            size_bytes = weights[recipe].size + sum(layer.blob.size for layer in docs)
            packed.append(
                PackedBundle(name, digest, size_bytes, weights[recipe].size, plan, target.choice, smoke[recipe])
            )
        return packed


def _names(request: PackRequest, targets: Sequence[Target]) -> list[BundleName]:
    """The name of each bundle; a given tag cannot serve two bundles."""
    names = []
    for target in targets:
        default = default_name(request.source.name, target.device.profile.id, target.choice.recipe)
        names.append(default if request.name is None else parse_name(request.name, default_tag=default.tag))
    if len(set(names)) != len(names):
        raise UsageError(
            f"two of the devices would get the same name {names[0]}",
            hint="give --name without a tag, or pack them one by one",
        )
    return names


def _write_weights(
    model: ModelInput,
    writer: BundleWriter,
    recipes: list[str],
    threads: int,
    progress: Progress,
    cancel: CancelToken,
) -> dict[str, Descriptor]:
    """One model file for each recipe, all from one pass over the source."""
    writer.require_space(sum(model.file_bytes(recipe) for recipe in recipes))
    with contextlib.ExitStack() as stack:
        blobs = {recipe: stack.enter_context(writer.blob(model.file_bytes(recipe))) for recipe in recipes}
        model.write(blobs, threads=threads or _usable_cores(), progress=progress, cancel=cancel)
    return {recipe: blob.descriptor for recipe, blob in blobs.items()}


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

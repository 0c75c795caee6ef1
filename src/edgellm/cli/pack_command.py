"""What `edgellm pack` does: find out what to pack, run the pipeline, say what came out."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message
from edgellm.cli.context import load_device, open_store, size_option_value, user_settings
from edgellm.cli.output import check_output, is_archive
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.cli.smoke import keep_smoke, smoke
from edgellm.errors import UsageError
from edgellm.machine import this_device_id
from edgellm.paths import user_path
from edgellm.sources.hub.reference import DEFAULT_REVISION

if TYPE_CHECKING:
    from edgellm.bundle.writer import BundleWriter
    from edgellm.devices.load import LoadedProfile
    from edgellm.project import Project
    from edgellm.settings import SettingsWithOrigin
    from edgellm.sources.hub.reference import HubReference
    from edgellm.store.store import Store
    from edgellm_converters.pack import PackedBundle, PackRequest

__all__ = ["PackOptions", "load_devices", "pack", "pack_record", "recipe_and_format", "say_packed"]


@dataclass(frozen=True)
class PackOptions:
    """The command line of `edgellm pack`."""

    model: str | None
    devices: tuple[str, ...]
    recipe: str | None
    context: int | None
    sequences: int | None
    memory: str | None
    min_speed: float | None
    name: str | None
    output: str | None
    adapters: tuple[str, ...]
    threads: int | None
    force: bool
    as_json: bool
    quiet: bool
    system: str | None = None
    format_: str | None = None


def pack(options: PackOptions) -> None:
    """Run the pack. Raises errors of our tree."""
    settings = user_settings()
    with contextlib.ExitStack() as stack:
        request, reference = _request(options, settings, stack)
        _pack(options, request, reference, settings)


def _pack(
    options: PackOptions, request: PackRequest, reference: HubReference | None, settings: SettingsWithOrigin
) -> None:
    from edgellm_converters.pack import pack as run_pipeline
    from edgellm_runtimes.onnx.kv_range import measure_kv_ranges
    from edgellm_runtimes.system_prompt import read_system_prompt

    store = open_store(settings)
    open_writer = _writer(options, request, store)

    def committed(bundle: PackedBundle) -> None:
        if options.output is None:
            keep_smoke(store, bundle.digest, bundle.smoke)
        if not options.as_json and not options.quiet:
            say_packed(bundle, options.output)

    if reference is not None:
        from edgellm.cli.hub_pack import HubJob, hub_pack

        output = user_path(options.output) if options.output is not None else None
        job = HubJob(
            reference,
            request,
            store,
            settings.paths.cache,
            open_writer,
            committed,
            output=output,
            quiet=options.quiet,
        )
        packed, _there = hub_pack(job)
        if options.as_json:
            print_json([pack_record(bundle, options.output) for bundle in packed])
        return
    with make_progress(options.quiet) as progress, cancel_on_interrupt() as cancel:
        packed = run_pipeline(
            request, open_writer, smoke, committed, progress, cancel, read_system_prompt, measure_kv_ranges
        )
    if options.as_json:
        print_json([pack_record(bundle, options.output) for bundle in packed])


def load_devices(
    references: tuple[str, ...], memory: str | None, settings: SettingsWithOrigin, *, quiet: bool = False
) -> list[LoadedProfile]:
    """The profiles that --device names; says what an alias assumes. Raises UsageError without any."""
    chosen = references or ((settings.values.device,) if settings.values.device else ())
    if not chosen:
        raise UsageError(
            "for which device? --device is missing",
            hint=f"--device raspberrypi, or --device {this_device_id(settings)} for this machine; "
            "`edgellm devices` lists all",
        )
    loaded = [load_device(reference, size_option_value(memory), settings) for reference in chosen]
    for reference, device in zip(chosen, loaded, strict=True):
        if device.assumption and not quiet:
            print_message(f"{reference}: {device.assumption}")
    ids = [(device.profile.id, device.profile.memory.size_bytes) for device in loaded]
    if len(set(ids)) != len(ids):
        raise UsageError("the same device is given twice")
    return loaded


def _request(
    options: PackOptions, settings: SettingsWithOrigin, stack: contextlib.ExitStack
) -> tuple[PackRequest, HubReference | None]:
    """What to pack; for a model of a hub the reference too, and a request whose source is not here yet.

    ``stack`` closes the adapters.
    """
    from edgellm.cli.adapter_options import open_adapters
    from edgellm.cli.hub_order import placeholder
    from edgellm.cli.target import hub_reference
    from edgellm.devices.benched import read_benched
    from edgellm.sources.local import open_source
    from edgellm_converters.pack import PackRequest
    from edgellm_runtimes.accelerators import installed_accelerators

    project, source_text = _project(options.model)
    revision, license_id = "", None
    if project is not None:
        options = replace(
            options,
            devices=options.devices or tuple(project.devices or ()),
            recipe=options.recipe or project.recipe,
            format_=options.format_ or project.format,
            context=options.context or project.context,
            sequences=options.sequences or project.sequences,
            memory=options.memory or project.memory,
            min_speed=options.min_speed or project.min_speed,
            name=options.name or project.name,
            adapters=options.adapters or tuple(f"{name}={path}" for name, path in project.adapters.items()),
        )
        revision, license_id = project.revision or "", project.license
    if options.min_speed is not None and not options.min_speed > 0:
        raise UsageError(f"--min-speed is {options.min_speed}; it must be above 0")
    reference = hub_reference(source_text, settings, among_bundles=False)
    if reference is not None and revision and reference.revision == DEFAULT_REVISION:
        reference = replace(reference, revision=revision)
    recipe, to_format = recipe_and_format(options.recipe or "auto", options.format_, reference)
    request = PackRequest(
        source=open_source(source_text) if reference is None else placeholder(),
        devices=tuple(load_devices(options.devices, options.memory, settings, quiet=options.quiet)),
        recipe=recipe,
        format=to_format,
        context=options.context,
        sequences=options.sequences,
        min_speed=options.min_speed or settings.values.min_speed,
        name=options.name,
        revision=revision,
        license=license_id,
        accelerators=installed_accelerators(),
        threads=options.threads or 0,
        force=options.force,
        adapters=open_adapters(options.adapters, stack),
        benched=read_benched(settings.paths.state) if to_format == "auto" else (),
        system_prompt=_system_prompt(options.system) if options.system is not None else "",
    )
    return request, reference


def _system_prompt(file: str) -> str:
    """The text in ``file``, line ends as everywhere and none at its end."""
    from edgellm.bundle.system_prompt import LONGEST_SYSTEM_PROMPT_BYTES
    from edgellm.files import read_small_file

    raw = read_small_file(user_path(file), LONGEST_SYSTEM_PROMPT_BYTES, "the system prompt")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the system prompt {file} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    if not text.strip():
        raise UsageError(f"the system prompt {file} is empty")
    return text


def recipe_and_format(recipe: str, to_format: str | None, reference: HubReference | None) -> tuple[str, str]:
    """A recipe of ours and the format that it belongs to ("auto": to be chosen); for a hub's model also what its
    publisher calls a file.

    Raises UsageError for a recipe that is none, or none of the format that was asked for.
    """
    from edgellm_converters.onnx.recipes import ONNX_RECIPES, get_onnx_recipe
    from edgellm_converters.recipes import get_recipe

    if recipe.lower() == "auto":
        return "auto", to_format or "auto"
    if to_format == "onnx" or (to_format is None and recipe.upper() in ONNX_RECIPES):
        return get_onnx_recipe(recipe).name, "onnx"
    try:
        return get_recipe(recipe).name, "gguf"
    except UsageError as error:
        if reference is None or recipe.upper() in ONNX_RECIPES:
            raise UsageError(error.message, hint=f"{error.hint}; for ONNX: {', '.join(ONNX_RECIPES)}") from error
        return recipe, "gguf"


def _project(model: str | None) -> tuple[Project | None, str]:
    """The project file, when the command line names no model, and the source."""
    from edgellm.project import PROJECT_FILE, load_project

    if model is not None:
        return None, model
    file = Path(PROJECT_FILE)
    if file.exists():
        project = load_project(file)
        return project, project.source
    if Path("config.json").exists():
        return None, "."
    raise UsageError(
        f"there is nothing to pack: no MODEL is given, and this folder has neither {PROJECT_FILE} nor a checkpoint",
        hint="edgellm pack FOLDER --device raspberrypi, or write an edgellm.toml with `edgellm init FOLDER`",
    )


def _writer(options: PackOptions, request: PackRequest, store: Store) -> Callable[[], BundleWriter]:
    if options.output is None:
        return store.writer
    target = user_path(options.output)
    if len(request.devices) > 1:
        raise UsageError(
            "--output takes one bundle, and several devices are given",
            hint="pack into the store, where bundles share their files, or one device at a time",
        )
    check_output(target, force=options.force, what="--output")
    if is_archive(target):
        from edgellm.bundle.tar_writer import tar_writer

        return lambda: tar_writer(target)
    from edgellm.bundle.folder_writer import layout_writer

    return lambda: layout_writer(target)


def pack_record(bundle: PackedBundle, output: str | None = None) -> dict[str, Any]:
    """A packed bundle as --json prints it."""
    import msgspec

    return {
        "name": str(bundle.name),
        "digest": bundle.digest,
        "device": bundle.plan.target.id,
        "recipe": bundle.plan.recipe,
        "size_bytes": bundle.size_bytes,
        "output": output,
        "verdict": bundle.choice.estimate.verdict,
        "plan": msgspec.to_builtins(bundle.plan),
        "smoke": dict(bundle.smoke),
    }


def say_packed(bundle: PackedBundle, output: str | None = None) -> None:
    """What was packed, and how to try it."""
    from edgellm.units import format_bytes

    where = output or str(bundle.name)
    names = ", ".join(adapter.name for adapter in bundle.plan.adapters)
    adapters = f"adapters {names}, " if names else ""
    print_message(
        f"packed {where}: {format_bytes(bundle.size_bytes)}, {bundle.plan.recipe}, context {bundle.plan.context}, "
        f"{adapters}smoke test {bundle.smoke['tokens_per_s']:.0f} tokens/s here\n  {bundle.digest}"
    )
    if where.endswith(".tar"):
        print_message(f"  next: edgellm import {shlex.quote(where)}, here or where it is copied to")
    else:
        folder = where if output is None or where.startswith(("/", ".", "~")) else f"./{where}"
        if bundle.plan.encoder is not None:
            print_message(f'  try it: edgellm embed {folder} "The cat sat on the mat."')
            return
        raw = "" if bundle.plan.chat_template_digest else ' --raw "Once upon a time"'
        print_message(f"  try it: edgellm run {folder}{raw}")

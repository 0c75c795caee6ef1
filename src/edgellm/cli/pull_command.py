"""What `edgellm pull` does, and `edgellm run` before a model that is not here yet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message
from edgellm.cli.context import load_device, open_store, size_option_value, user_settings
from edgellm.cli.smoke import keep_smoke
from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.paths import user_path

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm.cli.hub_pack import HubJob
    from edgellm.settings import SettingsWithOrigin
    from edgellm.sources.hub.reference import HubReference
    from edgellm.store.listing import StoredBundle
    from edgellm_converters.pack import PackedBundle, PackRequest

__all__ = ["PullOptions", "pull", "pull_reference"]


@dataclass(frozen=True)
class PullOptions:
    """The command line of `edgellm pull`."""

    source: str
    device: str | None = None
    recipe: str | None = None
    format_: str | None = None
    context: int | None = None
    sequences: int | None = None
    memory: str | None = None
    min_speed: float | None = None
    name: str | None = None
    force: bool = False
    yes: bool = False
    as_json: bool = False
    quiet: bool = False


def pull(options: PullOptions) -> None:
    """Fetch and pack. Raises errors of our tree."""
    from edgellm.cli.target import hub_reference

    settings = user_settings()
    reference = hub_reference(options.source, settings, among_bundles=False)
    if reference is None:
        _pack_local(options, settings)
        return
    packed, there = pull_reference(reference, options, settings)
    if options.as_json:
        from edgellm.cli.pack_command import pack_record
        from edgellm.store.records import list_row

        print_json(
            {"packed": [pack_record(bundle) for bundle in packed], "already_there": [list_row(row) for row in there]}
        )


def pull_reference(
    reference: HubReference, options: PullOptions, settings: SettingsWithOrigin
) -> tuple[list[PackedBundle], list[StoredBundle]]:
    """Make sure that the bundle is in the store; returns what was packed for it and what was there."""
    from edgellm.cli.hub_pack import hub_pack
    from edgellm.sources.hub.settings import hub_settings
    from edgellm.sources.stored import find_stored

    job = _job(reference, options, settings)
    known = None
    if hub_settings().offline:
        device_id = job.request.devices[0].profile.id
        known = find_stored(job.store, reference, device_id, accept=lambda plan: _is_wanted(plan, job.request))
    packed, there = ([], [known]) if known is not None and options.name is None else hub_pack(job)
    if not options.quiet and not options.as_json:
        for row in there:
            print_message(f"{row.full_name} is there already: nothing was downloaded")
    return packed, there


def _is_wanted(plan: Plan, request: PackRequest) -> bool:
    """Whether a bundle is of the recipe and format that were asked for, if any were."""
    from edgellm.sources.stored import is_same_recipe

    is_recipe = request.recipe == "auto" or is_same_recipe(plan.recipe, request.recipe)
    return is_recipe and request.format in ("auto", plan.model_format.lower())


def _job(reference: HubReference, options: PullOptions, settings: SettingsWithOrigin) -> HubJob:
    from edgellm.cli.hub_order import placeholder
    from edgellm.cli.hub_pack import HubJob
    from edgellm.cli.pack_command import recipe_and_format, say_packed
    from edgellm.devices.benched import read_benched
    from edgellm_converters.pack import PackRequest
    from edgellm_runtimes.accelerators import installed_accelerators

    if options.min_speed is not None and not options.min_speed > 0:
        raise UsageError(f"--min-speed is {options.min_speed}; it must be above 0")
    store = open_store(settings)
    device = load_device(options.device, size_option_value(options.memory), settings)
    if device.assumption and not options.quiet:
        print_message(f"{options.device or 'this machine'}: {device.assumption}")

    def committed(bundle: PackedBundle) -> None:
        keep_smoke(store, bundle.digest, bundle.smoke)
        if not options.as_json and not options.quiet:
            say_packed(bundle)

    recipe, to_format = recipe_and_format(options.recipe or "auto", options.format_, reference)
    request = PackRequest(
        source=placeholder(),
        devices=(device,),
        recipe=recipe,
        format=to_format,
        context=options.context,
        sequences=options.sequences,
        min_speed=options.min_speed or settings.values.min_speed,
        name=options.name,
        accelerators=installed_accelerators(),
        force=options.force,
        benched=read_benched(settings.paths.state) if to_format == "auto" else (),
    )
    return HubJob(
        reference,
        request,
        store,
        settings.paths.cache,
        store.writer,
        committed,
        reuse=not options.force,
        ask=True,
        yes=options.yes,
        quiet=options.quiet,
    )


def _pack_local(options: PullOptions, settings: SettingsWithOrigin) -> None:
    """What is on this disk is not fetched: it is packed for this machine. Raises NotFoundError for what is not."""
    from edgellm.cli.pack_command import PackOptions, pack
    from edgellm.machine import this_device_id
    from edgellm.sources.local import is_path_text

    if not is_path_text(options.source) and not user_path(options.source).exists():
        raise _unknown(options.source, settings)
    values: dict[str, Any] = {
        "model": options.source,
        "devices": (options.device or this_device_id(settings),),
        "recipe": options.recipe,
        "format_": options.format_,
        "context": options.context,
        "sequences": options.sequences,
        "memory": options.memory,
        "min_speed": options.min_speed,
        "name": options.name,
        "output": None,
        "adapters": (),
        "threads": None,
        "force": options.force,
        "as_json": options.as_json,
        "quiet": options.quiet,
    }
    pack(PackOptions(**values))


def _unknown(source: str, settings: SettingsWithOrigin) -> NotFoundError:
    """For what names no model of a hub, and nothing on this disk."""
    hint = "give OWNER/MODEL or OWNER/MODEL:QUANT, as on the model's page, or that page's address"
    with contextlib.suppress(EdgeLLMError):
        hint = f"the store has {open_store(settings).find(source)}: edgellm run {source}; to fetch another, {hint}"
    return NotFoundError(f"{source} is no model of a hub", hint=hint)

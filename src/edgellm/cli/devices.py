"""edgellm devices"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.group("devices", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Detect this machine, list the device profiles, or show one."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the device profiles."""
    from edgellm.cli.console import print_json, print_table
    from edgellm.devices.load import list_profiles

    profiles = list_profiles()
    if as_json:
        print_json(profiles)
        return
    print_table(
        ["ID", "NAME", "MEMORY", "SUPPORT", "ALIASES"],
        [
            [profile.id, profile.name, "/".join(profile.memory.sizes), profile.support, ", ".join(profile.aliases)]
            for profile in profiles
        ],
    )


@command.command("show")
@click.argument("device")
@click.option("--memory", metavar="SIZE", help="Another memory size, such as 4GiB.")
@json_option
def show_command(device: str, memory: str | None, as_json: bool) -> None:
    """Show one profile with the source of every figure; `local` is this machine."""
    import sys

    import msgspec

    from edgellm.cli.console import print_json, print_message
    from edgellm.cli.context import load_device, size_option_value, user_settings
    from edgellm.cli.progress import MessagesOnly

    loaded = load_device(device, size_option_value(memory), user_settings(), progress=MessagesOnly())
    if loaded.assumption:
        print_message(f"{device}: {loaded.assumption}")
    if as_json:
        print_json({"digest": loaded.digest, "profile": loaded.profile})
        return
    sys.stdout.write(f"{loaded.profile.name} ({loaded.profile.id})\n")
    _print_fields(msgspec.to_builtins(loaded.profile), 1)


@command.command("detect")
@click.option("--measure", is_flag=True, help="Measure its speed first, for two to six minutes, and keep the result.")
@json_option
@quiet_option
def detect_command(measure: bool, as_json: bool, quiet: bool) -> None:
    """Show what this machine is, which profile is used for it, and why.

    What --measure finds replaces the estimates of speed in `fit`, `pack` and `run` on this machine. Nothing else should
    run meanwhile; a small board needs longer.
    """
    from edgellm.cli.detect_command import detect

    detect(measure=measure, as_json=as_json, quiet=quiet)


def _print_fields(value: object, depth: int) -> None:
    import sys

    pairs = value.items() if isinstance(value, dict) else [("-", inner) for inner in _as_list(value)]
    for key, inner in pairs:
        label = "  " * depth + (key if key == "-" else f"{key}:")
        if isinstance(inner, dict) and "source" in inner and ("value" in inner or "low" in inner):
            number = inner["value"] if "value" in inner else f"{inner['low']} to {inner['high']}"
            sys.stdout.write(f"{label} {number}  ({inner['source']})\n")
        elif isinstance(inner, dict) or any(isinstance(item, dict) for item in _as_list(inner)):
            sys.stdout.write(f"{label}\n")
            _print_fields(inner, depth + 1)
        elif isinstance(inner, (list, tuple)):
            sys.stdout.write(f"{label} {', '.join(_shown(key, item) for item in inner)}\n")
        else:
            sys.stdout.write(f"{label} {_shown(key, inner)}\n")


def _shown(key: str, value: object) -> str:
    """A value as people read it; this machine's memory is known to the byte."""
    from edgellm.units import format_bytes

    text = str(value)
    return format_bytes(int(text)) if key in ("sizes", "default_size") and text.isdecimal() else text


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []

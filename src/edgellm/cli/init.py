"""edgellm init"""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("init")
@click.argument("source", default=".")
@click.option("--device", default="raspberrypi", show_default=True, help="Device profile.")
@click.option("--force", is_flag=True, help="Overwrite an edgellm.toml that is there.")
def command(source: str, device: str, force: bool) -> None:
    """Write a commented edgellm.toml for a model project.

    SOURCE is the checkpoint folder or GGUF file, relative to this folder, or a model of a hub (OWNER/MODEL[:QUANT]).
    Afterwards `edgellm pack` needs no arguments here.
    """
    from edgellm.cli.console import print_message, print_warning
    from edgellm.devices.load import load_profile
    from edgellm.errors import UsageError
    from edgellm.files import os_errors, write_atomic
    from edgellm.paths import user_path
    from edgellm.project import PROJECT_FILE, project_template
    from edgellm.sources.hub.reference import is_hub_reference

    load_profile(device)
    target = Path(PROJECT_FILE)
    if target.exists() and not force:
        raise UsageError(f"{PROJECT_FILE} is already here", hint="edit it, or overwrite it with --force")
    text = project_template(source, device)
    with os_errors(f"write {PROJECT_FILE}"):
        write_atomic(target, text.encode("utf-8"))
    print_message(f"wrote {PROJECT_FILE}; pack with: edgellm pack")
    if user_path(source).exists():
        return
    if is_hub_reference(source):
        print_message(f"{source} is not in this folder: it will be taken from the hub")
    else:
        print_warning(f"{source} is not here yet")

"""edgellm version"""

from __future__ import annotations

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the versions of edgellm and its runtime."""
    import importlib.metadata
    import platform
    import sys

    from edgellm.cli.console import print_json
    from edgellm.version import __version__

    versions = {"edgellm": __version__, "python": platform.python_version()}
    for package in ("llama-cpp-python", "gguf", "tokenizers", "sentencepiece"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    if as_json:
        print_json(versions)
        return
    for name, value in versions.items():
        sys.stdout.write(f"{name} {value}\n")

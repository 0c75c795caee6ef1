"""edgellm doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgellm.cli.context import json_option

if TYPE_CHECKING:
    from edgellm.deploy.checks.finding import Finding

__all__ = ["command"]

_COLOURS = {"ok": "32", "warning": "33", "problem": "31", "skipped": "2"}


@click.command("doctor")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check that this machine is ready, with one fix for each finding.

    Looks at Python, the native code, memory, disks, folders, the store, heat, voltage and the settings. Changes nothing
    and opens no connection. Exit status 1 when something is a problem; warnings alone give 0.
    """
    from edgellm.cli.console import print_json
    from edgellm.deploy.checks.machine import Machine
    from edgellm.deploy.checks.run import run_checks

    root = context.find_root().obj
    machine = Machine(config_file=root.get("config_file") if isinstance(root, dict) else None)
    findings = []
    for finding in run_checks(machine):
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    counts = {status: sum(finding.status == status for finding in findings) for status in _COLOURS}
    if as_json:
        print_json({"counts": counts, "findings": findings})
    else:
        _print_summary(counts)
    if counts["problem"]:
        context.exit(1)


def _print_finding(finding: Finding) -> None:
    import sys

    from edgellm.cli.console import printable, styled

    status = styled(f"{finding.status:<8}", _COLOURS[finding.status], sys.stdout)
    sys.stdout.write(f"{status} {printable(finding.check)}: {printable(finding.message)}\n")
    if finding.fix is not None:
        sys.stdout.write(f"{'':8} fix: {printable(finding.fix)}\n")
    sys.stdout.flush()


def _print_summary(counts: dict[str, int]) -> None:
    import sys

    problems, warnings = counts["problem"], counts["warning"]
    if not problems and not warnings:
        sys.stdout.write("everything that could be checked is in order\n")
        return
    words = [
        f"{count} {name}{'s' if count > 1 else ''}"
        for count, name in ((problems, "problem"), (warnings, "warning"))
        if count
    ]
    sys.stdout.write(" and ".join(words) + "; each has its fix below it\n")

"""All checks, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgellm.deploy.checks.disk import check_disk
from edgellm.deploy.checks.finding import Finding, skipped
from edgellm.deploy.checks.folders import check_filesystem, check_folders, check_settings
from edgellm.deploy.checks.heat import check_temperature, check_throttling, check_voltage
from edgellm.deploy.checks.machine import Machine
from edgellm.deploy.checks.memory import check_memory, check_swap
from edgellm.deploy.checks.native import check_native_modules, check_processor, check_runtime
from edgellm.deploy.checks.ports import check_ports
from edgellm.deploy.checks.python import check_python
from edgellm.deploy.checks.store import check_leftovers, check_store
from edgellm.deploy.checks.surroundings import check_clock, check_extras, check_network, check_terminal
from edgellm.errors import EdgeLLMError

__all__ = ["CHECKS", "run_checks"]

Check = Callable[[Machine], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "python": check_python,
    "edgellm's modules": check_native_modules,
    "llama.cpp": check_runtime,
    "processor": check_processor,
    "memory": check_memory,
    "swap": check_swap,
    "disk": check_disk,
    "settings": check_settings,
    "folders": check_folders,
    "file system": check_filesystem,
    "store": check_store,
    "leftovers": check_leftovers,
    "temperature": check_temperature,
    "throttling": check_throttling,
    "voltage": check_voltage,
    "clock": check_clock,
    "network": check_network,
    "ports": check_ports,
    "extras": check_extras,
    "terminal": check_terminal,
}


def run_checks(machine: Machine) -> Iterator[Finding]:
    """Every finding, one after the other; a check that fails itself is one that could not be done."""
    for name, check in CHECKS.items():
        try:
            yield from check(machine)
        except (EdgeLLMError, OSError) as error:
            yield skipped(name, f"this could not be looked at: {error}")

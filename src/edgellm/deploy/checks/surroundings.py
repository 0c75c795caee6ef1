"""The clock, the network settings, the optional packages and the terminal."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator

from edgellm.deploy.checks.finding import Finding, fine, problem, warning
from edgellm.deploy.checks.machine import Machine
from edgellm.errors import EdgeLLMError
from edgellm.pip import PACK_EXTRA
from edgellm.sources.hub.settings import DEFAULT_ENDPOINT, hub_settings

__all__ = ["check_clock", "check_extras", "check_network", "check_terminal"]

_OLDEST_S = 1_767_225_600  # 2026-01-01: no edgellm is older
_NEWEST_S = 4_102_444_800  # 2100-01-01
_EXTRAS = ("tokenizers", "sentencepiece", "huggingface_hub")


def check_clock(machine: Machine) -> Iterator[Finding]:
    """A board without a battery starts in 1970, and then trusts no certificate of any server."""
    if _OLDEST_S <= machine.now_s < _NEWEST_S:
        yield fine("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(machine.now_s)))
        return
    year = f"the year {time.gmtime(machine.now_s).tm_year}" if 0 <= machine.now_s < 2**38 else "a year out of range"
    yield problem("clock", f"the clock says {year}: no download can be trusted", "sudo timedatectl set-ntp true")


def check_network(machine: Machine) -> Iterator[Finding]:
    """Information only, except for settings that cannot be right. Nothing is connected to."""
    try:
        settings = hub_settings(machine.environ)
    except EdgeLLMError as error:
        yield problem("network", error.message, error.hint or "unset the variable that it names")
        return
    words = [f"models come from {settings.endpoint}"]
    if settings.endpoint != DEFAULT_ENDPOINT:
        words.append("set by HF_ENDPOINT")
    words.append("with a token" if settings.token else "without a token")
    proxies = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if machine.environ.get(name)]
    if proxies:
        words.append(f"through the proxy of {proxies[0]}")
    if settings.offline:
        words = ["no connection is opened: EDGELLM_OFFLINE or HF_HUB_OFFLINE is set"]
    yield fine("network", ", ".join(words))


def check_extras(machine: Machine) -> Iterator[Finding]:
    """Information only: the packages that packing a checkpoint needs and running a bundle does not."""
    versions = {name: machine.version_of(name) for name in _EXTRAS}
    there = [f"{name} {version}" for name, version in versions.items() if version]
    missing = [name for name, version in versions.items() if not version]
    if missing:
        install = machine.pip_install(PACK_EXTRA)
        yield fine("extras", f"not here: {', '.join(missing)}; only packing a checkpoint needs them ({install})")
    else:
        yield fine("extras", ", ".join(there))


def check_terminal(machine: Machine) -> Iterator[Finding]:
    """What models write is UTF-8."""
    try:
        name = codecs.lookup(machine.encoding).name
    except LookupError:
        name = machine.encoding
    if name == "utf-8":
        yield fine("terminal", "the output is UTF-8")
    else:
        yield warning(
            "terminal",
            f"the output is {name}, not UTF-8: letters outside it are shown as question marks",
            "export LC_ALL=C.UTF-8",
        )

"""Which machine this is, in the words of its firmware: device tree, DMI, processor names. Read below ``root``."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from edgellm.devices.cgroup import read_text
from edgellm.devices.macos import read_mac
from edgellm.devices.tool_output import android_property
from edgellm.devices.topology import cpu_name

__all__ = ["Board", "read_board"]

_DEVICE_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")
_DMI = "sys/class/dmi/id"
_NAMES_LIMIT, _NAME_LIMIT = 32, 120  # characters of one name
_FILLED_IN = re.compile(r"to be filled.*|default string|system (product name|manufacturer|version)|o\.?e\.?m\.?|none")
# DMI vendor or product -> what runs the machine (systemd's detect-virt compares the same fields)
_VIRTUAL = {
    "qemu": "QEMU",
    "kvm": "KVM",
    "vmware": "VMware",
    "innotek gmbh": "VirtualBox",
    "virtualbox": "VirtualBox",
    "xen": "Xen",
    "bochs": "Bochs",
    "parallels": "Parallels",
    "amazon ec2": "Amazon EC2",
    "google compute engine": "Google Compute Engine",
    "microsoft corporation virtual machine": "Hyper-V",
    "apple inc. apple virtualization generic platform": "Apple Virtualization",
}


class Board(msgspec.Struct, frozen=True):
    """The names under which a machine may be known; empty where the firmware tells none."""

    model: str = ""  # what a person calls it
    compatible: tuple[str, ...] = ()  # device tree, the most specific first
    dmi: tuple[str, ...] = ()  # "VENDOR PRODUCT" and the bare product names
    soc: tuple[str, ...] = ()  # of the device tree and the kernel's SoC driver
    cpu: str = ""  # /proc/cpuinfo's name of the processor
    virtual: str | None = None  # the hypervisor, "a hypervisor" where it has no name
    container: str | None = None  # "docker", "podman", "lxc", ...


def read_board(root: Path = Path("/")) -> Board:
    """Read all names; nothing is required to be there."""
    compatible = _device_tree(root, "compatible")
    names = {name: _plain(read_text(root / _DMI / name)) for name in _DMI_FIELDS}
    product = f"{names['sys_vendor']} {names['product_name']}".strip()
    board = f"{names['board_vendor']} {names['board_name']}".strip()
    dmi = tuple(dict.fromkeys(name for name in (product, board, names["product_name"], names["board_name"]) if name))
    processor = cpu_name(root)[:_NAME_LIMIT]
    mac = read_mac(root)
    model = mac.model if mac is not None else "".join(_device_tree(root, "model")[:1])
    return Board(
        model=model or product or board or processor,
        compatible=compatible,
        dmi=dmi,
        soc=_soc_names(root, compatible),
        cpu=processor,
        virtual="a hypervisor" if mac is not None and mac.virtual else _virtual(root, names, compatible),
        container=_container(root),
    )


_DMI_FIELDS = ("sys_vendor", "product_name", "board_vendor", "board_name")


def _device_tree(root: Path, name: str) -> tuple[str, ...]:
    """The NUL-separated strings of a property of the root node."""
    for folder in _DEVICE_TREES:
        values = [_plain(part) for part in read_text(root / folder / name).split("\0")[:_NAMES_LIMIT]]
        if any(values):
            return tuple(value for value in values if value)
    return ()


def _soc_names(root: Path, compatible: tuple[str, ...]) -> tuple[str, ...]:
    """``rk3588`` from ``rockchip,rk3588``, and what the kernel's SoC driver and Android call the chip."""
    found = [_plain(android_property(root, "ro.soc.model"))]
    found += [entry.partition(",")[2] for entry in compatible]
    found += [_plain(read_text(root / "sys/devices/soc0" / name)) for name in ("soc_id", "machine")]
    return tuple(dict.fromkeys(name for name in found if name))


def _virtual(root: Path, dmi: dict[str, str], compatible: tuple[str, ...]) -> str | None:
    words = [dmi["sys_vendor"], dmi["product_name"], dmi["board_vendor"], f"{dmi['sys_vendor']} {dmi['product_name']}"]
    for word in words:
        for start, name in _VIRTUAL.items():
            if re.match(rf"{re.escape(start)}\b", word.lower()):
                return name
    hypervisor = _plain(read_text(root / "sys/hypervisor/type"))
    if hypervisor:
        return hypervisor
    if "linux,dummy-virt" in compatible:
        return "QEMU"
    found = re.search(r"^flags\s*:.*\bhypervisor\b", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    return "a hypervisor" if found else None


def _container(root: Path) -> str | None:
    said = _plain(read_text(root / "run/systemd/container"))
    if said:
        return said
    for name, kind in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / name).exists():
            return kind
    found = re.search(r"/(docker|lxc|kubepods|libpod)\b", read_text(root / "proc/self/cgroup"))
    return found.group(1) if found else None


def _plain(text: str) -> str:
    """One printable line; what a vendor forgot to fill in says nothing."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())[:_NAME_LIMIT]
    return "" if _FILLED_IN.fullmatch(line.lower()) else line

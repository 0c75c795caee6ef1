"""The device profile: what a TOML file in device_profiles/ may say, and in which ranges.

Every figure names its source; a figure that nobody published is absent. docs/reference/profile-schema.json is generated
from these structs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edgellm.devices.measured import Measured
from edgellm.devices.policy import Policy
from edgellm.errors import UsageError
from edgellm.units import parse_bytes

__all__ = [
    "Accelerator",
    "Cluster",
    "Cpu",
    "Figure",
    "Match",
    "Memory",
    "OnnxSpeed",
    "Performance",
    "Power",
    "Profile",
    "Storage",
    "Thermal",
]

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
Size = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)?\s*([KMGT]i?)?B?$", description="a size such as 8GiB")]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e7)]
_MEMORY_LIMITS_BYTES = (16 * 2**20, 16 * 2**40)


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Unknown fields are errors: a typing mistake must not silently change what is packed."""


class Figure(_Strict, frozen=True):
    """One number, or a range from ``low`` to ``high``, and who says so."""

    source: Text
    value: Positive | None = None
    low: Positive | None = None
    high: Positive | None = None

    def __post_init__(self) -> None:
        """Either ``value`` or both ends of the range."""
        if (self.value is None) == (self.low is None and self.high is None):
            raise ValueError("give either value, or low and high")
        if self.value is None and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError("low and high must both be there, low not above high")

    @property
    def minimum(self) -> float:
        """The value, or the low end."""
        return self.value if self.value is not None else self.low or 0.0

    @property
    def maximum(self) -> float:
        """The value, or the high end."""
        return self.value if self.value is not None else self.high or 0.0

    @property
    def middle(self) -> float:
        """Half way between both ends."""
        return (self.minimum + self.maximum) / 2


class Match(_Strict, frozen=True):
    """How detection recognises the device. Every entry is compared as a whole, without case."""

    compatible: tuple[Text, ...] = ()  # device-tree root compatible strings
    dmi: tuple[Text, ...] = ()  # DMI product or board names
    soc: tuple[Text, ...] = ()  # SoC or CPU model names


class Cluster(_Strict, frozen=True):
    """Cores of one kind."""

    core: Text  # "Cortex-A76"
    count: Annotated[int, msgspec.Meta(ge=1, le=1024)]  # physical cores
    source: Text
    mhz: Annotated[int, msgspec.Meta(ge=100, le=10000)] | None = None  # highest clock


class Cpu(_Strict, frozen=True):
    """The processor. The cluster that comes first is the fastest: decode runs there."""

    arch: Literal["aarch64", "x86_64", "riscv64"]
    clusters: Annotated[tuple[Cluster, ...], msgspec.Meta(min_length=1, max_length=8)]
    features: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.]{1,32}$")], ...]  # as /proc/cpuinfo names them
    features_source: Text


class Memory(_Strict, frozen=True):
    """RAM: the sizes that are sold, and how fast it is."""

    sizes: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=16)]
    default_size: Size
    source: Text
    system: Literal["headless", "desktop", "jetson", "android", "macos"] = "headless"  # decides the reserve
    unified: bool = False  # shared with the accelerator
    bandwidth_theoretical_gb_s: Figure | None = None
    bandwidth_measured_gb_s: Figure | None = None  # of the CPU: a copy or STREAM, as its source says
    os_reserve_mb: Figure | None = None  # where the rule by size and system does not hold

    def __post_init__(self) -> None:
        """Sizes must be sizes, and the default one of them."""
        try:
            sizes = [parse_bytes(size) for size in self.sizes]
            default = parse_bytes(self.default_size)
        except UsageError as error:
            raise ValueError(error.message) from None
        for size in (*sizes, default):
            if not _MEMORY_LIMITS_BYTES[0] <= size <= _MEMORY_LIMITS_BYTES[1]:
                raise ValueError("a memory size must lie between 16MiB and 16TiB")

    @property
    def size_bytes(self) -> int:
        """The size that is planned for."""
        return parse_bytes(self.default_size)

    @property
    def sold_bytes(self) -> tuple[int, ...]:
        """The sizes that the device is sold with."""
        return tuple(parse_bytes(size) for size in self.sizes)


class Storage(_Strict, frozen=True):
    """A disk that models are read from."""

    kind: Literal["microSD", "eMMC", "NVMe", "SATA", "UFS"]
    read_mb_s: Figure | None = None


class Accelerator(_Strict, frozen=True):
    """A GPU that llama.cpp can use when it was built for it."""

    kind: Literal["cuda", "metal", "vulkan", "opencl"]
    name: Text
    build_flag: Text  # what CMAKE_ARGS must say when llama-cpp-python is built
    source: Text
    decode_efficiency: Figure | None = None  # share of the theoretical bandwidth
    prefill_gops: Figure | None = None


class Power(_Strict, frozen=True):
    """Electrical facts."""

    load_w: Figure | None = None
    note: str = ""


class Thermal(_Strict, frozen=True):
    """Where it slows down."""

    throttle_c: Figure | None = None
    note: str = ""


class OnnxSpeed(_Strict, frozen=True):
    """ONNX Runtime against llama.cpp on this device, for the same model at about equal bits; above 1 it is faster."""

    prefill: Figure  # its prompt tokens per second / llama.cpp's
    decode: Figure  # its tokens per second of one answer / llama.cpp's
    largest_model: Annotated[int, msgspec.Meta(ge=1, le=1 << 44)]  # weights of the largest model that was compared


class Performance(_Strict, frozen=True):
    """What the speed model needs; see edgellm.devices.speed."""

    confidence: Literal["low", "medium", "high"]
    decode_efficiency: Figure | None = None  # share of the theoretical bandwidth that decode reaches
    decode_gops: Figure | None = None  # compute limit of decode: 2 x weights per second, all performance cores
    prefill_gops: Figure | None = None  # 2 x weights x prompt tokens per second, without repacked weights
    prefill_gops_repacked: Figure | None = None  # the same with them
    onnx: OnnxSpeed | None = None  # decides the format of a pack without --format
    measured: Measured | None = None  # by a calibration of this very machine: replaces all of the above


class Profile(_Strict, frozen=True):
    """One device."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Text
    support: Literal["tested", "expected", "unknown"]
    cpu: Cpu
    memory: Memory
    perf: Performance
    policy: Policy
    aliases: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")], ...] = ()
    assumption: dict[str, Text] = {}  # alias -> what it silently takes for granted, printed when it is used
    match: Match = Match()
    storage: tuple[Storage, ...] = ()
    accelerator: Accelerator | None = None
    power: Power = Power()
    thermal: Thermal = Thermal()
    published: tuple[Text, ...] = ()  # measurements by others that the speed model is held against
    note: str = ""

    def __post_init__(self) -> None:
        """An assumption belongs to an alias."""
        unknown = sorted(set(self.assumption) - set(self.aliases))
        if unknown:
            raise ValueError(f"assumption for {unknown[0]!r}, which is not an alias")

    @property
    def performance_cores(self) -> int:
        """Cores of the fastest cluster: how many threads decode should use."""
        return self.cpu.clusters[0].count

    @property
    def threads(self) -> int:
        """Decode threads."""
        return self.policy.threads or self.performance_cores

    @property
    def batch_threads(self) -> int:
        """Prefill threads."""
        return self.policy.batch_threads or self.threads


def decode_profile(data: Any) -> Profile:
    """Make a Profile from parsed TOML; raises msgspec.ValidationError."""
    return msgspec.convert(data, Profile)

"""The shipped profiles, and what a profile file may not say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import msgspec
import pytest

from edgellm.devices.load import list_profiles, load_profile, parse_profile, profile_digest, profiles_folder
from edgellm.devices.schema import devices_markdown, profile_schema
from edgellm.errors import NotFoundError, ProfileError

REQUIRED_IDS = [
    *("raspberrypizero2w", "raspberrypi3bplus", "raspberrypi4", "raspberrypi5", "cm5", "rk3588", "rk3566"),
    *("jetson-orin-nano", "jetson-orin-nano-super", "jetson-agx-orin", "intel-n100", "x86-laptop", "ryzen-apu"),
    *("steam-deck", "apple-m1", "apple-m2", "apple-m4", "android-flagship", "android-midrange", "spacemit-k1"),
]
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
GOOD = (profiles_folder() / "raspberrypi5.toml").read_text(encoding="utf-8")


def test_every_promised_device_has_a_profile() -> None:
    assert {profile.id for profile in list_profiles()} == set(REQUIRED_IDS)


def test_the_file_name_is_the_id() -> None:
    assert {path.stem for path in profiles_folder().glob("*.toml")} == set(REQUIRED_IDS)


def test_no_name_means_two_devices() -> None:
    names = [name for profile in list_profiles() for name in (profile.id, *profile.aliases)]
    assert len(names) == len(set(names))


def test_no_profile_claims_to_be_tested_on_a_device_that_nobody_ran() -> None:
    assert {profile.support for profile in list_profiles()} <= {"expected", "unknown"}


def test_the_default_memory_is_one_that_is_sold() -> None:
    assert all(profile.memory.size_bytes in profile.memory.sold_bytes for profile in list_profiles())


@pytest.mark.parametrize("path", sorted(profiles_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_profiles_are_valid_against_the_published_schema(path: Path) -> None:
    import tomllib

    schema = json.loads((REFERENCE / "profile-schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), schema)


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((REFERENCE / "profile-schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(msgspec.json.encode(profile_schema()))


def test_the_published_table_is_that_of_the_profiles() -> None:
    assert (REFERENCE / "devices.md").read_text(encoding="utf-8") == devices_markdown()


def test_an_alias_says_what_it_assumes() -> None:
    loaded = load_profile("raspberrypi")
    assert loaded.profile.id == "raspberrypi5"
    assert loaded.profile.memory.default_size == "8GiB"
    assert loaded.assumption is not None
    assert "--memory 4GiB" in loaded.assumption
    assert load_profile("raspberrypi5").assumption is None


def test_another_memory_size_changes_the_profile_and_its_digest() -> None:
    loaded = load_profile("raspberrypi", memory=4 * 2**30)
    assert loaded.assumption is None
    assert loaded.profile.memory.size_bytes == 4 * 2**30
    assert loaded.digest != load_profile("raspberrypi").digest
    assert loaded.digest == profile_digest(loaded.profile)


def test_a_size_that_nobody_sells_is_planned_for_with_a_word_about_it() -> None:
    loaded = load_profile("raspberrypi5", memory=3 * 2**30)
    assert loaded.profile.memory.size_bytes == 3 * 2**30
    assert loaded.assumption is not None
    assert "is sold with 2GiB, 4GiB, 8GiB, 16GiB" in loaded.assumption


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ProfileError, match="16MiB"):
        load_profile("raspberrypi5", memory=1024)


def test_an_unknown_device_gets_near_matches() -> None:
    with pytest.raises(NotFoundError) as caught:
        load_profile("raspbery-pi5")
    assert "raspberrypi5" in (caught.value.hint or "")
    assert "edgellm devices list" in (caught.value.hint or "")


def test_a_path_is_a_profile_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('id = "raspberrypi5"', 'id = "mine"'), encoding="utf-8")
    assert load_profile(str(path)).profile.id == "mine"


def test_missing_and_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_profile(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ProfileError, match="not a regular file"):
        load_profile(str(tmp_path / "folder.toml"))
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ProfileError, match="not a regular file"):
        load_profile(str(tmp_path / "pipe.toml"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('support = "expected"', 'support = "certain"', "support: Invalid enum value 'certain'"),
        ('support = "expected"', 'support = "expected"\nsped = 3', "unknown field `sped`"),
        ('arch = "aarch64"', 'arch = "z80"', "cpu.arch"),
        ("count = 4", "count = 0", "cpu.clusters"),
        ("count = 4", 'count = "four"', "cpu.clusters"),
        ("mhz = 2400", "mhz = 5", "mhz"),
        ('default_size = "8GiB"', 'default_size = "8 bananas"', "memory.default_size"),
        ('default_size = "8GiB"', 'default_size = "1KiB"', "memory"),
        ("value = 17.1,", "value = -17.1,", "bandwidth_theoretical_gb_s"),
        ("value = 17.1,", "value = nan,", "bandwidth_theoretical_gb_s"),
        ("value = 17.1,", "value = inf,", "bandwidth_theoretical_gb_s"),
        ("value = 17.1,", "", "bandwidth_theoretical_gb_s"),
        ("value = 17.1,", "low = 3, high = 2,", "bandwidth_theoretical_gb_s"),
        ('value = 17.1, source = "vendor specification"', "value = 17.1", "source"),
        ("ubatch = 512", "ubatch = 1", "policy.ubatch"),
        ("context_cap = 8192", "context_cap = true", "policy.context_cap"),
        ("[assumption]", "[assumption]\nnobody = 'x'", "nobody"),
        ("[policy]", "[policy", "not valid TOML"),
    ],
)
def test_bad_profiles_name_file_field_and_rule(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ProfileError) as caught:
        parse_profile(GOOD.replace(old, new, 1).encode(), "bad.toml")
    assert "bad.toml" in caught.value.message
    assert said in caught.value.message
    assert "profile-schema.json" in (caught.value.hint or "")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"", b"[" * 5000, b"a = " + b"[" * 100_000])
def test_files_that_are_no_profiles(data: bytes) -> None:
    with pytest.raises(ProfileError):
        parse_profile(data, "bad.toml")


def test_a_torn_profile_is_refused_wherever_it_breaks() -> None:
    data = GOOD.encode()
    for end in range(0, data.index(b"context_cap"), 40):
        with pytest.raises(ProfileError):
            parse_profile(data[:end], "torn.toml")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ProfileError, match="larger than"):
        load_profile(str(path))

"""What an import says about a bundle that was made for another device."""

import pytest

from bundle_parts import GIB, make_plan
from edgellm.cli.import_command import other_device_note


@pytest.mark.parametrize(
    ("available_bytes", "said"),
    [
        (4 * GIB, "4.0 GiB are free here: it fits"),
        (3 * GIB - 1, "with a smaller --context it does"),
        (5 * GIB // 2, "edgellm pack MODEL --device local"),
        (None, "not for this machine"),
    ],
)
def test_it_says_whether_the_bundle_fits_here(available_bytes: int | None, said: str) -> None:
    note = other_device_note("tiny:a", make_plan(), available_bytes)  # 3 GiB, half a GiB of them KV cache
    assert note.startswith("tiny:a was made for Raspberry Pi 5 with 8.0 GiB")
    assert note.endswith(said)

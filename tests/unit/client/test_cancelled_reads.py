"""What asyncio says of callbacks that fail."""

from __future__ import annotations

import asyncio

import pytest

from edgellm.client.cancelled_reads import forgive_cancelled_reads


def test_a_result_for_a_read_that_was_cancelled_is_not_told_other_faults_are(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        forgive_cancelled_reads()
        loop = asyncio.get_running_loop()
        read: asyncio.Future[None] = loop.create_future()
        loop.call_soon(read.set_result, None)
        read.cancel()
        loop.call_soon(int, "no number")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert "InvalidStateError" not in caplog.text
    assert "set_result" not in caplog.text
    assert "no number" in caplog.text

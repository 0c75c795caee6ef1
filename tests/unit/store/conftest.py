from __future__ import annotations

from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.store.store import Store


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """The store that bundles leave."""
    store = Store(tmp_path / "here", tmp_path / "here-state")
    with store.writer() as writer:
        write_bundle(writer)
    return store


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """The store that they arrive in; it holds something else."""
    store = Store(tmp_path / "there", tmp_path / "there-state")
    with store.writer() as writer:
        write_bundle(writer, "other:a", weights=gguf_bytes(9), plan=for_device("pi"), license_text=b"other terms")
    return store

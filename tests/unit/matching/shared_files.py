"""Where the public message files and recordings are, for tests that skip without them."""

import os
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[3]


def shared_file(name: str) -> Path:
    """Return the path of a shared file, or skip the test: none of them is in the repository."""
    folder = Path(os.environ.get("TAKAS_SHARED") or PROJECT_ROOT / ".." / "shared").resolve()
    path = folder / name
    if not path.exists():
        pytest.skip(f"{path} is absent; TAKAS_SHARED names the folder of recordings and oracles")
    return path

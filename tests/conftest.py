"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

# Read when huggingface_hub is imported, whoever does that first: no test asks a hub, and none waits for its retries.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real audio beside the project; tests that need it are skipped where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real audio at {folder}")
    return folder

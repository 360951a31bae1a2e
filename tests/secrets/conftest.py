"""Makes `sops_maker` importable, and the real files of `fixtures/` at hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def fixtures() -> Path:
    """Files made by sops 3.13.3 and age 1.3, and the identity that opens them."""
    return Path(__file__).with_name("fixtures")

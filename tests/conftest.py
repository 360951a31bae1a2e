"""What holds for every test: skips are visible, no deadlines, no borrowed environment."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# How fast a generated example runs says more about the machine than about the code.
settings.register_profile(
    "gate", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("soak", settings.get_profile("gate"), max_examples=5_000)
settings.load_profile("gate")

NO_SKIPS = os.environ.get("PROPELLER_NO_SKIPS") == "1"
for name in [key for key in os.environ if key.startswith(("PROPELLER_", "PROPLET_"))]:
    if name != "PROPELLER_NO_SKIPS":
        del os.environ[name]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under PROPELLER_NO_SKIPS=1 a skipped test fails the run: all it needs is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if NO_SKIPS and skipped:
        reporter.write_line(f"PROPELLER_NO_SKIPS=1, yet {len(skipped)} skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

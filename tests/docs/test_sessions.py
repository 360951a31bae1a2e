"""The sessions that pages show happen so, with the real command and real processes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/tutorial/first-fleet.md",
        "docs/tutorial/a-teams-day.md",
        "docs/tutorial/federated-quickstart.md",
        "docs/how-to/approve-a-plan.md",
        "docs/how-to/autoscale.md",
        "docs/how-to/bump.md",
        "docs/how-to/editor.md",
        "docs/how-to/find-out-why.md",
        "docs/how-to/functions.md",
        "docs/how-to/git-source.md",
        "docs/how-to/git-trust.md",
        "docs/how-to/overlays.md",
        "docs/how-to/own-module.md",
        "docs/how-to/provision.md",
        "docs/how-to/python-client.md",
        "docs/how-to/recover.md",
        "docs/how-to/rehearse.md",
        "docs/how-to/signed-modules.md",
        "docs/how-to/status-branch.md",
        "docs/how-to/workflows.md",
        "docs/how-to/write-a-trainer.md",
    ],
)
def test_the_session_is_true(reading, clone, name):
    """Typed into an empty folder, every command does what the page says."""
    reading.type_page(reading.ROOT / name, clone, timeout=240)

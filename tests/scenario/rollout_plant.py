"""A fleet that runs a Daemon in versions: what scenarios of rollouts stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plants import until_ready
from specs_text import WAT, proplet_yaml

from propeller.model.ids import Key
from propeller.model.module import Module
from propeller.reconcile.events import Steer, SteerVerb
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import SECOND, Sim, Weather
from propeller.rehearse.guests import Guests
from propeller.wire.messages import Entry

DAEMON = Key("Daemon", "default", "d")
STEPS = 'steps: ["1", "10%", "50%", "100%"], soak: 10s, maxUnavailable: "20%"'
CAREFUL = f'{STEPS}, errors: {{max: "10%", min: 3}}'


def wat(version: str) -> str:
    """A module that differs from others by a custom export."""
    return WAT.replace('(export "_start")', f'(export "_start") (export "{version}")')


def daemon(module: str, rollout: str = CAREFUL, more: str = "") -> str:
    """A Daemon on every proplet that runs `<module>.wat` in steps."""
    return (
        "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\nmetadata: {name: d}\n"
        f"spec:\n  module: {{file: {module}.wat}}\n"
        "  placement: {perProplet: true}\n  health: {readyAfter: 1s}\n"
        f"  rollout: {{{rollout}}}\n{more}"
    )


class Plant:
    """A fleet that runs v1, accepted; `bad` modules trap on the proplets in `sick`."""

    def __init__(self, folder: Path, count: int, *, weather: Weather | None = None) -> None:
        self.bad: set[str] = set()
        self._digests: dict[str, str] = {}
        self.sim = Sim(folder, files=False)
        names = self.names = [f"p{number:03}" for number in range(count)]
        self.sim.write("fleet.yaml", proplet_yaml(names))
        for version in ("v1", "v2", "v3"):
            self.sim.write(f"{version}.wat", wat(version))
        self.sim.write("d.yaml", daemon("v1", 'steps: ["100%"], soak: 0s'))
        self.sick = {name for index, name in enumerate(names) if index % 10 in (2, 5, 8)}
        for name in names:
            guests = Guests(traps=self._traps) if name in self.sick else Guests()
            self.sim.add(name, guests=guests)
        self.sim.start_manager()
        until_ready(self.sim)
        self.digest("v1")
        if weather is not None:
            self.sim.set_weather(weather)

    def _traps(self, entry: Entry) -> bool:
        return entry.module.digest in self.bad

    def digest(self, module: str) -> str:
        """Of that module, which was wanted at some time."""
        for ref, resolved in self.sim.manager.reconciler.world.modules.items():
            if isinstance(resolved, Module) and ref.file is not None:
                self._digests[Path(ref.file).stem] = resolved.digest
        return self._digests[module]

    def commit(self, module: str, *, bad: bool = False, rollout: str = CAREFUL) -> None:
        """The spec names another module; a bad one traps wherever the proplet is sick."""
        self.sim.write("d.yaml", daemon(module, rollout))
        self.sim.run(200)
        if bad:
            self.bad.add(self.digest(module))
        self.digest(module)
        self.sim.run(800)

    def on(self, module: str) -> list[str]:
        """The proplets that run that module now."""
        digest = self.digest(module)
        return sorted(
            one.id
            for one in self.sim.proplets.values()
            if any(entry.module.digest == digest for entry in one.running.values())
        )

    def status(self) -> Mapping[str, Any]:
        (row,) = [
            json.loads(row.document)["status"]
            for row in self.sim.manager.store.statuses()
            if row.key == DAEMON
        ]
        assert isinstance(row, dict)
        return row

    def reason(self) -> str:
        found = {row["type"]: row["reason"] for row in self.status()["conditions"]}
        return str(found["Ready"])

    def events(self) -> list[str]:
        rows = self.sim.manager.store.events(key=DAEMON, limit=10_000)
        return [row.reason for row in reversed(rows) if "oll" in row.reason]

    def steer(self, verb: SteerVerb, **more: Any) -> Mapping[str, object]:
        answers: list[Mapping[str, object]] = []
        self.sim.manager.inbox.append(
            Steer(key=DAEMON, verb=verb, by="ada", reason="why not", reply=answers.append, **more)
        )
        self.sim.run(SECOND)
        (answer,) = answers
        return answer

    def exit_code(self) -> int:
        return of_reconciler(self.sim.manager.reconciler).exit_code

"""Who has fallen silent: single proplets, whole sites, or a fleet whose broker is at fault.

Silence counts only while our own echo works (rule h of docs/reference/protocol.md): `plan.liveness`
judges, this keeps what it judges by, and writes down what it says. Owned by `fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from propeller.model.ids import PropletId
from propeller.model.seen import Presence
from propeller.plan.liveness import Path, Verdict, judge
from propeller.reconcile.world import World
from propeller.state.records import Event

NEVER = 2**53 - 1
"""A time no clock here reaches (Unix ms)."""


class Silence:
    """See the module. whole: a good part of the fleet fell silent together. sites: proplets of
    sites that did, and which. due: when to judge again (Unix ms)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.whole = False
        self.sites: Mapping[PropletId, str] = {}
        self.due: int | None = None
        self._told: frozenset[str] = frozenset()
        self._confirmed = 0
        self._path = Path()
        self._soon = True

    # -- the way to the broker ----------------------------------------------------------------

    def reconnected(self, now: int) -> None:
        """The broker takes us in again."""
        self._path = self._path.reconnected(now)

    def lost(self, now: int) -> None:
        """It is gone: nobody's silence counts."""
        self._path = self._path.lost(now)

    def echoed(self, now: int) -> None:
        """Our own word came back."""
        self._soon = self._soon or self._path.works_since(now) is None
        self._path = self._path.heard(now)

    # -- judging ------------------------------------------------------------------------------

    def look(self) -> None:
        """Judge with the next `tick`."""
        self._soon = True

    def confirm(self, now: int) -> None:
        """An operator says that those who are silent now are meant to be."""
        self._confirmed = now
        self._soon = True

    def tick(self, now: int) -> None:
        """Judge where something speaks for it."""
        due = self.due is not None and now >= self.due
        if due or self._soon or self._world.touched.facts_moved:
            self._judge(now)

    @property
    def no_moves(self) -> str:
        """Why no copy may be replaced for its proplet's silence, or ""."""
        if self.whole:
            return "more than a fifth of the fleet fell silent together (FleetSilent)"
        return ""

    def echo_since(self, now: int) -> int:
        """Silence counts from here at the earliest (Unix ms, rule h): never while no echo comes."""
        since = self._path.works_since(now)
        return NEVER if since is None else since

    def _judge(self, now: int) -> None:
        verdict = judge(self._world.proplets, self._path, now=now, confirmed=self._confirmed)
        for proplet, (presence, since) in verdict.changes.items():
            seen = self._world.proplets[proplet]
            self._world.put_seen(
                replace(
                    seen,
                    presence=presence,
                    offline_since=since,
                    will_at=None if presence is Presence.OFFLINE else seen.will_at,
                )
            )
            if presence is Presence.OFFLINE:
                self._event(now, "Warning", "Silent", f"{proplet} fell silent", proplet)
        if verdict.fleet_silent != self.whole:
            self.whole = verdict.fleet_silent
            self._world.touched.everything = True
        self._note_sites(verdict, now)
        self.due, self._soon = verdict.due, False

    def _note_sites(self, verdict: Verdict, now: int) -> None:
        """Sites that fell silent as one, and those that are back."""
        if verdict.held != self.sites:
            self.sites = verdict.held
            self._world.touched.everything = True
        for site in sorted(verdict.sites.keys() - self._told):
            gone, there = verdict.sites[site]
            words = (
                f"{gone} of {there} proplets with {site} fell silent together: nothing of theirs is"
                " moved until enough are back; `propeller confirm fleet` moves it all the same"
            )
            self._event(now, "Warning", "SiteSilent", words, None)
        for site in sorted(self._told - verdict.sites.keys()):
            words = f"proplets with {site} do not stay away together any more"
            self._event(now, "Info", "SiteBack", words, None)
        self._told = frozenset(verdict.sites)

    def _event(
        self, now: int, severity: str, reason: str, message: str, proplet: PropletId | None
    ) -> None:
        self._world.store.add_event(
            Event(at=now, severity=severity, reason=reason, message=message, proplet=proplet)
        )

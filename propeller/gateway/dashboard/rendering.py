"""From values to pages: the templates, what they may call, and what every page has.

Autoescape is on and undefined names are errors, so that no text of a device becomes markup and no
page shows a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from propeller.gateway.access.gate import Caller
from propeller.gateway.access.roles import EVERYWHERE, Role
from propeller.gateway.dashboard import facts
from propeller.gateway.problem import TITLES, Problem

HERE: Final = Path(__file__).parent


class Renderer:
    """Makes pages. clock: Unix ms. logins: whether anybody could log in at all."""

    def __init__(self, clock: Callable[[], int], *, logins: bool = True) -> None:
        self._clock = clock
        self._logins = logins
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            clean=facts.clean, short=facts.short, moment=_moment, iso=_iso
        )

    def page(
        self, name: str, caller: Caller | None, *, serial: int = -1, here: str = "", **values: Any
    ) -> str:
        """One page for one person. here: which of the navigation it is. serial: of the store it
        shows, -1 where nothing on it moves."""
        principal = caller.principal if caller is not None else None
        session = caller.session if caller is not None else None

        def can(role: str, namespace: str = EVERYWHERE) -> bool:
            """Whether the form of an action is shown: only with a session can it be sent."""
            if principal is None or session is None:
                return False
            return principal.may(Role(role), namespace)

        text = self._environment.get_template(name).render(
            now=self._clock(),
            serial=serial,
            me=principal.name if principal is not None and session is not None else "",
            logins=self._logins,
            csrf=session.csrf if session is not None else "",
            can=can,
            **values,
        )
        return str(text).replace(f'data-nav="{here}"', 'aria-current="page"')

    def refusal(self, problem: Problem) -> str:
        """The page of a request that was refused."""
        title = TITLES.get(problem.status, "Refused")
        return self.page("plain.html", None, title=title, text=problem.detail)


def _moment(at: int) -> str:
    """`2026-11-24 12:31:05Z`; "never" for 0."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "never"


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")

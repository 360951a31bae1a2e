"""What a component is linked with that answers HTTP requests or sends some.

`proxy_io`, `proxy_files`, `proxy_http` and `proxy_client` alone, so every handle it may have is
one of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from wasmtime import Engine
from wasmtime.component import Component, ComponentInstanceType, FuncType, Linker

from propeller.capabilities import unversioned
from propeller.components import CLIENT, HTTP, TYPES
from proplet.runtime import proxy_files
from proplet.runtime.outward import Outward, Terms, terms_of
from proplet.runtime.proxy_client import Calling
from proplet.runtime.proxy_http import Exchange, offered
from proplet.runtime.proxy_io import Interface, Io, Things, link


def _mute(_: bytes) -> None:
    """Where nobody listens."""


class Host:
    """What such a component is linked with. env, say, out: of `Io`. terms: of its requests, where
    it may send any."""

    def __init__(
        self,
        env: list[tuple[str, str]],
        say: Callable[[bytes], None] = _mute,
        out: Callable[[bytes], None] | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.things = Things()
        self.io = Io(self.things, env, say, out)
        self.exchange = Exchange(self.things, self.io)
        self.outward = None if terms is None else Outward(terms, say, self.io.bell)

    def begin(self) -> None:
        """A call begins."""
        if self.outward is not None:
            self.outward.begin()

    def linker(self, engine: Engine) -> Linker:
        """Offers these and nothing else."""
        return link(engine, self.things, self.interfaces())

    def interfaces(self) -> dict[str, Interface]:
        """By name."""
        own = {**self.io.interfaces(), **proxy_files.interfaces()}
        if self.outward is None:
            return {**own, TYPES: self.exchange.interface()}
        calling = Calling(self.things, self.io, self.outward)
        return {
            **own,
            TYPES: self.exchange.interface(calling.types()),
            CLIENT: calling.handler(),
        }


def facts(component: Component, engine: Engine, *, calls_out: bool) -> dict[str, object]:
    """Part of `fit.Facts`: in words what it asks for in vain, "" where there is all of it."""
    there = offered(Host([], terms=Terms(()) if calls_out else None).interfaces())
    for name, item in component.type.imports(engine).items():
        kind = item.ty
        if not isinstance(kind, ComponentInstanceType):
            continue
        for inner, one in kind.exports(engine).items():
            if isinstance(one.ty, FuncType) and inner not in there.get(
                unversioned(name), frozenset()
            ):
                who = "no guest" if calls_out else "no handler"
                words = f"{HTTP}: it imports {inner[:80]} of {name[:80]}, which {who} gets"
                return {"trouble": words}
    return {}


def terms_from(job: Mapping[str, object]) -> Terms | None:
    """What a job says of requests, None where its guest sends none. Raises ValueError."""
    told = job.get("http")
    return None if told is None else terms_of(cast("Mapping[str, object]", told))

"""What every page is made with: a picture of the fleet for one person's eyes, and a template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from propeller.errors import PropellerError
from propeller.gateway.access.roles import Role
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.routing import Call, Entry, Face, Handler, Scope


def page_entry(path: str, handler: Handler, summary: str, *, scope: Scope = Scope.ANY) -> Entry:
    """The route of a page that whoever may look may see."""
    return Entry(
        method="GET",
        path=path,
        handler=handler,
        role=Role.VIEWER,
        scope=scope,
        face=Face.PAGE,
        summary=summary,
        media="text/html",
    )


class Showing:
    """Pages of one gallery."""

    def __init__(self, gallery: Gallery, renderer: Renderer) -> None:
        self._gallery = gallery
        self._renderer = renderer

    async def _page(
        self, answer: Callable[[Picture], str | None], *, here: str, call: Call
    ) -> Response:
        """The page that `answer` makes in a worker thread; None from it: there is no such thing."""

        def work() -> str | None:
            picture = self._gallery.picture()
            if not call.caller.sees_all:
                picture = picture.for_eyes(call.caller.sees)
            return answer(picture)

        try:
            text = await run_in_threadpool(work)
        except PropellerError as error:
            return HTMLResponse(self._plain(call, "Nothing to show yet", str(error)), 503)
        if text is None:
            words = f"there is no {call.request.url.path}; it may have gone"
            return HTMLResponse(self._plain(call, "Not here", words), 404)
        return HTMLResponse(text.replace(f'data-nav="{here}"', 'aria-current="page"'))

    def _render(self, call: Call, name: str, picture: Picture, **values: Any) -> str:
        return self._renderer.page(name, call.caller, serial=picture.serial, **values)

    def _plain(self, call: Call, title: str, text: str) -> str:
        return self._renderer.page("plain.html", call.caller, serial=0, title=title, text=text)

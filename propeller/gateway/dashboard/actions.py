"""What a person may do from a page: forms that post, are admitted like the API's writes, and lead
back to the page they came from. Logging in and out is here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from propeller.gateway.access.gate import Gate
from propeller.gateway.access.oidc import Refused
from propeller.gateway.access.roles import Role
from propeller.gateway.access.sessions import COOKIE, LIFE_MS
from propeller.gateway.asking import Loop, ask
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Face, Handler, Scope
from propeller.model.ids import Key, PropletId, is_digest, is_wire_id
from propeller.model.specs import Suspend
from propeller.reconcile.events import (
    Confirm,
    Event,
    Reply,
    RetryFlow,
    SetHold,
    SetProplet,
    Steer,
    SteerVerb,
)

BINDING: Final = "propeller_login"
THE_OBJECT: Final = "/objects/{kind}/{namespace}/{name}"
SHORTEST_MS: Final = 3_600_000
SCHEDULINGS: Final = ("Enabled", "Cordon", "Drain")


def action_entries(loop: Loop, gate: Gate, renderer: Renderer) -> list[Entry]:
    """The part of the route table with forms."""
    actions, door = Actions(loop), Door(gate, renderer)

    def form(
        path: str,
        handler: Handler,
        summary: str,
        *,
        role: Role | None = Role.OPERATOR,
        scope: Scope = Scope.PATH,
        method: str = "POST",
    ) -> Entry:
        return Entry(
            method=method,
            path=path,
            handler=handler,
            role=role,
            scope=scope,
            face=Face.PAGE,
            summary=summary,
            form=method == "POST",
            largest=1 << 14,
            status=303 if method == "POST" else 200,
            media="text/html",
        )

    everyone = Scope.OPEN
    entries = [
        form(f"{THE_OBJECT}/suspend", actions.suspend, "stop an object"),
        form(f"{THE_OBJECT}/resume", actions.resume, "let it go on"),
        form(f"{THE_OBJECT}/retry", actions.retry, "let a failed run of a Workflow go on"),
        form(f"{THE_OBJECT}/reject", actions.reject, "never run that version"),
        form(f"{THE_OBJECT}/rollback", actions.rollback, "back to what was good"),
        form(f"{THE_OBJECT}/rollout", actions.rollout, "pause, resume or abort a rollout"),
        form("/proplets/{name}/scheduling", actions.scheduling, "cordon, drain", scope=Scope.ALL),
        form(
            "/plans/{digest}/confirm",
            actions.confirm,
            "let a plan happen",
            role=Role.DEPLOYER,
            scope=Scope.ALL,
        ),
        form("/login", door.page, "where one logs in", role=None, scope=everyone, method="GET"),
        form("/login", door.login, "log in with a token", role=None, scope=everyone),
        form("/logout", door.logout, "log out", role=None, scope=everyone),
    ]
    if gate.oidc is not None:
        entries += [
            form(
                "/login/issuer",
                door.begin,
                "to the identity provider",
                role=None,
                scope=everyone,
                method="GET",
            ),
            form(
                "/login/callback",
                door.finish,
                "back from the identity provider",
                role=None,
                scope=everyone,
                method="GET",
            ),
        ]
    return entries


class Actions:
    """Each posts to the inbox and leads back."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def suspend(self, call: Call) -> Response:
        """Stop an object."""
        hold = Suspend(reason=_reason(call), by=call.by, until=None)
        return await self._of_object(
            call, lambda key, reply: SetHold(key=key, suspend=hold, reply=reply)
        )

    async def resume(self, call: Call) -> Response:
        """Let it go on."""
        return await self._of_object(
            call, lambda key, reply: SetHold(key=key, suspend=None, reply=reply)
        )

    async def retry(self, call: Call) -> Response:
        """Go on after a failure."""
        return await self._of_object(
            call, lambda key, reply: RetryFlow(key=key, by=call.by, reply=reply)
        )

    async def reject(self, call: Call) -> Response:
        """Never that version."""
        return await self._steer(call, SteerVerb.REJECT)

    async def rollback(self, call: Call) -> Response:
        """Back."""
        return await self._steer(call, SteerVerb.ROLLBACK)

    async def rollout(self, call: Call) -> Response:
        """Pause, resume, abort."""
        verb = call.body.get("verb", "")
        if verb not in ("pause", "resume", "abort"):
            raise Problem(422, "verb must be pause, resume or abort")
        return await self._steer(call, SteerVerb(verb))

    async def scheduling(self, call: Call) -> Response:
        """Cordon, drain, enable."""
        name, chosen = call.path["name"], call.body.get("scheduling", "")
        if not is_wire_id(name):
            raise Problem(404, "there is no such proplet")
        if chosen not in SCHEDULINGS:
            raise Problem(422, f"scheduling must be one of {', '.join(SCHEDULINGS)}")
        reason = _reason(call)
        await ask(
            self._loop,
            lambda reply: SetProplet(
                proplet=PropletId(name),
                scheduling=str(chosen),
                by=call.by,
                reason=reason,
                reply=reply,
            ),
        )
        return RedirectResponse(f"/proplets/{name}", 303)

    async def confirm(self, call: Call) -> Response:
        """Let a plan happen."""
        digest = call.path["digest"]
        if not is_digest(digest):
            raise Problem(404, "no plan has such a digest")
        await ask(self._loop, lambda reply: Confirm(what=digest, by=call.by, reply=reply))
        return RedirectResponse("/", 303)

    async def _steer(self, call: Call, verb: SteerVerb) -> Response:
        reason = _reason(call)
        return await self._of_object(
            call,
            lambda key, reply: Steer(key=key, verb=verb, by=call.by, reason=reason, reply=reply),
        )

    async def _of_object(self, call: Call, make: Callable[[Key, Reply], Event]) -> Response:
        path = call.path
        try:
            key = Key.parse(f"{path['kind']}/{path['namespace']}/{path['name']}")
        except ValueError as error:
            raise Problem(404, "no object has such a name") from error
        await ask(self._loop, lambda reply: make(key, reply))
        return RedirectResponse(f"/objects/{key}", 303)


class Door:
    """Logging in with an API token or by an identity provider, and out."""

    def __init__(self, gate: Gate, renderer: Renderer) -> None:
        self._gate = gate
        self._renderer = renderer

    async def page(self, call: Call) -> Response:
        """Where one logs in."""
        onward = _onward(call.request.query_params.get("next", ""))
        return HTMLResponse(self._page(call, onward))

    def _page(self, call: Call, onward: str, wrong: str = "") -> str:
        oidc = self._gate.oidc
        return self._renderer.page(
            "login.html",
            call.caller,
            onward=onward,
            issuer=oidc.name if oidc is not None else "",
            wrong=wrong,
        )

    async def login(self, call: Call) -> Response:
        """A token for a session."""
        text, onward = str(call.body.get("token", "")).strip(), _onward(call.body.get("next", ""))
        tokens = self._gate.tokens
        found = await run_in_threadpool(tokens.find, text) if tokens is not None else None
        if found is None:
            try:
                await self._gate.bearer(call.request, "")  # counts it, thins it out, records it
            except Problem as problem:
                wrong = "That token is wrong, was revoked or has expired."
                if problem.status == 429:
                    wrong = "Too many wrong logins. Wait a little."
                return HTMLResponse(
                    self._page(call, onward, wrong), problem.status, headers=problem.headers()
                )
        assert found is not None
        cookie = self._gate.sessions.begin(found.principal, token=found.id, until=found.expires)
        call.caller.principal = found.principal
        call.caller.note = "logged in"
        return self._with_session(RedirectResponse(onward, 303), cookie)

    async def logout(self, call: Call) -> Response:
        """No session any more."""
        cookie = call.request.cookies.get(COOKIE, "")
        if cookie:
            self._gate.sessions.end(cookie)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
        return response

    async def begin(self, call: Call) -> Response:
        """To the identity provider."""
        oidc = self._gate.oidc
        assert oidc is not None
        onward = _onward(call.request.query_params.get("next", ""))
        where, binding = await run_in_threadpool(oidc.begin, self._redirect(call), onward)
        response = RedirectResponse(where, 303)
        response.set_cookie(
            BINDING,
            binding,
            max_age=600,
            path="/login",
            httponly=True,
            samesite="lax",
            secure=self._gate.secure,
        )
        return response

    async def finish(self, call: Call) -> Response:
        """Back from there."""
        oidc, query = self._gate.oidc, call.request.query_params
        assert oidc is not None
        if "error" in query:
            raise Problem(401, "the identity provider said no")
        try:
            principal, onward, until = await run_in_threadpool(
                lambda: oidc.finish(
                    state=query.get("state", ""),
                    code=query.get("code", ""),
                    binding=call.request.cookies.get(BINDING, ""),
                )
            )
        except Refused as error:
            self._gate.tell(call.request, None, 401, note=str(error))
            return HTMLResponse(self._page(call, "/", str(error)), 401)
        if not principal.grants:
            self._gate.tell(call.request, principal, 403, note="has no role here")
            words = f"{principal.name} has no role here. Ask whoever runs this fleet."
            return HTMLResponse(self._page(call, "/", words), 403)
        self._gate.tell(call.request, principal, 303, note="logged in")
        # Issuers' tokens often live minutes; a session at least an hour, and at most its own life.
        until = max(until, self._gate.clock() + SHORTEST_MS)
        cookie = self._gate.sessions.begin(principal, until=until)
        response = self._with_session(RedirectResponse(onward, 303), cookie)
        response.delete_cookie(BINDING, path="/login")
        return response

    def _redirect(self, call: Call) -> str:
        scheme = "https" if self._gate.secure else "http"
        base = self._gate.public or f"{scheme}://{call.request.headers.get('host', '')}"
        return f"{base}/login/callback"

    def _with_session(self, response: Response, cookie: str) -> Response:
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=LIFE_MS // 1000,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._gate.secure,
        )
        return response


def _reason(call: Call) -> str:
    reason = str(call.body.get("reason", "")).strip()
    if not reason or len(reason) > 1024:
        raise Problem(422, "say why, in at most 1024 characters")
    return reason


def _onward(text: object) -> str:
    """A path of ours to go on to, whatever was sent: no other site."""
    path = str(text)
    parts = urlsplit(path)
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    if not fine or not path.isprintable() or len(path) > 512 or "\\" in path:
        return "/"
    return quote(parts.path, safe="/") + (f"?{parts.query}" if parts.query else "")

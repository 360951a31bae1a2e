"""Every route in every role, generated from the route table: a route without a rule cannot be, and
one whose rule does not hold fails here."""

from __future__ import annotations

import pytest
import requests
from starlette.routing import Route

from propeller.gateway.access.gate import Gate
from propeller.gateway.access.roles import Role
from propeller.gateway.api import local_entries
from propeller.gateway.app import House, entries
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.routing import Entry, Face, Scope

ROLES = ("nobody", "viewer", "operator", "deployer", "admin")
HERE, ELSEWHERE = "plant-a", "plant-b"

PATH = {
    "kind": "Daemon",
    "namespace": HERE,
    "name": "filter",
    "proplet": "gateway-1",
    "digest": "sha256:" + "0" * 64,
    "run": "0" * 32,
    "round": "latest",
    "id": "00000000-0000-4000-8000-000000000000",
}
STREAMS = {"/changes", "/api/v1/watch"}


@pytest.fixture
def table(door):
    """The route table of the running gateway."""
    house = House(
        database=door.state.database,
        blobs=None,
        shelves=door.state.shelves,
        loop=door.loop,
        clock=door.gate.clock,
    )
    return entries(house, door.gate, Renderer(door.gate.clock))


def path_of(entry):
    """The route's path with something that is there."""
    words = dict(PATH)
    if entry.path.startswith(("/proplets/{name}",)):
        words["name"] = "gateway-1"
    if entry.path.startswith("/static"):
        words["name"] = "app.css"
    return entry.path.format(**words)


def status(door, entry, token):
    """How one request ends; streams are left at once."""
    headers = {"Accept": "text/html"} if entry.face is Face.PAGE else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = None
    if entry.writes:
        form = entry.form
        headers["Content-Type"] = (
            "application/x-www-form-urlencoded" if form else "application/json"
        )
        body = b"" if form else b"{}"
    with requests.request(
        entry.method,
        door.base + path_of(entry),
        headers=headers,
        data=body,
        timeout=20,
        allow_redirects=False,
        stream=True,
    ) as answer:
        return answer.status_code


def expected(entry, role, namespaces):
    """Whether the rule of a route lets somebody in."""
    if entry.role is None:
        return True
    if role == "nobody" or not Role(role).includes(entry.role):
        return False
    match entry.scope:
        case Scope.PATH:
            return namespaces in (None, HERE)
        case Scope.ALL:
            return namespaces is None
        case Scope.FIXED:
            return namespaces in (None, entry.namespace)
        case _:
            return True


@pytest.mark.parametrize(
    ("role", "namespaces"),
    [("nobody", None), *((role, where) for role in ROLES[1:] for where in (None, HERE, ELSEWHERE))],
)
def test_every_route_lets_in_whom_its_rule_names_and_nobody_else(door, table, role, namespaces):
    """401 or the login for nobody, 403 for too little, and never either for enough."""
    token = "" if role == "nobody" else door.token(role, *([namespaces] if namespaces else []))
    for entry in table:
        got = status(door, entry, token)
        what = f"{entry.method} {entry.path} as {role} in {namespaces or 'all'}: {got}"
        refused = {401, 303} if role == "nobody" else {403}
        if expected(entry, role, namespaces):
            wrong_login = (entry.method, entry.path, got) == ("POST", "/login", 401)
            assert got not in (401, 403) or wrong_login, what
            assert got < 500, what
        else:
            assert got in refused, what
            if got == 303:
                assert entry.face is Face.PAGE, what
                assert not entry.writes, what


def test_the_application_has_no_route_beside_the_table(door, table):
    """What is served is what the table lists, method by method."""
    served = {
        (method, route.path)
        for route in door.app.routes
        if isinstance(route, Route)
        for method in route.methods
        if method != "HEAD"
    }
    assert all(isinstance(route, Route) for route in door.app.routes)
    assert served == {(entry.method, entry.path) for entry in table}


def test_a_route_without_a_rule_cannot_be_made():
    """Open to everyone has to be said, and a namespace that decides has to be in the path."""

    async def handler(call):
        raise AssertionError(call)

    rule = {"method": "GET", "path": "/x", "handler": handler, "summary": "x"}
    with pytest.raises(AssertionError, match="say which"):
        Entry(**rule, role=None, scope=Scope.ANY)
    with pytest.raises(AssertionError, match="say which"):
        Entry(**rule, role=Role.VIEWER, scope=Scope.OPEN)
    with pytest.raises(AssertionError, match="no namespace"):
        Entry(**rule, role=Role.VIEWER, scope=Scope.PATH)


def test_every_write_of_the_table_asks_for_more_than_a_look(table):
    """Nothing that changes something is open to a viewer; logging in and out are open to all."""
    for entry in table:
        if entry.writes and entry.role is not None:
            assert entry.role.includes(Role.OPERATOR), entry.path
        elif entry.writes:
            assert entry.path in ("/login", "/logout")


def test_the_private_socket_is_for_its_owner_only(door):
    """Every verb of the socket asks for the highest role everywhere, which only the socket gives:
    its gate calls everybody the owner, and no other gate does."""
    for entry in local_entries(door.loop):
        assert (entry.role, entry.scope) == (Role.ADMIN, Scope.ALL)
    assert not any(
        route.path in {entry.path for entry in local_entries(door.loop)}
        for route in door.app.routes
    )
    assert isinstance(door.gate, Gate)
    assert door.state.run.stat().st_mode & 0o077 == 0

"""The client: every method one or more requests, answered with things, refusals as `Refused`.

Transport is `requests`, with one session. Reads are tried again once when the connection breaks;
writes carry an Idempotency-Key, so that trying them again does nothing twice.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import requests

from propeller.client.documents import Given, wanted
from propeller.client.things import (
    Change,
    Document,
    Event,
    LogPiece,
    Object,
    Proplet,
    Refused,
    Revision,
    Round,
)
from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POLL_S: Final = 0.1
FOLLOW_MS: Final = 60_000
LARGEST_MODEL: Final = 1 << 28
"""Parameters of the largest model that is read."""


class Client:
    """One fleet's API. url: as the dashboard prints it. token: of `propeller token create`, ""
    where looking needs none. ca: certificates for https, None for the system's.

    Every method raises Refused when the API says no, and Unavailable when it does not answer.
    """

    def __init__(
        self, url: str, *, token: str = "", timeout: float = 60.0, ca: str | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        # Who asks is the token and nobody else: no login of a ~/.netrc takes its place.
        self._session.trust_env = False
        self._session.verify = ca or True
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._session.close()

    # -- looking ------------------------------------------------------------------------------

    def whoami(self) -> Document:
        """Who the token says one is, and may do."""
        return self._json("GET", "/api/v1/whoami")

    def objects(
        self, *, kind: str = "", namespace: str = "", app: str = "", ready: str = ""
    ) -> Iterator[Object]:
        """Every object, filtered."""
        query = {"kind": kind, "namespace": namespace, "app": app, "ready": ready}
        for one in self._pages("/api/v1/objects", query):
            yield Object.of(one)

    def get(self, key: str) -> Object:
        """One object, by `Kind/namespace/name`."""
        return Object.of(self._json("GET", _path(key)))

    def runs(self, key: str) -> list[Document]:
        """Its runs, newest first."""
        return list(self._pages(f"{_path(key)}/runs", {}))

    def results(self, key: str) -> dict[str, str]:
        """What its newest run on each proplet returned, by proplet, of those that succeeded."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        for one in self.runs(key):
            proplet = str(one["proplet"])
            if proplet in seen:
                continue
            seen.add(proplet)
            if one["state"] != "Succeeded":
                continue
            if one["result"] is not None:
                found[proplet] = one["result"]
            elif one["resultDigest"]:
                path = f"{_path(key)}/runs/{one['run']}/result"
                found[proplet] = self._bytes(path).decode(errors="replace")
        return found

    def proplets(self, *, state: str = "", label: str = "") -> Iterator[Proplet]:
        """The fleet. label: NAME=VALUE."""
        for one in self._pages("/api/v1/proplets", {"state": state, "label": label}):
            yield Proplet(
                name=one["name"],
                state=one["state"],
                heard=one["heard"],
                since=one["since"],
                labels=one["labels"],
                scheduling=one["scheduling"],
                document=one,
            )

    def events(self, *, key: str = "", limit: int = 100, severity: str = "") -> list[Event]:
        """The newest events, newest first; of one object, or of all."""
        path = f"{_path(key)}/events" if key else "/api/v1/events"
        query = {} if key else {"severity": severity}
        found: list[Event] = []
        for one in self._pages(path, query):
            if len(found) == limit:
                break
            found.append(
                Event(
                    at=one["at"],
                    severity=one["severity"],
                    reason=one["reason"],
                    message=one["message"],
                    object=one["object"],
                    proplet=one["proplet"],
                    count=one["count"],
                )
            )
        return found

    def revisions(self) -> list[Revision]:
        """Attempts to take a source, newest first."""
        return [
            Revision(
                name=one["name"],
                outcome=one["outcome"],
                author=one["author"],
                message=one["message"],
                at=one["at"],
                faults=tuple(one["faults"]),
            )
            for one in self._pages("/api/v1/revisions", {})
        ]

    def watch(
        self, what: str = "objects", *, kind: str = "", namespace: str = ""
    ) -> Iterator[tuple[str, Document]]:
        """What there is and then what moves, for ever: ("put", document), ("gone", {"name"}), and
        ("synced", {"serial"}) once everything was told. Ends when the connection does."""
        query = {"what": what, "kind": kind, "namespace": namespace}
        with self._ask("GET", "/api/v1/watch", query=query, stream=True) as answer:
            event = ""
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"event: "):
                    event = line[7:].decode()
                elif line.startswith(b"data: "):
                    yield event, json.loads(line[6:])

    def logs(
        self, key: str, *, follow: bool = False, proplet: str = "", tail: int = 65_536
    ) -> Iterator[LogPiece]:
        """What its copies printed. follow: go on until the caller stops."""
        first = True
        while first or follow:
            query: dict[str, Any] = {"tail": tail if first else 0, "proplet": proplet}
            query["follow"] = FOLLOW_MS if follow else 0
            timeout = self._timeout + query["follow"] / 1000
            with self._ask(
                "GET", f"{_path(key)}/logs", query=query, stream=True, timeout=timeout
            ) as answer:
                for line in answer.iter_lines(chunk_size=1):
                    one = json.loads(line)
                    if one.get("text") or one.get("dropped"):
                        yield LogPiece(
                            proplet=str(one.get("proplet", "")),
                            stream=str(one.get("stream") or "stdout"),
                            text=str(one.get("text", "")),
                            dropped=int(one.get("dropped") or 0),
                        )
            first = False

    # -- federated learning -------------------------------------------------------------------

    def rounds(self, key: str) -> list[Round]:
        """Rounds of a FederatedTask, the first one first."""
        found = [
            Round(
                number=one["number"],
                attempt=one["attempt"],
                state=one["state"],
                cohort=tuple(one["cohort"]),
                ended=one["ended"],
                metrics={name: float(text) for name, text in one["metrics"].items()},
                model=one["model"],
                why=one["why"],
            )
            for one in self._pages(f"{_path(key)}/rounds", {})
        ]
        return found[::-1]

    def model(self, key: str, round: int | str = "latest") -> dict[str, NDArray[np.float32]]:
        """The model of a round (a number, `latest` or `best`): a float32 array of each tensor."""
        from propeller.fl.model import read_model

        data = self._bytes(f"{_path(key)}/rounds/{round}/model")
        layout, flat = read_model(data, max_count=LARGEST_MODEL)
        return {
            tensor.name: flat[start : start + tensor.count].reshape(tensor.shape)
            for tensor, start in layout.offsets
        }

    # -- changing -----------------------------------------------------------------------------

    def diff(self, given: Given, *, files: Mapping[str, bytes] | None = None) -> list[Change]:
        """What `apply` would change."""
        return self._put(given, files, dry=True)

    def apply(self, given: Given, *, files: Mapping[str, bytes] | None = None) -> list[Change]:
        """Want these objects, in the App `api`: a file or folder of specs, a document, or several.

        Module files are read from beside their spec, or come as `files`, by the path it gives.
        """
        return self._put(given, files, dry=False)

    def delete(self, key: str) -> Change:
        """Want an object of the App `api` no more."""
        return _change(key, self._json("DELETE", _path(key), write=True))

    def wait(self, key: str, *, timeout: float = 300.0) -> Object:
        """Wait until an object is Ready as it was last changed. Raises Refused when it failed for
        good (exit 3) or the time is over (exit 4)."""
        end = time.monotonic() + timeout
        while True:
            try:
                found = self.get(key)
            except Refused as refused:
                if refused.status != 404 or time.monotonic() >= end:
                    raise
            else:
                if found.ready == "True" and found.observed >= found.generation:
                    return found
                if found.failed:
                    raise Refused(0, f"{key} failed: {found.message}", exit=3)
                if time.monotonic() >= end:
                    raise Refused(0, f"{key} is not Ready in time: {found.message}", exit=4)
            time.sleep(POLL_S)

    def suspend(self, key: str, reason: str, *, until: int | None = None) -> None:
        """Stop it until it is resumed, or until a time (Unix ms)."""
        body = {"reason": reason, **({"until": until} if until is not None else {})}
        self._json("POST", f"{_path(key)}/suspend", body, write=True)

    def resume(self, key: str) -> None:
        """Lift a suspension."""
        self._json("POST", f"{_path(key)}/resume", {}, write=True)

    def retry(self, key: str) -> None:
        """Let a failed run of a Workflow go on from the steps that failed."""
        self._json("POST", f"{_path(key)}/retry", {}, write=True)

    def rollback(self, key: str, reason: str, *, to: int | None = None) -> None:
        """Go back to a generation, or to the last good one."""
        body = {"reason": reason, **({"to": to} if to is not None else {})}
        self._json("POST", f"{_path(key)}/rollback", body, write=True)

    def reject(self, key: str, reason: str, *, digest: str = "") -> None:
        """Never run that version, or the one that is wanted now."""
        body = {"reason": reason, **({"digest": digest} if digest else {})}
        self._json("POST", f"{_path(key)}/reject", body, write=True)

    def confirm(self, digest: str) -> None:
        """Let the plan of this digest happen although a guard tripped."""
        self._json("POST", f"/api/v1/plans/{quote(digest)}/confirm", {}, write=True)

    def schedule(self, proplet: str, scheduling: str, reason: str) -> None:
        """`Cordon`, `Drain` or `Enabled`."""
        path = f"/api/v1/proplets/{quote(proplet)}/scheduling"
        self._json("POST", path, {"scheduling": scheduling, "reason": reason}, write=True)

    # -- parts --------------------------------------------------------------------------------

    def _put(self, given: Given, files: Mapping[str, bytes] | None, *, dry: bool) -> list[Change]:
        changes = []
        for one in wanted(given, files or {}):
            body = {"document": one.document, "files": one.files}
            query = {"dryRun": "true" if dry else "false"}
            words = self._json("PUT", one.path, body, query=query, write=True)
            changes.append(_change(one.key, words))
        return changes

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Document]:
        after = ""
        while True:
            page = self._json("GET", path, query={**query, "limit": 500, "after": after})
            yield from page["items"]
            after = page["next"] or ""
            if not after:
                return

    def _bytes(self, path: str) -> bytes:
        with self._ask("GET", path) as answer:
            return answer.content

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        write: bool = False,
    ) -> Document:
        key = str(uuid.uuid4()) if write else ""
        with self._ask(method, path, body, query=query, key=key) as answer:
            found = answer.json()
        assert isinstance(found, dict)
        return found

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str = "",
        stream: bool = False,
        timeout: float = 0.0,
    ) -> requests.Response:
        headers = {"Accept": "application/json", **({"Idempotency-Key": key} if key else {})}
        given = {name: value for name, value in (query or {}).items() if value != ""}

        def once() -> requests.Response:
            return self._session.request(
                method,
                self._url + path,
                json=body,
                params=given,
                headers=headers,
                timeout=timeout or self._timeout,
                stream=stream,
                allow_redirects=False,
            )

        try:
            try:
                answer = once()
            except requests.ConnectionError:
                answer = once()  # a connection that was kept may have been closed meanwhile
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise UsageError(f"{self._url} is no address") from error
        except requests.RequestException as error:
            raise Unavailable(
                f"{self._url} does not answer: {type(error).__name__}",
                hint="is `propeller up` or `propeller serve` running?",
            ) from error
        if answer.status_code >= 300:
            raise _refused(answer)
        return answer


def _refused(answer: requests.Response) -> Refused:
    try:
        words = answer.json()
        return Refused(answer.status_code, str(words["detail"]), int(words.get("exit", 2)))
    except (ValueError, KeyError, TypeError):
        return Refused(answer.status_code, f"the answer was {answer.status_code}")


def _path(key: str) -> str:
    parts = key.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"{key!r} is not Kind/namespace/name")
    return "/api/v1/objects/" + "/".join(quote(part, safe="") for part in parts)


def _change(key: str, words: Document) -> Change:
    return Change(
        key=key,
        op=str(words["op"]),
        reason=str(words["reason"]),
        fields=tuple(words["fields"]),
        dry_run=bool(words["dryRun"]),
    )

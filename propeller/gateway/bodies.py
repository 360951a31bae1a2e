"""What a write brings: read with bounds, held against the route's schema, and done only once.

`Idempotency-Key`: the answer to a write is kept a day under the caller's key; the same request
again gets it, another request under that key is refused, and so is one while the first is still
being done. Kept in memory: a restart forgets, and writes are safe to repeat by their nature.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from propeller.gateway.problem import Problem
from propeller.model.quantities import size_text

READ_SECONDS: Final = 30.0
KEPT_MS: Final = 86_400_000
MOST_KEPT: Final = 1_000
MAX_KEPT: Final = 64 << 10
MAX_KEY: Final = 128
MOST_FIELDS: Final = 50


class Bodies:
    """Of one route. schema: JSON Schema, None where nothing is taken."""

    def __init__(self, schema: Mapping[str, Any] | None, *, largest: int, form: bool) -> None:
        self._schema = schema
        self._largest = largest
        self._form = form
        self._validator: Any = None

    async def read(self, request: Request) -> bytes:
        """The bytes. Raises Problem: 413, 408."""
        data, size = bytearray(), 0
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for piece in request.stream():
                    size += len(piece)
                    if size <= self._largest:
                        data += piece
                    elif size > 2 * self._largest:
                        break  # read on a little, so that a client that still sends hears us
        except TimeoutError as error:
            raise Problem(408, "the body did not come in time") from error
        if size > self._largest:
            raise Problem(413, f"a body is at most {size_text(self._largest)}")
        return bytes(data)

    def parse(self, raw: bytes, request: Request) -> Mapping[str, Any]:
        """What it says. Raises Problem: 400, 415, 422."""
        if self._schema is None and not self._form:
            return {}
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._form:
            if kind != "application/x-www-form-urlencoded":
                raise Problem(415, "send a form")
            return _form(raw)
        if kind != "application/json":
            raise Problem(415, "send application/json")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Problem(400, f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Problem(422, "the body must be an object")
        flaw = self._flaw(body)
        if flaw:
            raise Problem(422, flaw)
        return body

    def _flaw(self, body: Mapping[str, Any]) -> str:
        import jsonschema

        if self._validator is None:
            self._validator = jsonschema.Draft202012Validator(self._schema or {})
        try:
            error = jsonschema.exceptions.best_match(self._validator.iter_errors(body))
        except RecursionError:
            return "the body is too deep"
        if error is None:
            return ""
        where = ".".join(str(one) for one in error.absolute_path)
        # What was sent is not said back: it may be a secret.
        return f"{where or 'the body'}: {_rule(error)}"


def _rule(error: Any) -> str:
    match error.validator:
        case "required":
            return f"{', '.join(error.validator_value)} must be there"
        case "additionalProperties":
            return f"takes only {', '.join(sorted(error.schema.get('properties', {})))}"
        case "type":
            return f"must be {error.validator_value}"
        case "enum":
            return f"must be one of {', '.join(map(str, error.validator_value))}"
        case _:
            return f"breaks the rule {error.validator} {error.validator_value}"


def _form(raw: bytes) -> dict[str, str]:
    try:
        found = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Problem(400, "the body is no form") from error
    return {name: values[0] for name, values in found.items()}


@dataclass(slots=True)
class Replay:
    """One write under a key. response: (status, media type, headers, body) once it was done."""

    mark: str
    at: int
    response: tuple[int, str, dict[str, str], bytes] | None = None


class Replays:
    """Answers by caller and key. clock: Unix ms. Used on the event loop only."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], Replay] = OrderedDict()

    def begin(self, who: str, request: Request, raw: bytes) -> Replay | Response | None:
        """The answer of the first time; a new Replay; None without a key. Raises Problem."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= MAX_KEY or not key.isprintable():
            raise Problem(400, f"Idempotency-Key is 1 to {MAX_KEY} printable characters")
        self._forget()
        what = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
        mark = hashlib.sha256(what + raw).hexdigest()
        before = self._kept.get((who, key))
        if before is None:
            made = self._kept[who, key] = Replay(mark, self._clock())
            return made
        if before.mark != mark:
            raise Problem(422, "this Idempotency-Key was used for another request")
        if before.response is None:
            raise Problem(409, "the first request with this Idempotency-Key is still being done")
        status, media, headers, body = before.response
        return Response(
            body, status, media_type=media, headers={**headers, "Idempotency-Replayed": "true"}
        )

    def end(self, replay: Replay | None, response: Response | None) -> None:
        """It was done. What failed, streams or is large is not kept: it may be done again."""
        if replay is None:
            return
        body = getattr(response, "body", None)
        if response is None or response.status_code >= 500 or not isinstance(body, bytes):
            self._drop(replay)
            return
        if len(body) > MAX_KEPT:
            self._drop(replay)
            return
        kept = {
            name: value for name, value in response.headers.items() if name in ("location", "etag")
        }
        media = response.headers.get("content-type", "application/json")
        replay.response = (response.status_code, media, kept, body)

    def _drop(self, replay: Replay) -> None:
        for name, one in list(self._kept.items()):
            if one is replay:
                del self._kept[name]

    def _forget(self) -> None:
        old = self._clock() - KEPT_MS
        while self._kept:
            first = next(iter(self._kept))
            if self._kept[first].at > old and len(self._kept) < MOST_KEPT:
                return
            del self._kept[first]

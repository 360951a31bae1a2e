"""Measurements that rollouts ask for outside: one GET each, by a few threads beside the loop.

Called by `service` with every probe; answers each through `told`, from a thread, with a number or
with why there is none. Nothing here is retried: the next measurement comes by itself. Every server
is hostile: an answer is bounded in size and time, and its words are never repeated.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Final, assert_never
from urllib.parse import quote, urlsplit

from propeller.errors import PropellerError, UsageError
from propeller.model.checks import Http, Outside, Probe, Prometheus, Reading, number
from propeller.writeback.post import get

THREADS: Final = 4
MOST_WAITING: Final = 100
"""Probes that wait for a thread; more are turned away."""

MOST_BYTES: Final = 256 * 1024
SECONDS: Final = 15.0


class Probes:
    """See the module."""

    def __init__(self, told: Callable[[Probe, Reading], None]) -> None:
        self._told = told
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="probes")
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def submit(self, probe: Probe) -> bool:
        """Have it measured. False when too many wait already."""
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            self._threads.submit(self._work, probe)
        except RuntimeError:  # the process is ending
            self._waiting.release()
            return False
        return True

    def _work(self, probe: Probe) -> None:
        try:
            value, words = measure(probe.source)
        finally:
            self._waiting.release()
        self._told(probe, Reading(slot=probe.slot, value=value, words=words))

    def stop(self) -> None:
        """No more; whoever is under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def measure(source: Outside) -> tuple[Decimal | None, str]:
    """The number now and where it is from, or None and why there is none. Never raises."""
    url = source.url
    match source:
        case Prometheus():
            url = f"{url.rstrip('/')}/api/v1/query?query={quote(source.query, safe='')}"
        case Http():
            pass
        case _:
            assert_never(source)
    host = urlsplit(url).netloc
    try:
        answer = get(url, most=MOST_BYTES, until=time.monotonic() + SECONDS)
        document = json.loads(answer, parse_float=Decimal, parse_int=_whole, parse_constant=_none)
        found = _sample(document) if isinstance(source, Prometheus) else _at(document, source)
    except PropellerError as error:
        return None, error.what
    except (ValueError, RecursionError):
        return None, f"{host}: the answer is no JSON"
    value = number(str(found)) if isinstance(found, Decimal | str) else None
    if value is None:
        return None, f"{host}: the answer has no number there"
    return value, f"{value} from {host}"


def _whole(text: str) -> Decimal:
    return Decimal(text)  # int() of a long text is slow, and refused


def _none(_text: str) -> None:
    return None  # NaN and Infinity are no numbers to judge by


def _sample(document: object) -> object:
    """The one sample of a Prometheus answer. Raises UsageError where it is not one."""
    data = document.get("data") if isinstance(document, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(result, list):
        raise UsageError("the answer is not one of a Prometheus server")
    if data.get("resultType") == "scalar":
        return result[1] if len(result) == 2 else None
    if len(result) != 1:
        raise UsageError(f"the query answered {len(result)} series; it must answer one")
    sample = result[0].get("value") if isinstance(result[0], dict) else None
    return sample[1] if isinstance(sample, list) and len(sample) == 2 else None


def _at(document: object, source: Http) -> object:
    """What the pointer points at, None where there is nothing (RFC 6901)."""
    found = document
    for part in source.pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and len(name) < 7:
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return found

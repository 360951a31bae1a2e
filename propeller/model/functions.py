"""What a Function has besides what every Daemon has: how it is called, and by what.

`parse` makes these of the canonical form. Durations are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Interface(StrEnum):
    """How a call reaches the module."""

    COMMAND = "Command"  # WASI: request in environment and stdin, answer on stdout
    VALUES = "Values"  # an export that takes and returns numbers
    BYTES = "Bytes"  # an export and the `propeller` imports


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How one copy takes calls.

    concurrency: calls that run at a time; queue: calls that wait; ready: processes kept waiting.
    max_invocations: calls of one instance. keep: ms an answer is kept for who asks for it later.
    retries: how often a call that may have begun is made again, 0 where that could do harm.
    """

    interface: Interface = Interface.COMMAND
    concurrency: int = 4
    queue: int = 16
    ready: int = 1
    max_invocations: int = 1
    keep: int = 3_600_000
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttTrigger:
    """Messages on `topic` are calls; the answers' bodies go to `answer`, "" for nowhere.

    Both are relative to the channel.
    """

    topic: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTrigger:
    """A call at each time. catch_up: the newest missed one is made up for, within `deadline` ms."""

    cron: str
    time_zone: str
    catch_up: bool
    deadline: int
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What calls a Function by itself."""

    name: str
    by: MqttTrigger | CronTrigger


def calls_of(spec: Mapping[str, Any]) -> Calls:
    """From the canonical spec of a Function."""
    calls, instances, retry = spec["calls"], spec["instances"], spec["retry"]
    return Calls(
        interface=Interface(spec["interface"]),
        concurrency=calls["concurrency"],
        queue=calls["queue"],
        ready=instances["ready"],
        max_invocations=instances["maxInvocations"],
        keep=calls["keep"],
        retries=retry["limit"] if retry["idempotent"] == "Enabled" else 0,
    )


def triggers_of(spec: Mapping[str, Any]) -> tuple[Trigger, ...]:
    """From the canonical spec of a Function."""
    return tuple(Trigger(name=row["name"], by=_by(row)) for row in spec["triggers"])


def _by(row: Mapping[str, Any]) -> MqttTrigger | CronTrigger:
    if "mqtt" in row:
        return MqttTrigger(topic=row["mqtt"]["topic"], answer=row["mqtt"].get("answer", ""))
    cron = row["cron"]
    return CronTrigger(
        cron=cron["cron"],
        time_zone=cron["timeZone"],
        catch_up=cron["missed"] == "RunLatest",
        deadline=cron["startingDeadline"],
        body=row.get("body", ""),
    )

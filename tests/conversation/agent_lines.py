"""What an agent hears and does, line by line, as JSON: read and written by nothing but this.

A vector is a list of lines. Each line is one call of the pure agent (`in` says which), the time it
is given (`mono`, `wall`, `synced`) and every effect it answers, in order. Whoever writes an agent
in another language reads the lines one by one, makes the call and compares. Chance is taken out:
where an agent draws a number between two bounds, the lower one is drawn. `Say` (an agent's own log)
is left out.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from typing import Any

from propeller.wire import codec
from propeller.wire.messages import BlobRef, Entry, Hello, Observed, PastRun
from propeller.wire.signing import VerifyKey
from proplet.agent import Agent
from proplet.effects import Effect, Now, Outcome, Publish, Say, Topic
from proplet.records import AgentConfig, RunRecord, Silence, State, Stored, Times
from proplet.seals import Seals

Json = dict[str, Any]


class Lowest(random.Random):
    """Chance that always falls on the lower bound."""

    def randint(self, a: int, b: int) -> int:
        assert a <= b
        return a


# -- out -----------------------------------------------------------------------------------------


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def plain(value: object) -> object:
    """Any value of an effect as JSON: wire messages as they are encoded, bytes in base64."""
    match value:
        case Entry():
            return json.loads(codec.encode_tasks((value,)))[0]
        case bytes():
            return base64.b64encode(value).decode()
        case Enum():
            return value.value
        case frozenset():
            return sorted(value)
        case tuple() | list():
            return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        made = {}
        for field in fields(value):
            item = getattr(value, field.name)
            if item is not None:
                made[camel(field.name)] = plain(item)
        return made
    return value


def effect_json(effect: Effect) -> Json:
    """One effect."""
    name = type(effect).__name__
    do = name[0].lower() + name[1:]
    if isinstance(effect, Publish):
        kind = type(effect.message).__name__
        return {
            "do": do,
            "message": kind,
            "retain": effect.retain,
            "body": json.loads(codec.encode(effect.message)),
        }
    made = plain(effect)
    assert isinstance(made, dict)
    made.pop("signer", None)  # kept by the Linux proplet only, so far
    return {"do": do, **made}


def stored_json(stored: Stored) -> Json:
    """What a reboot finds."""
    made = plain(stored)
    assert isinstance(made, dict)
    made.pop("signer", None)
    return made


# -- in ------------------------------------------------------------------------------------------


def blob_from(found: Mapping[str, Any] | None) -> BlobRef | None:
    return None if found is None else BlobRef(digest=found["digest"], size=found["size"])


def past_from(found: Json) -> PastRun:
    names = {camel(field.name): field.name for field in fields(PastRun)}
    values = {names[name]: value for name, value in found.items()}
    return PastRun(**{**values, "result_blob": blob_from(found.get("resultBlob"))})


def times_from(found: Json) -> Times:
    past = tuple(past_from(one) for one in found["past"])
    running = past_from(found["running"]) if "running" in found else None
    return Times(**{**found, "past": past, "running": running})


def stored_from(found: Json) -> Stored:
    """The inverse of `stored_json`."""
    names = {camel(field.name): field.name for field in fields(RunRecord)}
    runs = []
    for run in found["runs"]:
        values = {names[name]: value for name, value in run.items()}
        values["state"] = State(values["state"])
        values["result_blob"] = blob_from(values.get("result_blob"))
        runs.append(RunRecord(**values))
    uploads = [blob_from(one) for one in found["uploads"]]
    return Stored(
        observed=Observed(**found["observed"]),
        iat=found["iat"],
        entries=codec.decode_tasks(json.dumps(found["entries"]).encode()),
        runs=tuple(runs),
        trust=base64.b64decode(found["trust"]),
        releases=base64.b64decode(found["releases"]) if "releases" in found else None,
        held=tuple(found["held"]) if "held" in found else None,
        uploads=tuple(one for one in uploads if one is not None),
        silence=Silence(**found["silence"]) if "silence" in found else None,
        times=tuple(((key[0], key[1]), times_from(times)) for key, times in found["times"]),
    )


def hello_json(hello: Hello) -> Json:
    made: Json = json.loads(codec.encode(hello))
    return made


class Player:
    """An agent that is driven by lines."""

    def __init__(self, head: Json) -> None:
        self._head = head
        self._agent: Agent | None = None

    def play(self, line: Json) -> list[Json]:
        """Make the call of one line; its effects."""
        now = Now(line["mono"], line["wall"], line["synced"])
        effects = self._call(line, now)
        return [effect_json(effect) for effect in effects if not isinstance(effect, Say)]

    def _call(self, line: Json, now: Now) -> tuple[Effect, ...]:
        if line["in"] == "boot":
            hello = codec.decode(
                Hello, json.dumps({**self._head["hello"], "boot": line["boot"]}).encode()
            )
            self._agent = Agent(
                AgentConfig(hello=hello, **self._head["config"]),
                stored_from(line["stored"]),
                seals=Seals(VerifyKey.parse(self._head["root"])),
                rng=Lowest(),
            )
            return self._agent.boot(now)
        agent = self._agent
        assert agent is not None, "a conversation begins with boot"
        match line["in"]:
            case "connected":
                return agent.connected(line["conn"], now)
            case "disconnected":
                return agent.disconnected(now)
            case "hear":
                return agent.hear(Topic(line["topic"]), base64.b64decode(line["payload"]), now)
            case "tick":
                return agent.tick(now)
            case "drain":
                return agent.drain(now)
            case "fetched":
                data = line.get("data")
                return agent.fetched(
                    line["digest"], now, None if data is None else base64.b64decode(data)
                )
            case "fetchFrom":
                return agent.fetch_from(line["digest"], line["size"], line["have"], now)
            case "fetchFailed":
                return agent.fetch_failed(line["digest"], line["words"], now)
            case "prepared":
                return agent.prepared(_key(line), line["digest"], now)
            case "unfit":
                return agent.unfit(_key(line), line["digest"], line["words"], now)
            case "ended":
                found = line["outcome"]
                outcome = Outcome(
                    ok=found["ok"],
                    exit=found.get("exit"),
                    result=found.get("result"),
                    blob=blob_from(found.get("blob")),
                    error=found.get("error", ""),
                )
                return agent.ended(_key(line), outcome, now)
            case "uploadLost":
                return agent.upload_lost(line["digest"], now)
            case "untold":
                return agent.untold(now)
            case "logPiece":
                return agent.log_piece(
                    line["op"],
                    now,
                    stream=line["stream"],
                    text=line["text"],
                    dropped=line["dropped"],
                    last=line["last"],
                )
            case other:
                raise AssertionError(f"{other!r} is no call of an agent")


def _key(line: Json) -> tuple[str, str]:
    return (line["uid"], line["run"])


def outcome_json(outcome: Outcome) -> Json:
    """How a guest ended, without what is absent."""
    return {name: value for name, value in asdict(outcome).items() if value not in (None, "")}

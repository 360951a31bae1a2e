"""Beginnings for the fuzzers: the shared vectors, in the form the targets read them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

WIRE = ("Desired", "Op", "Trust", "BlobAck", "ManagerStatus", "Report", "Hello", "Status")
"""Messages by the number `fuzz_wire` knows them by."""
HEARD = ("desired", "op", "blob/ack", "trust", "manager/status", "blob/data")
"""Topics by the number `fuzz_device` knows them by."""
MODULE, REBOOT, RECONNECT, TIME = 6, 7, 8, 11


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def wire_seeds(vectors: Path) -> list[bytes]:
    """Every message, reject and piece, as JSON and as CBOR."""
    seeds = []
    for case in _read(vectors, "messages.json")["cases"]:
        if case["message"] in WIRE:
            number = bytes((WIRE.index(case["message"]),))
            seeds += [number + case["json"].encode(), number + bytes.fromhex(case["cbor"])]
    rejects = _read(vectors, "rejects.json")
    bodies = [(case["message"], case["json"].encode()) for case in rejects["json"]]
    bodies += [(case["message"], bytes.fromhex(case["cbor"])) for case in rejects["cbor"]]
    seeds += [bytes((WIRE.index(name),)) + body for name, body in bodies if name in WIRE]
    for case in _read(vectors, "blobs.json")["good"]:
        number = 8 if case["message"] == "BlobChunk" else 9
        seeds.append(bytes((number,)) + bytes.fromhex(case["body"]))
    sealed = _read(vectors, "sealed.json")
    for one in (sealed, sealed["p256"]):
        key = one["box"]["text"].encode()
        for case in one["good"]:
            seeds.append(b"\x0e" + key + b"\0" + base64.b64decode(case["sealed"]))
    for which, number in (("tasks", 12), ("inventories", 13)):
        for case in _read(vectors, "digests.json")[which]:
            seeds.append(bytes((number,)) + case["canonical"].encode())
            seeds.append(bytes((number,)) + bytes.fromhex(case["cbor"]))
    return seeds


def _step(what: int, data: bytes) -> bytes:
    return bytes((what,)) + len(data).to_bytes(2, "big") + data


def device_seeds(vectors: Path, modules: Path) -> list[bytes]:
    """Every conversation as a story, and every module."""
    seeds = []
    for path in sorted((vectors / "agent").glob("*.json")):
        story = b""
        for line in _read(path.parent, path.name)["lines"]:
            match line["in"]:
                case "hear" if line["topic"] in HEARD:
                    payload = base64.b64decode(line["payload"])
                    framed = payload[:2] == b"P1" and len(payload) > 68 + payload[3]
                    body = payload[68 + payload[3] :] if framed else payload
                    story += _step(HEARD.index(line["topic"]), body[:60000])
                case "boot":
                    story += _step(REBOOT, b"")
                case "connected":
                    story += _step(RECONNECT, b"")
                case "tick":
                    story += _step(TIME, b"\x20")
        seeds.append(story)
    cases = json.loads(modules.read_text(encoding="utf-8"))["cases"]
    seeds += [_step(MODULE, bytes.fromhex(case["wasm"])) for case in cases]
    return seeds


def lesson_seeds(vectors: Path) -> list[bytes]:
    """Each model and each layout, and a guest that reads, measures and submits."""
    seeds = []
    calls = b"\x01\0\x00\0\x00\0\x08\0\0\1" + b"\x05\0\0\0\4\0\0\0\0\1" + b"\0\0\2\0\0\0\x14\0\1\1"
    for case in json.loads(vectors.read_text(encoding="utf-8"))["models"]:
        for how, name in ((1, "file"), (9, "file"), (17, "file"), (26, "manifest")):
            if name in case:
                data = bytes.fromhex(case[name])
                head = bytes((how, 2, 1, 3, 5, 6)) + len(data).to_bytes(2, "big")
                seeds.append(head + data + calls * 3)
    return seeds


def write(folder: Path, seeds: list[bytes]) -> Path:
    """A corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"{number:04}").write_bytes(seed)
    return folder

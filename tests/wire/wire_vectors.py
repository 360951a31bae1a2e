"""Writes `schemas/wire/**`: `python tests/wire/wire_vectors.py`. Pure but for `main`.

The files are checked in; tests hold the code to them, and hold this to making the same files again.
Other implementations read the vectors and nothing else of Propeller.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import wire_rejects as rejects  # noqa: E402  found by the path set above
import wire_samples as samples  # noqa: E402

from propeller.wire import (  # noqa: E402
    blob_frames,
    codec,
    entry_fields,
    schema,
)
from propeller.wire import fields as tables  # noqa: E402
from propeller.wire import messages as m  # noqa: E402
from propeller.wire.boxes import BoxKey, PointKey, seal_value  # noqa: E402
from propeller.wire.frame import PURPOSE_OF, ROLES, seal  # noqa: E402
from propeller.wire.keyring import trusted  # noqa: E402
from propeller.wire.reject import Reject  # noqa: E402
from propeller.wire.shapes import Shape  # noqa: E402
from propeller.wire.signing import P256, SigningKey  # noqa: E402
from propeller.wire.topics import Channel, Kind  # noqa: E402

ROOT = HERE.parent.parent / "schemas" / "wire"


def plain(value: object) -> object:
    """A message as its vectors show it: JSON names, every default filled in, bytes in hex."""
    if is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {camel(name): plain(item) for name, item in pairs}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def messages() -> dict[str, object]:
    return {
        "about": "Each case: json and cbor decode to value, value encodes to exactly them. "
        "value has every default filled in and pairs for maps; null is an absent field.",
        "cases": [
            {
                "name": name,
                "message": type(message).__name__,
                "value": plain(message),
                "json": codec.encode(message).decode(),
                "cbor": codec.encode(message, encoding="cbor").hex(),
            }
            for name, message in samples.MESSAGES.items()
        ],
        "also_read": {
            "about": "Bodies we never write and must read; each is the Status of `value`.",
            "value": plain(samples.MESSAGES["status: online"]),
            "json": [{"name": n, "json": t} for n, t in rejects.ACCEPTED_JSON.items()],
            "cbor": [{"name": n, "cbor": t} for n, t in rejects.ACCEPTED_CBOR.items()],
        },
    }


def refused() -> dict[str, object]:
    return {
        "about": "Each body has one fault and is refused with that word. json is text, cbor hex.",
        "json": [
            {"name": name, "message": message, "json": text, "reject": word}
            for name, (message, text, word) in rejects.JSON.items()
        ],
        "cbor": [
            {"name": name, "message": message, "cbor": body, "reject": word}
            for name, (message, body, word) in rejects.CBOR.items()
        ],
    }


def blobs() -> dict[str, object]:
    return {
        "about": "Binary bodies in hex. errors: the code of an error is its place here plus one.",
        "errors": list(blob_frames.ERRORS),
        "good": [
            {
                "name": name,
                "message": type(message).__name__,
                "value": plain(message),
                "body": codec.encode(message).hex(),
            }
            for name, message in samples.BINARY.items()
        ],
        "bad": [
            {"name": name, "message": message, "body": body, "reject": word}
            for name, (message, body, word) in rejects.BLOBS.items()
        ],
    }


def topics() -> dict[str, object]:
    channel = Channel("d1", "plant-a")
    base = "m/d1/c/plant-a/control/"
    gw = base + "proplet/gw-01/"
    good = [
        (gw + "desired", "desired", "gw-01", ""),
        (gw + "report", "report", "gw-01", ""),
        (gw + "status", "status", "gw-01", ""),
        (gw + "hello", "hello", "gw-01", ""),
        (gw + "op", "op", "gw-01", ""),
        (gw + "op/op-000017", "op/answer", "gw-01", "op-000017"),
        (gw + "op/op", "op/answer", "gw-01", "op"),
        (gw + "call", "call", "gw-01", ""),
        (gw + "call/gateway", "call/answer", "gw-01", "gateway"),
        (gw + "blob/get", "blob/get", "gw-01", ""),
        (gw + "blob/data", "blob/data", "gw-01", ""),
        (gw + "blob/put", "blob/put", "gw-01", ""),
        (gw + "blob/ack", "blob/ack", "gw-01", ""),
        (gw + "metrics", "metrics", "gw-01", ""),
        (gw + "log", "log", "gw-01", ""),
        (base + "proplet/report/report", "report", "report", ""),
        (base + "trust", "trust", "", ""),
        (base + "trust/p256", "trust", "", "p256"),
        (base + "releases", "releases", "", ""),
        (base + "manager/status", "manager/status", "", ""),
        (base + "manager/status/p256", "manager/status", "", "p256"),
        (base + "manager/echo/manager-7", "manager/echo", "", "manager-7"),
    ]
    bad = [
        "",
        "m",
        base,
        base + "proplet",
        base + "proplet/gw-01",
        gw,
        gw + "desired/",
        gw + "Desired",
        gw + "op/",
        gw + "op/a/b",
        gw + "op/a.b",
        gw + "op/answer/x",
        gw + "call/",
        gw + "call/a/b",
        gw + "blob",
        gw + "blob/get/x",
        base + "proplet//report",
        base + "proplet/+/report",
        base + "proplet/gw.01/report",
        base + "proplet/gw-01\n/report",
        base + "proplet/" + "a" * 65 + "/report",
        base + "trust/rsa",
        base + "manager",
        base + "manager/echo",
        base + "manager/echo/",
        base + "manager/echo/a/b",
        "m/d1/c/plant-b/control/proplet/gw-01/report",
        "m/d2/c/plant-a/control/proplet/gw-01/report",
        "x/" + gw + "report",
        "/" + gw + "report",
    ]
    return {
        "about": "In the fleet of this domain and channel: topics, and topics that are none.",
        "domain": channel.domain,
        "channel": channel.channel,
        "good": [
            {"topic": topic, "kind": kind, "proplet": proplet, "extra": extra}
            for topic, kind, proplet, extra in good
        ],
        "bad": bad,
        "device_filters": {"of": "gw-01", "filters": list(channel.device_filters("gw-01"))},
    }


def keys() -> dict[str, tuple[SigningKey, str, tuple[str, ...]]]:
    """name -> key, its seed in hex, its roles."""
    named = {
        "root": (1, ("root",)),
        "manager": (1, ("manager",)),
        "gateway": (1, ("gateway",)),
        "device": (1, ("device",)),
        "manager-p256": (P256, ("manager",)),
        "device-p256": (P256, ("device",)),
        "stranger": (1, ()),
    }
    made = {}
    for name, (alg, roles) in named.items():
        seed = hashlib.sha256(f"propeller vectors {name}".encode()).digest()
        made[name] = (SigningKey.from_seed(seed, alg), seed.hex(), roles)
    return made


def frames() -> dict[str, object]:
    ring = keys()
    body = codec.encode(samples.MESSAGES["status: online"])
    good = [
        ("a device is online", "status", "device", body),
        ("the same with P-256", "status", "device-p256", body),
        (
            "a desired document",
            "desired",
            "manager",
            codec.encode(samples.MESSAGES["desired: two tasks"]),
        ),
        (
            "a desired document in CBOR with P-256",
            "desired",
            "manager-p256",
            codec.encode(samples.MESSAGES["desired: two tasks"], encoding="cbor"),
        ),
        (
            "an operation of a gateway",
            "op",
            "gateway",
            codec.encode(samples.MESSAGES["op: collect"]),
        ),
        (
            "a manager is online",
            "manager",
            "manager",
            codec.encode(samples.MESSAGES["manager status: online"]),
        ),
        (
            "bytes on their way up",
            "put",
            "device",
            codec.encode(samples.BINARY["put: the first bytes"]),
        ),
        ("an empty body", "answer", "device", b""),
    ]
    sealed = {name: seal(purpose, text, ring[key][0]) for name, purpose, key, text in good}
    online = sealed["a device is online"]
    kid = online[4:20]
    unknown = seal("status", body, ring["stranger"][0])
    bad = [
        ("not signed", "status", body, "not_framed"),
        ("nothing", "status", b"", "not_framed"),
        ("another magic", "status", b"P2" + online[2:], "bad_frame"),
        ("three bytes", "status", online[:3], "bad_frame"),
        ("cut in the signature", "status", online[:83], "bad_frame"),
        ("no kid", "status", online[:3] + b"\x00" + online[20:], "bad_frame"),
        ("a kid with a slash", "status", online[:4] + b"/" + online[5:], "bad_frame"),
        ("algorithm 0", "status", b"P1\x00" + online[3:], "unknown_alg"),
        ("algorithm 3", "status", b"P1\x03" + online[3:], "unknown_alg"),
        ("the algorithm of another key", "status", b"P1\x02" + online[3:], "bad_signature"),
        ("a key nobody told us of", "status", unknown, "unknown_kid"),
        ("signed for another purpose", "report", online, "bad_signature"),
        ("a device as manager", "desired", seal("desired", body, ring["device"][0]), "not_allowed"),
        (
            "a gateway as manager",
            "desired",
            seal("desired", body, ring["gateway"][0]),
            "not_allowed",
        ),
        ("a manager as root", "trust", seal("trust", body, ring["manager"][0]), "not_allowed"),
        ("one bit of the signature", "status", _flip(online, 20), "bad_signature"),
        ("one bit of the body", "status", _flip(online, len(online) - 1), "bad_signature"),
        ("a byte after the body", "status", online + b" ", "bad_signature"),
        ("the body cut to nothing", "status", online[:84], "bad_signature"),
        ("the kid of another", "status", unknown[:4] + kid + unknown[20:], "bad_signature"),
        (
            "one bit of r, P-256",
            "status",
            _flip(sealed["the same with P-256"], 20),
            "bad_signature",
        ),
        ("r and s zero, P-256", "status", _zero(sealed["the same with P-256"]), "bad_signature"),
    ]
    return {
        "about": "Frames in hex. seed: an Ed25519 seed, or a P-256 scalar big endian. The receiver "
        "knows every key but the one without roles. P-256 signatures are those of RFC 6979; a "
        "signer may use random ones.",
        "purposes": {purpose: sorted(roles) for purpose, roles in ROLES.items()},
        "keys": [
            {
                "name": name,
                "seed": seed,
                "alg": key.alg,
                "public": key.public.raw.hex(),
                "text": key.public.text,
                "kid": key.kid,
                "roles": list(roles),
            }
            for name, (key, seed, roles) in ring.items()
        ],
        "good": [
            {
                "name": name,
                "purpose": purpose,
                "key": key,
                "body": text.hex(),
                "signed": _signed(purpose, text).hex(),
                "frame": sealed[name].hex(),
            }
            for name, purpose, key, text in good
        ],
        "bad": [
            {"name": name, "purpose": purpose, "frame": frame.hex(), "reject": word}
            for name, purpose, frame, word in bad
        ],
    }


def _signed(purpose: str, body: bytes) -> bytes:
    return f"propeller/1/{purpose}\0".encode() + hashlib.sha256(body).digest()


def _flip(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


def _zero(frame: bytes) -> bytes:
    return frame[:20] + bytes(64) + frame[84:]


def trust() -> dict[str, object]:
    ring = keys()
    manager, gateway = ring["manager"][0].public, ring["gateway"][0].public
    document = m.Trust(
        version=1,
        keys=(
            trusted(manager, "manager"),
            trusted(ring["manager-p256"][0].public, "manager", "oracle"),
            trusted(gateway, "gateway"),
            m.TrustedKey(kid="0011223344556677", alg=9, pub="later:AAAA", roles=("manager",)),
        ),
    )
    swapped = m.TrustedKey(kid=manager.kid, alg=1, pub=gateway.text, roles=("manager",))
    point = bytes.fromhex("04") + bytes(64)
    off_curve = m.TrustedKey(
        kid=hashlib.sha256(point).hexdigest()[:16],
        alg=2,
        pub="p256:" + base64.b64encode(point).decode(),
        roles=("manager",),
    )
    return {
        "about": "A trust document as signed by the root, the keys it gives, and bad ones.",
        "root": ring["root"][0].public.text,
        "frame": seal("trust", codec.encode(document), ring["root"][0]).hex(),
        "keyring": {
            manager.kid: ["manager"],
            ring["manager-p256"][0].kid: ["manager"],
            gateway.kid: ["gateway"],
            ring["root"][0].kid: ["root"],
        },
        "bad": [
            {
                "name": name,
                "json": codec.encode(m.Trust(version=2, keys=(key,))).decode(),
                "reject": "bad_key",
            }
            for name, key in (
                ("a kid that is not its key's", swapped),
                ("a point that is not on the curve", off_curve),
                ("no base64", m.TrustedKey(kid=manager.kid, alg=1, pub="ed25519:***", roles=())),
                (
                    "another algorithm than it says",
                    m.TrustedKey(kid=manager.kid, alg=2, pub=manager.text, roles=()),
                ),
            )
        ],
    }


def digests() -> dict[str, object]:
    return {
        "about": "Digests over canonical JSON: canonical is the text that is hashed.",
        "entries": [
            {"value": plain(entry), "digest": codec.entry_digest(entry)} for entry in samples.TASKS
        ],
        "tasks": [
            {
                "canonical": codec.encode_tasks(tasks).decode(),
                "cbor": codec.encode_tasks(tasks, encoding="cbor").hex(),
                "digest": codec.tasks_digest(tasks),
            }
            for tasks in ((), samples.TASKS)
        ],
        "inventories": [
            {
                "canonical": codec.encode_inventory(runs).decode(),
                "cbor": codec.encode_inventory(runs, encoding="cbor").hex(),
                "digest": codec.inventory_digest(runs),
            }
            for runs in ((), samples.RUNS)
        ],
    }


def words() -> dict[str, object]:
    """What a generator of another language's enums and tables needs."""
    named = {**vars(entry_fields), **vars(tables)}
    shapes = [shape for shape in named.values() if isinstance(shape, Shape)]
    return {
        "about": "Reject words, topic kinds with what is signed on them, and the fields by number.",
        "reject": [word.value for word in Reject],
        "kinds": [{"kind": kind.value, "purpose": PURPOSE_OF.get(kind)} for kind in Kind],
        "fields": {
            shape.cls.__name__: [
                {
                    "number": field.number,
                    "key": field.key,
                    "required": field.name in shape.required,
                    **({"words": field.kind.schema["enum"]} if "enum" in field.kind.schema else {}),
                }
                for field in shape.fields
            ]
            for shape in shapes
        },
    }


def sealed() -> dict[str, object]:
    """Sealed values of both schemes."""
    told = _sealed_to(samples.BOX, BoxKey.from_seed(bytes(32)), "\x02")
    return {
        "about": "Sealed values (propeller/wire/boxes.py, docs/reference/protocol.md). box is the "
        "device's key, X25519 and under p256 one on P-256 (scalar: its private half); secret is "
        "the fleet's, which only says which ephemeral key is used.",
        "box": {"seed": bytes(range(64, 96)).hex(), "text": samples.BOX.public.text},
        "secret": samples.FLEET_SECRET.hex(),
        **told,
        "p256": {
            "box": {
                "seed": samples.POINT_SEED.hex(),
                "scalar": samples.POINT.scalar().hex(),
                "text": samples.POINT.public.text,
            },
            **_sealed_to(samples.POINT, PointKey.from_seed(bytes(48)), "\x01"),
        },
    }


def _sealed_to(
    box: BoxKey | PointKey, stranger: BoxKey | PointKey, other: str
) -> dict[str, list[dict[str, object]]]:
    """Values that `box` opens, and ones it does not. other: what another scheme begins with."""
    secret, place = samples.FLEET_SECRET, samples.PLACE
    cases = [
        ("a word", place, b"correct horse"),
        ("nothing", place, b""),
        ("another run", replace(place, run=samples.RUN_FILTER), b"correct horse"),
        ("text beyond ASCII", replace(place, name="NAME"), "Größe\n".encode()),
        ("64 KiB", replace(place, name="BIG"), bytes(65_536)),
    ]
    good = [
        {
            "name": name,
            "place": asdict(where),
            "value": value.hex() if len(value) < 1024 else "",
            "zeros": len(value) if len(value) >= 1024 else 0,
            "sealed": seal_value(value, box.public, where, secret=secret)
            if len(value) < 1024
            else "",
            "sha256": hashlib.sha256(
                seal_value(value, box.public, where, secret=secret).encode()
            ).hexdigest(),
        }
        for name, where, value in cases
    ]
    word = seal_value(b"correct horse", box.public, place, secret=secret)
    raw = base64.b64decode(word)
    size = box.public.scheme.size
    no_point = bytes(32) if size == 32 else b"\x04" + bytes(63) + b"\x01"
    bad = [
        ("for another run", word, replace(place, run=samples.RUN_FILTER), "bad_seal"),
        ("for another variable", word, replace(place, name="TOKENS"), "bad_seal"),
        ("for another device", word, replace(place, device="gw-02"), "bad_seal"),
        ("for another installation", word, replace(place, inst="00" * 16), "bad_seal"),
        (
            "to another key",
            seal_value(b"correct horse", stranger.public, place, secret=secret),
            place,
            "bad_seal",
        ),
        ("one bit of the value", _base64(_flip(raw, len(raw) - 17)), place, "bad_seal"),
        (
            "one bit of the ephemeral key",
            _base64(_flip(raw, 5)),
            place,
            "bad_seal" if size == 32 else "bad_key",
        ),
        ("of the other scheme", _base64(other.encode() + raw[1:]), place, "bad_seal"),
        ("cut", _base64(raw[: size + 16]), place, "bad_seal"),
        (
            "a point of small order" if size == 32 else "no point of the curve",
            _base64(raw[:1] + no_point + raw[1 + size :]),
            place,
            "bad_key",
        ),
        ("not base64", "****", place, "bad_seal"),
    ]
    return {
        "good": good,
        "bad": [
            {"name": name, "place": asdict(where), "sealed": text, "reject": reject}
            for name, text, where, reject in bad
        ],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def all_files() -> dict[str, str]:
    """Path under `schemas/wire/` -> text."""
    vectors = {
        "messages": messages(),
        "rejects": refused(),
        "blobs": blobs(),
        "topics": topics(),
        "frames": frames(),
        "trust": trust(),
        "sealed": sealed(),
        "digests": digests(),
        "words": words(),
    }
    made = {name: _text(content) for name, content in schema.schemas().items()}
    made |= {f"vectors/{name}.json": _text(content) for name, content in vectors.items()}
    return made


def _text(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for name, text in all_files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT.parent.parent))


if __name__ == "__main__":
    main()

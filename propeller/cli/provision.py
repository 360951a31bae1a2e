"""`propeller provision ACTION DIR`: certificates, keys and broker rights of a fleet, in a folder.

`fleet` makes or mends everything; the other actions are about one device or the authority. Nothing
here needs a running fleet, and running it again changes nothing that is right.
"""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli import provisionmq
from propeller.cli.clock import now_ms
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.provision.folder import Folder
    from propeller.provision.record import Record

MOST_DEVICES = 100_000
_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `provision`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    fleet = below.add_parser("fleet", help="make or mend everything a fleet needs")
    _folder(fleet)
    fleet.add_argument("--broker", metavar="HOST[:PORT]", help="the broker as devices reach it")
    fleet.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="another name of the broker"
    )
    fleet.add_argument(
        "--broker-folder", metavar="DIR", help="where broker/ will be copied to on its machine"
    )
    fleet.add_argument("--domain", help="domain id in the topics (propeller)")
    fleet.add_argument("--channel", help="channel id in the topics (fleet)")
    fleet.add_argument("--days", type=int, metavar="N", help="life of a certificate (730)")
    fleet.add_argument(
        "--device", action="append", default=[], metavar="ID", help="a device, as often as needed"
    )
    for way, meaning in (("publish", "publish to"), ("hear", "hear")):
        fleet.add_argument(
            f"--{way}",
            action="append",
            default=[],
            metavar="TOPIC",
            help=f"a topic below the channel that guests of devices may {meaning}, as"
            " `telemetry/{proplet}/#`",
        )
    fleet.add_argument("--specs", metavar="DIR", help="every Proplet declared there is a device")
    fleet.add_argument("--ca-cert", metavar="FILE", help="your certificate authority (PEM)")
    fleet.add_argument("--ca-key", metavar="FILE", help="its private key (PEM, P-256)")
    provisionmq.add_arguments(fleet)
    add_dry_run(fleet)
    token = below.add_parser("token", help="let a device fetch its certificate once")
    _folder(token)
    token.add_argument("device", metavar="ID", help="the device")
    token.add_argument("--for", dest="life", default="24h", metavar="T", help="how long (24h)")
    token.add_argument("--url", metavar="URL", help="the enrolment service, for the printed line")
    for action, summary in (
        ("renew", "a new certificate for a device of which the folder is here"),
        ("revoke", "take a device's certificates back"),
    ):
        one = below.add_parser(action, help=summary)
        _folder(one)
        one.add_argument("device", metavar="ID", help="the device")
        provisionmq.add_token(one)
        add_dry_run(one)
    rotate = below.add_parser("rotate", help="the next step towards a new certificate authority")
    _folder(rotate)
    rotate.add_argument(
        "--handed-out",
        action="store_true",
        help="what the step before made has reached everybody",
    )
    add_dry_run(rotate)
    serve = below.add_parser("serve", help="let devices fetch and renew certificates (HTTPS)")
    _folder(serve)
    serve.add_argument("--listen", default="127.0.0.1:7443", metavar="HOST:PORT")
    show = below.add_parser("show", help="what was issued, and until when")
    _folder(show)
    show.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="the folder of the fleet; keep it safe")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    match args.action:
        case "fleet":
            return _fleet(args)
        case "token":
            return _token(args)
        case "serve":
            return _serve(args)
        case "show":
            return _show(args)
        case _:
            return _change(args)


def _fleet(args: argparse.Namespace) -> int:
    from propeller.provision.authority import Authority
    from propeller.provision.folder import opened
    from propeller.provision.record import read_record

    if bool(args.ca_cert) != bool(args.ca_key):
        raise UsageError("--ca-cert and --ca-key come together")
    path = Path(args.folder)
    known = read_record(path)
    record = _wanted(args, known)
    devices = [*args.device, *(_declared(args.specs, record.domain) if args.specs else ())]
    if len(devices) + len(record.devices) > MOST_DEVICES:
        raise UsageError(f"more than {MOST_DEVICES} devices")
    if record.supermq is not None and args.ca_cert:
        raise UsageError("--ca-cert goes with certificates of ours, not with --supermq")
    identity = provisionmq.identity_of(args, record)
    now = now_ms() // 1000
    with opened(path, now, dry=args.dry_run, new=record, identity=identity) as folder:
        folder.record = _wanted(args, folder.record)
        if args.broker_ca:
            folder.put("broker/ca.pem", _read(args.broker_ca), "who signs the broker's certificate")
        if args.ca_cert:
            given = Authority.load(_read(args.ca_cert), _read(args.ca_key), where=str(args.ca_cert))
            if given.id not in folder.record.authorities:
                if folder.record.authorities:
                    raise UsageError(
                        "this fleet has a certificate authority already",
                        hint="`propeller provision rotate` changes it without losing a device",
                    )
                folder.add_authority(given, "your certificate authority")
        folder.settle()
        folder.enroll(devices)
        folder.settle()
        _tell(folder)
        if not known and not args.dry_run:
            conf = path / "broker" / "mosquitto.conf"
            say(
                (f"broker:  mosquitto -c {conf}\n" if record.supermq is None else "")
                + f"manager: propeller serve SPECS --config {path / 'manager' / 'propeller.yaml'}\n"
                f"device:  hand it {path / 'devices'}/ID and run: "
                "proplet --config ID/proplet.yaml"
            )
    return 0


def _wanted(args: argparse.Namespace, known: Record | None) -> Record:
    """The record with what was typed. Raises UsageError for what cannot be, or is missing."""
    from dataclasses import replace

    from propeller.provision.record import Record
    from propeller.wire.topics import is_id

    host, port = _address(args.broker, 8883) if args.broker else ("", 0)
    if known is None:
        if not args.broker:
            raise UsageError(
                "--broker HOST[:PORT] is missing", hint="the broker's name as devices reach it"
            )
        known = Record(domain="propeller", channel="fleet", host=host, port=port)
    elif any(
        given is not None and given != was
        for given, was in zip((args.domain, args.channel), provisionmq.names(known), strict=True)
    ):
        raise UsageError(
            "domain and channel of a fleet do not change: names and runs depend on them",
            hint="set another fleet up in another folder",
        )
    for name in ("domain", "channel"):
        given = getattr(args, name)
        if given is not None and not is_id(given):
            raise UsageError(f"--{name} {given!r} is no id: letters, digits, '-' and '_'")
    days = args.days if args.days is not None else known.days
    if not 1 <= days <= 3650:
        raise UsageError("--days must be from 1 to 3650")
    fresh = known.supermq is None
    made = replace(
        known,
        domain=(fresh and args.domain) or known.domain,
        channel=(fresh and args.channel) or known.channel,
        host=host or known.host,
        port=port or known.port,
        hosts=tuple(dict.fromkeys((*known.hosts, *args.host))),
        days=days,
        broker_folder=args.broker_folder or known.broker_folder,
        publish=_topics(args.publish, known.publish, "--publish"),
        hear=_topics(args.hear, known.hear, "--hear"),
    )
    return provisionmq.wanted(args, made)


def _topics(typed: list[str], known: tuple[str, ...], flag: str) -> tuple[str, ...]:
    """What is typed beside what was. Raises UsageError for what is no topic of guests."""
    from propeller.sources.function_rules import topic_problem
    from propeller.wire.topic_messages import PROPLET

    for one in typed:
        wrong = topic_problem(one)
        if one.startswith(PROPLET) or any(
            PROPLET in level and level != PROPLET for level in one.split("/")
        ):
            wrong = f"{PROPLET} is a whole level, and not the first"
        if wrong or not one.isprintable() or " " in one:
            raise UsageError(f"{flag} {one!r}: {wrong or 'must be printable, without spaces'}")
    return tuple(dict.fromkeys((*known, *typed)))


def _declared(tree: str, domain: str) -> list[str]:
    """The Proplets a tree declares. Raises SpecError, UsageError."""
    from propeller.cli.specread import read_specs

    asked = argparse.Namespace(
        path=tree, state=None, config=None, git=False, ref=None, overlay=None
    )
    revision = read_specs(asked, domain=domain)
    return sorted(key.name for key in revision.objects if key.kind == "Proplet")


def _token(args: argparse.Namespace) -> int:
    from propeller.model.quantities import duration_ms
    from propeller.provision.folder import opened
    from propeller.provision.tokens import with_token

    try:
        life = duration_ms(args.life) // 1000
    except ValueError as error:
        raise UsageError(f"--for {args.life!r}: {error}") from error
    if life < 1:
        raise UsageError("--for must be at least a second")
    made = secrets.token_urlsafe(32)
    _own(Path(args.folder))
    with opened(Path(args.folder), now_ms() // 1000) as folder:
        folder.record = with_token(folder.record, args.device, made, ends=folder.now + life)
        folder.remember()
        pin = pin_of(folder.believed())
    say(f"{args.device} may fetch its certificate once within {args.life}; on the device:")
    url = args.url or "https://HOST:7443"
    print(f"PROPLET_TOKEN={made} proplet enroll {url} --id {args.device} --pin {pin} --data DATA")
    return 0


def _change(args: argparse.Namespace) -> int:
    from propeller.provision.folder import check_id, opened
    from propeller.provision.record import read_record
    from propeller.provision.rotation import advance

    told, path = "", Path(args.folder)
    record = _own(path) if args.action == "rotate" else read_record(path)
    identity = None if record is None else provisionmq.identity_of(args, record)
    with opened(path, now_ms() // 1000, dry=args.dry_run, identity=identity) as folder:
        match args.action:
            case "rotate":
                told = advance(folder, handed_out=args.handed_out)
            case "revoke":
                folder.revoke(args.device)
                if folder.record.supermq is None:
                    told = "reload the broker (SIGHUP) now, and restart it when it suits"
            case _:
                check_id(args.device)
                if args.device not in folder.record.devices:
                    raise UsageError(
                        f"{args.device} was never given a certificate",
                        hint="`propeller provision fleet --device` or `token` enrolls it",
                    )
                folder.renew(args.device, "asked for")
        folder.settle()
        _tell(folder)
    if told:
        say(told)
    return 0


def _own(path: Path) -> Record | None:
    """The record, where certificates are signed by an authority in the folder."""
    from propeller.provision.record import read_record

    record = read_record(path)
    if record is not None and record.supermq is not None:
        raise UsageError(
            "members of this fleet are known to a SuperMQ; there are no certificates to sign",
            hint="`propeller provision fleet --device ID` makes a bundle",
        )
    return record


def _serve(args: argparse.Namespace) -> int:
    import logging

    import uvicorn

    from propeller.provision.folder import opened
    from propeller.provision.service import make_app

    path = Path(args.folder)
    _own(path)
    with opened(path, now_ms() // 1000) as folder:
        folder.settle()
    host, port = _address(args.listen, 7443)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    say(f"enrolment on https://{args.listen}, for as long as this runs")
    uvicorn.run(
        make_app(path, lambda: now_ms() // 1000),
        host=host,
        port=port,
        ssl_certfile=path / "broker" / "server.pem",
        ssl_keyfile=str(path / "broker" / "server.key"),
        log_level="warning",
        lifespan="off",
        access_log=False,
        timeout_keep_alive=5,
        limit_concurrency=64,
    )
    return 0


def _show(args: argparse.Namespace) -> int:
    from propeller.cli.table import render
    from propeller.model.conditions import moment
    from propeller.provision.record import read_record
    from propeller.provision.rotation import left_behind, step_of

    record = read_record(Path(args.folder))
    if record is None:
        raise UsageError(f"no fleet in {args.folder}", hint="`propeller provision fleet`")
    now = now_ms() // 1000
    behind = set(left_behind(record, now))
    items = []
    for device, held in sorted(record.devices.items()):
        newest = held[-1]
        state = "Revoked" if newest.revoked else "Ended" if newest.ends <= now else "Valid"
        items.append(
            {
                "device": device,
                "state": state,
                "ends": moment(newest.ends * 1000),
                "serial": newest.serial,
                "authority": newest.issuer[:8] + (" (old)" if device in behind else ""),
                "key": "in the folder" if newest.kept else "on the device",
            }
        )
    if args.output == "json":
        step = step_of(record)
        print(json.dumps({"rotation": step, "devices": items}, indent=1))
        return 0
    heads = ("DEVICE", "STATE", "ENDS", "AUTHORITY", "KEY")
    rows = [(i["device"], i["state"], i["ends"], i["authority"], i["key"]) for i in items]
    print(render(heads, rows))
    return 0


def _tell(folder: Folder) -> None:
    """What changed, a long list shortened."""
    verb = "would be made" if folder.dry else "made"
    if not folder.changes:
        say("nothing to change")
        return
    for change in folder.changes[:_SHOWN]:
        say(str(change))
    if len(folder.changes) > _SHOWN:
        say(f"... and {len(folder.changes) - _SHOWN} more")
    say(f"{len(folder.changes)} files {verb} in {folder.path}")


def pin_of(authorities: bytes) -> str:
    """What a device that knows nothing yet is told of the authorities: SHA-256 of their PEM."""
    import hashlib

    return hashlib.sha256(authorities).hexdigest()


def _address(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, str(default)
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text!r} is not HOST[:PORT]")
    return host, int(port)


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(64 * 1024)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error

"""`proplet enroll URL` and `proplet renew URL`: this device's certificate, fetched over HTTPS.

Enrolling needs a token and the pin of the fleet's authorities, both from whoever set the fleet up;
keys are made here and never leave. Renewing needs neither: the device's own key proves who asks.
The result is a folder with `proplet.yaml`; asked again after a lost answer, it goes on with the
same keys.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from propeller.errors import Unavailable, UsageError
from propeller.wire import certificates as x509
from propeller.wire.boxes import BoxKey
from propeller.wire.enrolment import Answer, Request, read_answer, write_request
from propeller.wire.signing import SigningKey
from propeller.wire.topics import is_id
from proplet.disk import make_directory, write_file

VERBS = ("enroll", "renew")
TIMEOUT_S = 20
MOST = 256 * 1024
TOKEN = "PROPLET_TOKEN"  # noqa: S105  the name of a variable


def parser(verb: str) -> argparse.ArgumentParser:
    """The command line of one of VERBS."""
    made = argparse.ArgumentParser(prog=f"proplet {verb}", allow_abbrev=False)
    made.add_argument("url", metavar="URL", help="the enrolment service, https://HOST:PORT")
    made.add_argument("--data", required=True, metavar="DIR", help="where the files are kept")
    if verb == "enroll":
        made.add_argument("--id", required=True, metavar="ID", help="name of this proplet")
        made.add_argument("--pin", required=True, metavar="HEX", help="SHA-256 of the authorities")
        made.add_argument("--token-file", metavar="FILE", help=f"the token (default: ${TOKEN})")
    return made


def run(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Do it; words for the terminal. Raises UsageError, Unavailable,
    WireError (a key file that is none)."""
    verb = argv[0]
    args = parser(verb).parse_args(argv[1:])
    base = _base(args.url)
    data = Path(args.data)
    make_directory(data)
    if verb == "renew":
        return _renew(base, data)
    if not is_id(args.id):
        raise UsageError(f"--id {args.id!r} is no id", hint="letters, digits, _ and -, at most 64")
    if (data / "cert.pem").exists():
        raise UsageError(
            f"{data} has a certificate already", hint="`proplet renew` fetches the next one"
        )
    token = _token(args.token_file, environment)
    authorities = _get(f"{base}/ca", verify=False)
    found = hashlib.sha256(authorities).hexdigest()
    if not hmac.compare_digest(found, args.pin.strip().lower()):
        raise UsageError(
            f"the service has other authorities than --pin says ({found[:16]}...)",
            hint="compare with `propeller provision token`; somebody may stand in between",
        )
    answer = _ask(f"{base}/enroll/{args.id}", data, args.id, ca=authorities, token=token)
    _keep(data, answer)
    return f"enrolled as {args.id}; run: proplet --config {data / 'proplet.yaml'}"


def _renew(base: str, data: Path) -> str:
    try:
        name = x509.facts((data / "cert.pem").read_bytes(), where=str(data / "cert.pem")).name
        authorities = (data / "ca.pem").read_bytes()
    except OSError as error:
        raise UsageError(
            f"{error.filename}: {error.strerror}", hint="`proplet enroll` comes first"
        ) from error
    answer = _ask(f"{base}/renew/{name}", data, name, ca=authorities, token=None)
    _keep(data, answer)
    return f"{name} has a new certificate; restart the proplet"


def _ask(url: str, data: Path, device: str, *, ca: bytes, token: str | None) -> Answer:
    """Ask for a certificate of the key in `next.key`, which is made if it is not there."""
    signing = SigningKey.from_pem(
        _made(data / "device.pem", lambda: SigningKey.generate().to_pem())
    )
    box = BoxKey.from_pem(_made(data / "box.pem", lambda: BoxKey.generate().to_pem()))
    pem = _made(data / "next.key", lambda: x509.private_pem(x509.new_key()))
    private = x509.private_key(pem, where=str(data / "next.key"))
    request = Request(
        device=device,
        csr=x509.request(private, device),
        key=signing.public,
        box=box.public,
        at=int(time.time()),
    )
    body = _post(url, write_request(request, signing), ca=ca, token=token)
    answer = read_answer(body)
    given = x509.facts(answer.certificate, where=url)
    if given.name != device or given.key != x509.key_digest(private.public_key()):
        raise UsageError(f"{url}: answered with a certificate that is not ours")
    return answer


def _keep(data: Path, answer: Answer) -> None:
    """The certificate and its key change together as far as files can: a proplet that starts in
    between finds both halves of the old pair or asks again with the new one."""
    root = data / "root.pub"
    if root.exists() and root.read_text("ascii").strip() != answer.root:
        raise UsageError(
            "the service names another root key than this device believes",
            hint=f"if the fleet was set up anew, remove {root}",
        )
    write_file(root, answer.root.encode("ascii") + b"\n")
    write_file(data / "ca.pem", answer.ca)
    settings = data / "proplet.yaml"
    if not settings.exists():
        write_file(settings, answer.settings + b"data: store\n")
    write_file(data / "cert.key", (data / "next.key").read_bytes())
    write_file(data / "cert.pem", answer.certificate)
    (data / "next.key").unlink()


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or "@" in parts.netloc:
        raise UsageError(f"{url!r} is not https://HOST[:PORT]")
    return url.rstrip("/")


def _token(name: str | None, environment: Mapping[str, str]) -> str:
    try:
        text = Path(name).read_text("ascii") if name else environment.get(TOKEN, "")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {name}: {error}") from error
    if not text.strip():
        raise UsageError("no token", hint=f"set {TOKEN}, or name a file with --token-file")
    return text.strip()


def _made(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is in `path`, made first if it is not there."""
    if not path.exists():
        write_file(path, make())
    return path.read_bytes()


def _get(url: str, *, verify: bool) -> bytes:
    return _call("GET", url, verify=verify)


def _post(url: str, body: bytes, *, ca: bytes, token: str | None) -> bytes:
    headers = {"Content-Type": "application/octet-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    handle, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(ca)
        return _call("POST", url, verify=name, body=body, headers=headers)
    finally:
        Path(name).unlink()


def _call(
    method: str,
    url: str,
    *,
    verify: bool | str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """One request, bounded in size and time, that follows nobody elsewhere."""
    import warnings

    import requests

    try:
        with warnings.catch_warnings(), requests.Session() as session:
            # What is fetched unverified is compared with the pin before it counts.
            warnings.simplefilter("ignore")
            session.trust_env = False
            response = session.request(
                method,
                url,
                data=body,
                headers=dict(headers or {}),
                verify=verify,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            )
            data = response.raw.read(MOST + 1, decode_content=True)
    except requests.RequestException as error:
        raise Unavailable(f"{url}: {error}", hint="nothing is lost; try again") from error
    if len(data) > MOST:
        raise UsageError(f"{url}: answered with more than {MOST} bytes")
    if response.status_code != 200:
        words = data[:300].decode("utf-8", "replace")
        raise UsageError(f"{url}: {response.status_code}: {words}")
    return bytes(data)

"""Which HTTP requests a guest may send: rules as people write them, and what they let out. Pure.

A spec grants by these rules (`run.http.allow`), an App bounds them (`ceilings.http`), the owner of
a device has the last word (`httpAllow`): one grammar for all three. `plan` and the agent ask
whether one list covers another, a worker asks of every request. What servers may read in two ways
passes no rule that names a path.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote

MAX_RULES: Final = 16
"""Rules of one guest."""

MAX_RULE: Final = 120
"""Characters of a rule: what an agent lists has 128."""

MAX_TARGET: Final = 4096
"""Characters of what a request asks for: path and query."""

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""No other leaves: CONNECT opens a tunnel, TRACE shows what others put in."""

HTTP_WORD: Final = "propeller:http"
"""What an agent lists among its imports whose owner lets guests send requests."""

ALLOWED: Final = "http:"
"""And one for each rule of its owner: this, and the rule."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS: Final = {"http": 80, "https": 443}
_RULE: Final = re.compile(
    r"(?P<methods>(?:[A-Z]{3,7} )*)(?P<scheme>https?)://(?P<authority>[^/?#@\\\s]+)"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_AUTHORITY: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
)
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]|-]*")


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests to one origin. host: as compared, `*.` in front stands for exactly one label; an
    address of IPv6 has its brackets. path: "" for every one, else that path and all below it.
    methods: sorted."""

    scheme: str
    host: str
    port: int
    path: str = ""
    methods: tuple[str, ...] = METHODS

    def __str__(self) -> str:
        """The one spelling; `parse_rule` gives the same back."""
        words = "" if self.methods == METHODS else "".join(f"{one} " for one in self.methods)
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{words}{self.scheme}://{self.host}{port}{self.path}"

    @property
    def address(self) -> Address | None:
        """Where it names an address and no name."""
        return address_of(self.host)

    def admits(self, target: Target) -> bool:
        """Whether it lets this request out."""
        return (
            (self.scheme, self.port) == (target.scheme, target.port)
            and target.method in self.methods
            and _host_within(target.host, self.host)
            and (not self.path or _below(target.path, self.path))
        )

    def covers(self, other: Rule) -> bool:
        """Whether it lets out all that the other one does."""
        return self.meet(other) == other

    def meet(self, other: Rule) -> Rule | None:
        """The rule for what both let out, None where that is nothing."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return None
        if _host_within(self.host, other.host):
            host = self.host
        elif _host_within(other.host, self.host):
            host = other.host
        else:
            return None
        short, long = sorted((self.path, other.path), key=len)
        methods = tuple(sorted({*self.methods} & {*other.methods}))
        if not methods or not f"{long}/".startswith(f"{short}/"):
            return None
        return Rule(self.scheme, host, self.port, long, methods)


@dataclass(frozen=True, slots=True)
class Target:
    """One request, as it goes out. path: without its query, as sent."""

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def authority(self) -> str:
        """What the header Host says."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def sent(self) -> str:
        """What the request line says."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def __str__(self) -> str:
        """Without the query, which may hold what no log should."""
        return f"{self.method} {self.scheme}://{self.authority}{self.path}"


def parse_rule(text: str) -> Rule:
    """A rule, as `https://api.example.com/v1/` or `GET HEAD http://*.example.com:8080`.

    Raises ValueError, in words.
    """
    if len(text) > MAX_RULE:
        raise ValueError(f"has more than {MAX_RULE} characters")
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text[:80]!r} is no rule: methods, if any, then http:// or https://, a host, a port,"
            " and a path of plain segments; no user, query or fragment"
        )
    methods = sorted({*found["methods"].split()})
    strange = [word for word in methods if word not in METHODS]
    if strange:
        raise ValueError(f"{strange[0]} is none of {', '.join(METHODS)}")
    if {".", ".."} & {*found["path"].split("/")}:
        raise ValueError("must have no . and no .. in its path")
    host, port = _authority(found["authority"], found["scheme"], wild=True)
    return Rule(found["scheme"], host, port, found["path"], tuple(methods) or METHODS)


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Each once, sorted by its text. Raises ValueError."""
    return tuple(sorted({parse_rule(text) for text in texts}, key=str))


def parse_target(method: str, scheme: str, authority: str, path_with_query: str) -> Target:
    """A request as a guest made it. Raises ValueError for one that must not go to any server."""
    if method not in METHODS:
        raise ValueError(f"{method[:16]!r} is none of {', '.join(METHODS)}")
    if scheme not in _PORTS:
        raise ValueError(f"the scheme {scheme[:16]!r} is neither http nor https")
    if len(path_with_query) > MAX_TARGET:
        raise ValueError(f"asks for more than {MAX_TARGET} characters")
    path, _, query = (path_with_query or "/").partition("?")
    if _PATH.fullmatch(path) is None or _QUERY.fullmatch(query) is None:
        raise ValueError("its path and query are not those of a URL")
    host, port = _authority(authority, scheme, wild=False)
    return Target(method, scheme, host, port, path, query)


def covered(wanted: Rule, by: Iterable[Rule]) -> bool:
    """Whether one rule of a list lets out all that this one does."""
    return any(rule.covers(wanted) for rule in by)


def words_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """What an agent lists among its imports whose owner lets these out; nothing for none."""
    words = tuple(f"{ALLOWED}{rule}" for rule in rules)
    return (HTTP_WORD, *words) if words else ()


def rules_in(words: Iterable[str]) -> tuple[Rule, ...]:
    """The rules among what an agent lists. What is none there is left out: it lets nothing out."""
    found = []
    for word in words:
        if word.startswith(ALLOWED):
            with suppress(ValueError):
                found.append(parse_rule(word.removeprefix(ALLOWED)))
    return tuple(found)


def both(one: Iterable[Rule], other: Iterable[Rule]) -> tuple[Rule, ...]:
    """A list for what two lists both let out, sorted."""
    theirs = tuple(other)
    met = {mine.meet(its) for mine in one for its in theirs}
    return tuple(sorted((rule for rule in met if rule is not None), key=str))


def address_of(host: str) -> Address | None:
    """The address that stands in the place of a host's name, if one does."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def may_reach(address: Address, named: Iterable[Address], networks: Iterable[Network]) -> bool:
    """Whether a request may go to this address: one of the internet, or one of the device's owner.

    named: addresses that the owner's rules spell out. networks: those the owner opened. Addresses
    that carry another one inside (mapped, 6to4, Teredo, NAT64) count as both.
    """
    if address in (*named,) or any(address in network for network in networks):
        return True
    inner = _carried(address)
    if inner is not None:
        return may_reach(inner, named, networks)
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def _carried(address: Address) -> Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


def _authority(text: str, scheme: str, *, wild: bool) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not host or host:port")
    port = int(found["port"] or _PORTS[scheme])
    if not 0 < port < 65_536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return _host(found["host"], wild=wild), port


def _host(text: str, *, wild: bool) -> str:
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1])}]"
        except ValueError:
            raise ValueError(f"{text[:60]!r} is no address") from None
    host = text.lower()
    labels = host.split(".")
    if wild and labels[0] == "*":
        labels = labels[1:]
        if len(labels) < 2:
            raise ValueError("*. needs a domain of two labels or more behind it")
    if len(host) > 253 or any(_LABEL.fullmatch(label) is None for label in labels):
        raise ValueError(f"{text[:80]!r} is no host: letters, digits and - between dots")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        # Resolvers take 127.1, 0x7f.1 and 2130706433 for addresses too: only one spelling passes.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{text[:80]!r} is no address of four numbers") from None
    return host


def _host_within(host: str, pattern: str) -> bool:
    if host == pattern:
        return True
    if not pattern.startswith("*.") or host.startswith("*."):
        return False
    return host.partition(".")[2] == pattern[2:]


def _below(path: str, prefix: str) -> bool:
    """Whether a path is the prefix or below it for every server, however it undoes escapes."""
    if path == prefix:
        return True
    if not path.startswith(f"{prefix}/"):
        return False
    rest = path[len(prefix) :]
    plain = _undone(rest)
    if plain is None or "\\" in plain or plain.count("/") != rest.count("/"):
        return False
    segments = (segment.partition(";")[0].strip() for segment in plain.split("/"))
    return all(segment not in (".", "..") for segment in segments)


def _undone(text: str) -> str | None:
    """With its escapes undone until none is left, None where they are no text."""
    for _ in range(8):
        try:
            plain = unicodedata.normalize("NFKC", unquote(text, errors="strict"))
        except UnicodeDecodeError:
            return None
        if plain == text:
            return plain
        text = plain
    return None

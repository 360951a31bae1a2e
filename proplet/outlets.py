"""Where guests of this device may send HTTP requests, as its owner has it. Pure.

Read by `config`, asked by `ceilings` for every entry that could start; a worker is told of it with
its job and asks again for every request.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from propeller.outgoing import Network, Rule, covered, parse_rules
from propeller.wire.messages import Entry

MOST = 32
"""Rules of a device."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """rules: what may leave at all. networks: local ones that names may lead to; an address that a
    rule spells out needs none. ca: PEM file of authorities besides those of the system."""

    rules: tuple[Rule, ...] = ()
    networks: tuple[Network, ...] = ()
    ca: Path | None = None

    def refusal(self, entry: Entry) -> str:
        """What of the entry is more than the owner lets out, in words, or ""."""
        if entry.http is None:
            return ""
        try:
            wanted = parse_rules(entry.http.allow)
        except ValueError as error:
            return f"run.http: {error}"
        for rule in wanted:
            if not covered(rule, self.rules):
                there = ", ".join(str(one) for one in self.rules[:8]) or "nothing"
                return f"may send requests to {there} here (httpAllow), asks for {rule}"
        return ""

    def told(self, entry: Entry) -> dict[str, object] | None:
        """What a worker is told, None where the guest sends nothing."""
        grant = entry.http
        if grant is None:
            return None
        return {
            "allow": grant.allow,
            "owner": [str(rule) for rule in self.rules],
            "networks": [str(network) for network in self.networks],
            "requests": grant.requests,
            "timeout": grant.timeout,
            "body": grant.body,
            "ca": None if self.ca is None else str(self.ca),
        }


NONE = Outlets()


def read_network(text: str) -> Network:
    """A network, or one address. Raises ValueError."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no network, as 192.168.7.0/24") from None

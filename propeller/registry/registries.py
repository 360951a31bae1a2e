"""Where a reference is really looked up: the `registries` of the configuration.

A host may have a mirror, stand for a layout directory (air gap), or be allowed plain HTTP. Nothing
is allowed by default, loopback included.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from propeller.errors import UsageError
from propeller.registry.artifacts import Artifacts
from propeller.registry.credentials import Credentials, anonymous
from propeller.registry.layout import Layout
from propeller.registry.oci import OciClient
from propeller.registry.reference import LayoutReference, Reference

_FIELDS = {"mirror", "layout", "plainHttp"}
_PLAIN = {"Allowed": True, "Denied": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the configuration says of one host (`host` or `host:port`).

    mirror: `host[:port][/prefix]` asked instead. layout: directory asked instead. plain_http:
    whether it may be spoken to without TLS.
    """

    mirror: str | None = None
    layout: Path | None = None
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Who to ask, under which name. `remote`: a registry that devices might reach as well."""

    artifacts: Artifacts
    reference: Reference
    remote: bool


@dataclass(slots=True)
class Registries:
    """All hosts of the configuration, and a client a thread for them.

    Workers share one of these. Close it when they are done, or use it in `with`.
    """

    hosts: Mapping[str, Host] = field(default_factory=dict)
    credentials: Credentials = anonymous
    connect: float = 10.0
    read: float = 30.0
    deadline: float = 600.0
    ca: str | None = None
    _mine: threading.local = field(default_factory=threading.local, init=False, repr=False)
    _clients: list[OciClient] = field(default_factory=list, init=False, repr=False)

    @staticmethod
    def parse(
        raw: Mapping[str, object], *, base: Path, credentials: Credentials = anonymous
    ) -> Registries:
        """From the `registries:` mapping of `propeller.yaml`; layout paths are relative to `base`.

            registries:
              registry.example: {mirror: cache.plant-a.example/proxy}
              images.vendor.example: {layout: ./oci}
              "127.0.0.1:5000": {plainHttp: Allowed}

        Raises UsageError naming the host and the field.
        """
        hosts = {}
        for name, value in raw.items():
            if not isinstance(value, Mapping):
                raise UsageError(f"registries.{name}: a mapping of {', '.join(sorted(_FIELDS))}")
            for key in value:
                if key not in _FIELDS:
                    raise UsageError(
                        f"registries.{name}.{key}: unknown field",
                        hint=f"allowed are {', '.join(sorted(_FIELDS))}",
                    )
            mirror, layout = value.get("mirror"), value.get("layout")
            plain = value.get("plainHttp", "Denied")
            if mirror is not None and layout is not None:
                raise UsageError(f"registries.{name}: either a mirror or a layout, not both")
            for key, each in (("mirror", mirror), ("layout", layout)):
                if each is not None and (not isinstance(each, str) or not each):
                    raise UsageError(f"registries.{name}.{key}: text is wanted")
            if not isinstance(plain, str) or plain not in _PLAIN:
                raise UsageError(f"registries.{name}.plainHttp: Allowed or Denied")
            if mirror is not None:
                _ = _mirrored(Reference(name, "x", "y"), str(mirror))
            hosts[name] = Host(
                mirror=mirror,
                layout=None if layout is None else base / str(layout),
                plain_http=_PLAIN[plain],
            )
        return Registries(hosts, credentials)

    def place(self, ref: Reference | LayoutReference) -> Place:
        """Who is asked for `ref`, and by which name."""
        if isinstance(ref, LayoutReference):
            return Place(Layout(ref.directory), ref.inside, remote=False)
        host = self.hosts.get(ref.registry, Host())
        if host.layout is not None:
            return Place(Layout(host.layout), ref, remote=False)
        if host.mirror is not None:
            ref = _mirrored(ref, host.mirror)
        return Place(self.client(), ref, remote=True)

    def client(self) -> OciClient:
        """This thread's HTTP client, made when first needed."""
        client = getattr(self._mine, "client", None)
        if not isinstance(client, OciClient):
            client = OciClient(
                plain_http=[name for name, host in self.hosts.items() if host.plain_http],
                credentials=self.credentials,
                connect=self.connect,
                read=self.read,
                deadline=self.deadline,
                ca=self.ca,
            )
            self._mine.client = client
            self._clients.append(client)
        return client

    def close(self) -> None:
        """Drop every thread's connections."""
        for client in self._clients:
            client.close()

    def __enter__(self) -> Registries:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _t: TracebackType | None,
    ) -> None:
        self.close()


def _mirrored(ref: Reference, mirror: str) -> Reference:
    tag = f":{ref.tag}" if ref.tag else ""
    digest = f"@{ref.digest}" if ref.digest else ""
    return Reference.parse(f"{mirror.rstrip('/')}/{ref.repository}{tag}{digest}")

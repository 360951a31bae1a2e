"""Where everything of one state lies: the names inside `--state DIR`, spelled once.

    propeller.db      the store            private
    calls.db          calls that were promised an answer   private
    journal/          what neither source nor fleet can tell again   private
    keys/             root, manager, gateway and device keys   private
    blobs/            module bytes and results, by digest
    oci/              the local OCI layout that stands in for a registry
    status/           status files, for people and git
    run/              lease, ports, socket: only means something while a process lives   private
    audit/            what was asked of the gateway, chained   private
    api/              specs of objects that came through the API   private
    logs/             what local proplets printed
    proplets/<id>/    storage of local proplets; kept when `up` ends   private
    git/              bare clones of the sources   private

Everything that starts a process on a state, and every verb that reads one, goes through here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import PropletId, is_wire_id
from propeller.state.files import make_directory, replace_file

_PRIVATE = 0o700
_MAX_PORTS_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class StateDir:
    """The layout below `path`. Making one touches nothing; `create` does."""

    path: Path
    keys_at: Path | None = None

    @property
    def database(self) -> Path:
        """The SQLite file; `-wal` and `-shm` lie beside it while it is open."""
        return self.path / "propeller.db"

    @property
    def calls(self) -> Path:
        """The SQLite file of the gateway's own."""
        return self.path / "calls.db"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def keys(self) -> Path:
        """The key directory: below `path`, or where `keys_at` says."""
        return self.keys_at or self.path / "keys"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def oci(self) -> Path:
        return self.path / "oci"

    @property
    def status(self) -> Path:
        return self.path / "status"

    @property
    def run(self) -> Path:
        """Private: whoever may open the socket in it may command the fleet."""
        return self.path / "run"

    @property
    def socket(self) -> Path:
        """Where the process that holds the lease listens (mode 0600)."""
        return self.run / "api.sock"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"

    @property
    def tokens(self) -> Path:
        """API tokens, as hashes: beside the keys, because they are no state either."""
        return self.keys / "tokens.json"

    @property
    def audit(self) -> Path:
        """What was asked of the gateway. Private."""
        return self.path / "audit"

    @property
    def shelves(self) -> Path:
        """Specs of objects that no source but the API has. Private."""
        return self.path / "api"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def git(self) -> Path:
        return self.path / "git"

    @property
    def proplets(self) -> Path:
        return self.path / "proplets"

    def proplet(self, proplet: PropletId) -> Path:
        """The storage of one local proplet. Raises UsageError for what is no proplet id."""
        if not is_wire_id(proplet):
            raise UsageError(f"{proplet!r} is no proplet id", hint="use [A-Za-z0-9_-], at most 64")
        return self.proplets / proplet

    def exists(self) -> bool:
        """Whether a state was ever made here."""
        return self.database.exists() or self.keys.is_dir()

    def create(self) -> None:
        """Make what is missing; existing directories keep their mode. Raises Unavailable."""
        make_directory(self.path)
        for public in (self.blobs, self.oci, self.status, self.logs):
            make_directory(public)
        for private in (self.keys, self.run, self.journal, self.proplets, self.git):
            make_directory(private, mode=_PRIVATE)

    def write_ports(self, ports: Mapping[str, int]) -> None:
        """Say which ports this run listens on (`broker`, `gateway`, ...), in one piece."""
        text = json.dumps(dict(sorted(ports.items())), indent=2) + "\n"
        replace_file(self.ports, text.encode())

    def read_ports(self) -> dict[str, int]:
        """The ports last written; empty when there are none. They may be those of a past run.

        Raises Unavailable when the file is not what `write_ports` wrote.
        """
        try:
            with self.ports.open("rb") as file:
                found = json.loads(file.read(_MAX_PORTS_FILE))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._bad_ports() from error
        if not isinstance(found, dict):
            raise self._bad_ports()
        for port in found.values():
            if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
                raise self._bad_ports()
        return found

    def _bad_ports(self) -> Unavailable:
        return Unavailable(
            f"{self.ports}: is not a list of ports", hint="start Propeller again to write it anew"
        )

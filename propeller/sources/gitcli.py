"""Starts git: fixed arguments, an environment of our own, bounded output and time.

Nothing of the user's or the machine's configuration is read, no hook runs, no prompt waits, and
only the transports of `address` are allowed. What git says on stderr becomes `Unavailable`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from propeller.errors import Unavailable
from propeller.sources.access import (
    DEFAULT_USER,
    FD_VARIABLE,
    HELPER,
    USER_VARIABLE,
    Login,
    credential_settings,
)
from propeller.sources.address import SCHEMES, mask

_PASSED: Final = (
    "PATH",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)
_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.autoDetach=false",
    "gc.auto=5000",
    "gc.autoPackLimit=40",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
    "protocol.version=2",
)
_MAX_STDERR: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """How git ended: its exit status, what it printed, and what it said on stderr (masked)."""

    code: int
    out: bytes
    said: str


class Git:
    """Runs git with one neutral home. `home` is made when it is first needed."""

    def __init__(self, home: Path, *, environ: Mapping[str, str]) -> None:
        self._home = home
        self._given = {name: environ[name] for name in _PASSED if name in environ}

    @property
    def home(self) -> Path:
        """The private folder that stands for a home directory."""
        return self._home

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return self._given.get("PATH", os.defpath)

    def run(
        self,
        *arguments: str,
        repository: Path | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        most: int = 16 << 20,
        login: tuple[str, Login] | None = None,
    ) -> bytes:
        """What git printed. Raises Unavailable when it fails, takes too long or prints too much.

        login: a URL and who we are to its host, for commands that speak to it.
        """
        with self._login(login) as (settings, extra, pipes, hide):
            answer = self.ask(
                *arguments,
                repository=repository,
                stdin=stdin,
                timeout=timeout,
                most=most,
                settings=settings,
                extra=extra,
                pipes=pipes,
            )
        if answer.code != 0:
            said = answer.said.replace(hide, "***") if hide else answer.said
            raise GitFailed(arguments[0], said)
        return answer.out

    def ask(
        self,
        *arguments: str,
        repository: Path | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        most: int = 16 << 20,
        settings: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
        pipes: Sequence[int] = (),
    ) -> Answer:
        """The same, where failing is an answer too. extra: environment. pipes: left open to git."""
        where = () if repository is None else (f"--git-dir={repository}",)
        flags = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
        command = ["git", "--no-pager", *flags, *where, *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environment(), **(extra or {})},
                cwd=self._home,
                start_new_session=True,
                pass_fds=tuple(pipes),
            )
        except OSError as error:
            raise Unavailable(
                f"git cannot be started: {error.strerror}", hint="install git (2.30 or newer)"
            ) from error
        with process:
            try:
                out, said = _converse(process, stdin, time.monotonic() + timeout, most)
                code = process.wait(timeout=10)
            except TimeoutError:
                raise Unavailable(f"git {arguments[0]}: no answer in {timeout:.0f} s") from None
            except OverflowError:
                raise Unavailable(f"git {arguments[0]}: more than {most} bytes") from None
            finally:
                _end(process)
        return Answer(code, out, mask(said.decode("utf-8", "replace")))

    @contextlib.contextmanager
    def _login(
        self, login: tuple[str, Login] | None
    ) -> Iterator[tuple[list[str], dict[str, str], list[int], str]]:
        """Settings, environment, pipes and the word to hide, for one run."""
        if login is None:
            yield [], {}, [], ""
            return
        url, who = login
        settings: list[str] = []
        extra: dict[str, str] = {}
        ssh = who.ssh_command()
        if ssh is not None:
            extra["GIT_SSH_COMMAND"] = ssh
        if who.ca is not None and url.startswith("https://"):
            settings.append(f"http.sslCAInfo={who.ca.absolute()}")
        if not who.has_token or not url.startswith(("http://", "https://")):
            yield settings, extra, [], ""
            return
        secret = who.secret()
        reading, writing = os.pipe()
        try:
            os.set_blocking(writing, False)  # a pipe takes 64 KiB at once, which bounds the secret
            with suppress(BlockingIOError):
                os.write(writing, secret.encode())
            os.close(writing)
            writing = -1
            settings += credential_settings(url, self._helper())
            extra |= {FD_VARIABLE: str(reading), USER_VARIABLE: who.username or DEFAULT_USER}
            yield settings, extra, [reading], secret
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)

    def _helper(self) -> Path:
        """The program that answers git; it holds no secret."""
        path = self._home / "credential"
        if not path.is_file() or path.read_text("utf-8") != HELPER:
            self._home.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(HELPER, encoding="utf-8")
            fresh.chmod(0o700)
            fresh.replace(path)
        return path

    def _environment(self) -> dict[str, str]:
        self._home.mkdir(parents=True, exist_ok=True)
        config = self._home / ".gitconfig"
        if not config.exists():
            # Repositories of another user may be read: upload-pack runs no hooks of theirs.
            config.write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
        return {
            "PATH": os.defpath,
            **self._given,
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS": "true",
            "GIT_SSH_COMMAND": self._given.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "LC_ALL": "C",
        }


class GitFailed(Unavailable):
    """git exited with an error. `said` is its stderr, secrets masked."""

    def __init__(self, command: str, said: str) -> None:
        self.said = said
        super().__init__(f"git {command}: {_last_word(self.said)}")


def _last_word(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for prefix in ("fatal:", "error:"):
        for line in lines:
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip()[:300]
    return lines[-1][:300] if lines else "failed without a word"


def _converse(
    process: subprocess.Popen[bytes], stdin: bytes, deadline: float, most: int
) -> tuple[bytes, bytes]:
    """Feeds stdin and drains stdout and stderr at once. TimeoutError, OverflowError."""
    out: list[bytes] = []
    said: list[bytes] = []
    sizes = {id(out): 0, id(said): 0}
    waiting = memoryview(stdin)
    with selectors.DefaultSelector() as ready:
        for stream, sink in ((process.stdout, out), (process.stderr, said)):
            ready.register(_pipe(stream), selectors.EVENT_READ, sink)
        if stdin:
            ready.register(_pipe(process.stdin), selectors.EVENT_WRITE, None)
        while ready.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in ready.select(left):
                if key.data is None:
                    waiting = waiting[_write(key.fd, waiting) :]
                    if not waiting:
                        ready.unregister(key.fileobj)
                        _pipe(process.stdin).close()
                    continue
                chunk = os.read(key.fd, 1 << 16)
                sizes[id(key.data)] += len(chunk)
                if not chunk:
                    ready.unregister(key.fileobj)
                elif key.data is out:
                    if sizes[id(out)] > most:
                        raise OverflowError
                    out.append(chunk)
                elif sizes[id(said)] <= _MAX_STDERR:
                    said.append(chunk)
    return b"".join(out), b"".join(said)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data[:4096])
    except BrokenPipeError:
        return len(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leaves nothing of the process and its children behind."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def nul_fields(data: bytes) -> Iterable[bytes]:
    """The fields of `-z` output."""
    return (field for field in data.split(b"\0") if field)

"""Whether a module can do what an entry asks, in words when not. Pure.

Called by the supervisor with what a child found in the module, before anything is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from propeller.capabilities import (
    AUTONOMY,
    GUEST,
    MODELS,
    POINT_READ,
    POINT_WRITE,
    PUBLISH,
    RECEIVE,
    TIMED,
    TOPICS,
    WASI,
    interfaces_without,
    left_without,
)
from propeller.components import CLIENT, uncalled
from propeller.outgoing import Rule, words_of
from propeller.wire.messages import Entry
from proplet.runtime.values import read_args

_NAMES = """
args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_advise
fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights
fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get
fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write
path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink
path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise
random_get sched_yield sock_accept sock_recv sock_send sock_shutdown
"""
WASI_NAMES = frozenset(_NAMES.split())
"""Every function of WASI preview 1."""

FL = "propeller_fl"
_FL_NAMES = """
model_len model_read correction_read data_next param_i64 param_f64 rand_u64 metric steps submit
"""
FL_NAMES = frozenset(_FL_NAMES.split())
"""What a module that trains may import besides: see `training`."""

PROPELLER = GUEST
_CALL_NAMES = "input_len input_read output_write output_status output_type request_get"
CALL_NAMES = frozenset(_CALL_NAMES.split())
"""What is about a call: only a Function may import these."""
_POINT_NAMES = {POINT_READ, POINT_WRITE}
PROPELLER_NAMES = (
    CALL_NAMES
    | {"config_get", "log", "metric", "now_ms", "random", PUBLISH}
    | RECEIVE
    | _POINT_NAMES
)
"""What a guest may import besides: see `imports`, `topics` and `points`."""


def offered(denied: tuple[str, ...] = (), rules: tuple[Rule, ...] = ()) -> tuple[str, ...]:
    """What the agent says it provides: WASI by its name, or by function where some are denied.
    rules: of its owner, for HTTP requests."""
    interfaces = [name for name in interfaces_without(denied) if rules or name != CLIENT]
    ours = (FL, MODELS, TOPICS, AUTONOMY, TIMED, *interfaces, *words_of(rules))
    if not denied:
        return (WASI, GUEST, *ours)
    left = sorted(WASI_NAMES - left_without(denied))
    guest = sorted(PROPELLER_NAMES - left_without(denied, GUEST))
    own = (f"{GUEST}.{name}" for name in guest) if len(guest) < len(PROPELLER_NAMES) else (GUEST,)
    return (*(f"{WASI}.{name}" for name in left), *own, *ours)


IMPORTS = offered()
"""What an agent provides that denies nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a child found. `trouble`: why the module is of no use to anyone, or "".

    missing: imports nobody here provides. trains: whether it needs `propeller_fl`. called: the
    first import of `propeller` that is about a call, or "". publishes, hears: whether it imports
    what sends messages, what takes them; reads, writes: what reads sensors, what drives outputs.
    component: whether it is one; the types of its functions are then those of WIT. handler: whether
    requests go to its wasi:http handler. calls_out: whether it sends some. params, results: types
    of the entry point, None when there is no such function. functions: a few names that there are.
    """

    trouble: str = ""
    missing: tuple[str, ...] = ()
    trains: bool = False
    called: str = ""
    publishes: bool = False
    hears: bool = False
    reads: bool = False
    writes: bool = False
    params: tuple[str, ...] | None = None
    results: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    memory_min: int = 0
    component: bool = False
    handler: bool = False
    calls_out: bool = False


def entrypoint(entry: Entry) -> str:
    """The export that is called: where `propeller_fl` is imported, the one named like the step."""
    if entry.fl is not None and entry.fl.guest == "Imports":
        # Where the device itself is asked, its guest is the one that is asked next.
        return entry.fl.step if entry.fl.step == "evaluate" else "train"
    return entry.entrypoint


def facts_from(told: Mapping[str, object]) -> Facts:
    """Facts as a child wrote them."""

    def names(key: str) -> tuple[str, ...]:
        return tuple(cast("list[str]", told.get(key) or ()))

    return Facts(
        trouble=str(told.get("trouble", "")),
        missing=names("missing"),
        trains=told.get("trains") is True,
        called=str(told.get("called", "")),
        publishes=told.get("publishes") is True,
        hears=told.get("hears") is True,
        reads=told.get("reads") is True,
        writes=told.get("writes") is True,
        params=None if told.get("params") is None else names("params"),
        results=names("results"),
        functions=names("functions"),
        memory_min=cast(int, told.get("memory_min", 0)),
        component=told.get("component") is True,
        handler=told.get("handler") is True,
        calls_out=told.get("calls_out") is True,
    )


def why_unfit(facts: Facts, entry: Entry) -> str:
    """Why the entry cannot run, or ""."""
    if facts.trouble:
        return facts.trouble
    if facts.missing:
        return f"needs an import nobody here provides: {', '.join(facts.missing[:5])}"
    if entry.memory is not None and facts.memory_min > entry.memory:
        return f"needs {facts.memory_min} bytes of memory to start, its limit is {entry.memory}"
    if facts.params is None:
        there = ", ".join(facts.functions) or "none"
        return f"exports no function {entrypoint(entry)!r}; it exports: {there}"
    if facts.component:
        return _why_no_component(facts, entry)
    deaf = _why_deaf(facts, entry) or _why_blind(facts, entry)
    if deaf:
        return deaf
    if entry.fl is not None:
        return _why_untrained(facts, entry)
    if facts.trains:
        return f"needs {FL}, which only a FederatedTask offers"
    if entry.serve is not None:
        return _why_uncallable(facts, entry.serve.interface)
    if facts.called:
        return f"needs {PROPELLER}.{facts.called}, which only a Function offers"
    if entry.entrypoint == "_start":
        return "_start takes no arguments in WASI" if facts.params else ""
    try:
        read_args(facts.params, entry.args)
    except ValueError as error:
        return f"{entry.entrypoint} {error}"
    return ""


def _why_no_component(facts: Facts, entry: Entry) -> str:
    """The same for a component whose entry point can be called with text."""
    assert facts.params is not None
    if entry.fl is not None:
        return "is a component: a trainer is a core module"
    if (facts.handler or facts.calls_out) and (entry.mounts or entry.models):
        return "handles or sends HTTP requests: such a component gets no files"
    if facts.calls_out and entry.http is None:
        return f"needs {CLIENT} and is granted no requests (run.http)"
    if entry.serve is not None:
        if entry.serve.interface == "Bytes":
            return "is a component: Bytes is for core modules"
        return ""
    if facts.handler:
        return uncalled()
    if entry.entrypoint != "_start" and len(entry.args) != len(facts.params):
        wanted = ", ".join(facts.params) or "none"
        words = f"{len(facts.params)} arguments ({wanted[:120]})"
        return f"{entry.entrypoint} takes {words}, {len(entry.args)} given"
    return ""


def _why_deaf(facts: Facts, entry: Entry) -> str:
    """Whether it sends or takes messages and is granted no topic for that."""
    if facts.publishes and not any(one.publish is not None for one in entry.topics):
        return f"needs {PROPELLER}.{PUBLISH} and is granted no topic to publish to (run.topics)"
    if facts.hears and entry.serve is not None:
        return f"needs {PROPELLER}.receive, which a Function does not offer: it is called"
    if facts.hears and not any(one.subscribe is not None for one in entry.topics):
        return f"needs {PROPELLER}.receive and is granted no topic to hear (run.topics)"
    return ""


def _why_blind(facts: Facts, entry: Entry) -> str:
    """Whether it reads or drives something of the device and is granted nothing for that."""
    if facts.reads and not any(one.read is not None for one in entry.points):
        return f"needs {PROPELLER}.{POINT_READ} and is granted no sensor (run.points)"
    if facts.writes and not any(one.write is not None for one in entry.points):
        return f"needs {PROPELLER}.{POINT_WRITE} and is granted no output (run.points)"
    return ""


def topic_rows(entry: Entry, most: int) -> list[tuple[str, str, int, int]]:
    """What a worker is told of its topics. most: bytes of a message that the transport takes."""
    return [
        (
            one.name,
            "publish" if one.publish is not None else "subscribe",
            min(one.size, most),
            one.rate,
        )
        for one in entry.topics
    ]


def _why_uncallable(facts: Facts, interface: str) -> str:
    """The same for a module that is to take calls."""
    assert facts.params is not None
    match interface:
        case "Command":
            return "_start takes no arguments in WASI" if facts.params else ""
        case "Values":
            strange = {*facts.params, *facts.results} - {"i32", "i64", "f32", "f64"}
            return (
                f"has values that are no numbers: {', '.join(sorted(strange))}" if strange else ""
            )
        case "Bytes":
            fits = not facts.params and facts.results in ((), ("i32",))
            return "" if fits else "takes nothing and returns nothing or an i32 with Bytes"
        case _:
            return f"interface {interface!r} is not known here"


def _why_untrained(facts: Facts, entry: Entry) -> str:
    """The same for a round of federated learning: the guest, its entry point, its directories."""
    assert entry.fl is not None and facts.params is not None
    if facts.trains and entry.fl.guest != "Imports":
        return f"needs {FL}: say guest.model: Imports"
    if facts.params:
        return f"{entrypoint(entry)} takes no arguments where it trains"
    others = [mount.path for mount in entry.mounts if mount.path.rstrip("/") != "/data"]
    if others:
        return f"a module that trains sees /data and nothing else, not {others[0][:80]}"
    if len(entry.mounts) > 1:
        return "a module that trains has one /data"
    return ""

"""The table of verbs: name, module, one line of help. The only place that lists them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    common: shown by plain `--help`. on_conflict: exit code when someone was first. mixed: options
    may stand among its positionals, as in `run add.wat --entrypoint add 40 2`.
    """

    name: str
    module: str
    summary: str
    common: bool = False
    on_conflict: int = 2
    mixed: bool = False


def _verb(
    name: str,
    summary: str,
    *,
    common: bool = False,
    module: str = "",
    on_conflict: int = 2,
    mixed: bool = False,
) -> Verb:
    return Verb(name, f"propeller.cli.{module or name}", summary, common, on_conflict, mixed)


_ALL = (
    _verb("up", "run everything on this machine: broker, reconciler, local proplets", common=True),
    _verb(
        "apply",
        "make a directory the wanted state and wait until it is",
        common=True,
        on_conflict=5,
    ),
    _verb("diff", "what apply would change (exit 1 when something would)", common=True),
    _verb("get", "list objects and how they are", common=True),
    _verb("describe", "everything about one object", common=True),
    _verb("logs", "what a task printed", common=True),
    _verb("why", "the chain from spec to device for one object", common=True),
    _verb("run", "run one module now and print its result", common=True, mixed=True),
    _verb("invoke", "call a Function and print its answer", common=True, mixed=True),
    _verb("validate", "check specs without touching anything", common=True),
    _verb("explain", "what a field of a kind means", common=True),
    _verb("new", "start a spec tree or a module", common=True),
    _verb("serve", "follow a source continuously", common=True),
    _verb("reconcile", "one pass, for cron (--once)", common=True, on_conflict=5),
    _verb("plan", "the plan as data"),
    _verb("simulate", "play a change on a fake fleet and clock"),
    _verb("events", "what happened"),
    _verb("top", "what proplets and copies take"),
    _verb("tree", "objects as a tree, with their copies"),
    _verb("history", "what an object was before"),
    _verb("wait", "wait until an object is Ready"),
    _verb("suspend", "stop an object until resumed"),
    _verb("resume", "lift a suspension"),
    _verb("retry", "let a failed run of a Workflow go on from the steps that failed"),
    _verb("rollout", "how far a rollout is; pause, resume or abort it"),
    _verb("rollback", "go back to a version that was good"),
    _verb("reject", "never run that version"),
    _verb("confirm", "let the reconciler go on where it waits for an operator"),
    _verb("orphans", "what left the source and is still there"),
    _verb("adopt", "the spec of something that was kept, so that it is wanted again"),
    _verb("forget", "let go of something that left the source"),
    _verb("proplets", "list, label, cordon, drain proplets"),
    _verb("tasks", "list, start, stop tasks and show results"),
    _verb("fl", "create federated learning tasks, follow their rounds, export models"),
    _verb("bump", "newer modules into the specs, by the policy beside each image"),
    _verb("push", "push a module to a registry or layout"),
    _verb("pull", "pull a module"),
    _verb("inspect", "what a module or an artifact is"),
    _verb("keygen", "a key pair that signs modules"),
    _verb("sign", "vouch for a module in a registry"),
    _verb("verify", "who vouches for a module in a registry"),
    _verb("release", "which modules exist at all: a list, signed by a key kept offline"),
    _verb("keyservice", "keys of encrypted modules, given to devices that prove who they are"),
    _verb("provision", "certificates, keys and broker rights of a fleet"),
    _verb("token", "make, list and revoke tokens of the API"),
    _verb("audit", "what was asked of the API; verify that nobody altered the log"),
    _verb("schema", "print a schema: of specs, of the configuration, of the API"),
    _verb("doctor", "find the usual set-up faults"),
    _verb("completion", "shell completion"),
    _verb("config", "the configuration and where each value came from"),
)

VERBS = {verb.name: verb for verb in _ALL}


def overview(*, everything: bool = False) -> str:
    """The text of `propeller --help`: the dozen that matter, or all."""
    lines = [
        "propeller: GitOps for WebAssembly at the edge",
        "",
        "usage: propeller VERB [options]        propeller VERB --help",
        "",
    ]
    lines += [f"  {verb.name:<10} {verb.summary}" for verb in _ALL if verb.common or everything]
    if not everything:
        rest = ", ".join(verb.name for verb in _ALL if not verb.common)
        lines += ["", f"also: {rest}", "`propeller --help --all` explains them too"]
    return "\n".join(lines)

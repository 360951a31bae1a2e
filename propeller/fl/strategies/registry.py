"""Strategies by name: ours, and those that other packages offer.

Another package names a function `parse(parameters) -> Strategy` as an entry point of the group
`propeller.fl.strategies`; a name of ours cannot be taken. What a spec may combine is decided here
too, before anything runs, and refused in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Final

from propeller.errors import PropellerError, UsageError
from propeller.fl.strategies.averaging import Adaptive, FedAvg, FedAvgM, FedProx
from propeller.fl.strategies.base import Strategy, Trait
from propeller.fl.strategies.robust import Krum, NormClip, Trimmed
from propeller.fl.strategies.stateful import FedBuff, FedNova, Scaffold
from propeller.fl.strategies.wasm import Wasm

GROUP: Final = "propeller.fl.strategies"

Parse = Callable[[Mapping[str, str]], Strategy]

OURS: Final[Mapping[str, Parse]] = {
    "FedAvg": FedAvg.parse,
    "FedProx": FedProx.parse,
    "FedAvgM": FedAvgM.parse,
    "FedAdagrad": partial(Adaptive.parse, "Adagrad"),
    "FedAdam": partial(Adaptive.parse, "Adam"),
    "FedYogi": partial(Adaptive.parse, "Yogi"),
    "SCAFFOLD": Scaffold.parse,
    "FedNova": FedNova.parse,
    "FedBuff": FedBuff.parse,
    "Median": Trimmed.parse_median,
    "TrimmedMean": Trimmed.parse,
    "Krum": partial(Krum.parse, False),
    "MultiKrum": partial(Krum.parse, True),
    "NormClip": NormClip.parse,
    "Wasm": Wasm.parse,
}


def strategy(name: str, parameters: Mapping[str, str]) -> Strategy:
    """The strategy a spec asks for. Raises UsageError for a name or parameters that are none."""
    parse = OURS.get(name) or _offered(name)
    if parse is None:
        import difflib

        near = difflib.get_close_matches(name, OURS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "one of " + ", ".join(OURS)
        raise UsageError(f"no strategy is called {name[:60]!r}", hint=hint)
    if name in OURS:
        return parse(parameters)
    try:
        made = parse(parameters)
        fits = all(hasattr(made, part) for part in ("name", "traits", "trainer", "step"))
    except PropellerError:
        raise
    except Exception as error:
        raise UsageError(f"strategy {name}: {type(error).__name__}: {error}") from error
    if not fits:
        raise UsageError(f"strategy {name}: its package made a {type(made).__name__}")
    return made


def compatible(
    chosen: Strategy, *, encoding: str, secure: bool, noise: bool, cohort: int
) -> list[str]:
    """Why a strategy cannot run so; empty when it can.

    secure: with secure aggregation. noise: with central differential privacy. cohort: the fewest
    updates a round may commit with (minClients).
    """
    faults = []
    if secure and Trait.RANKS in chosen.traits:
        faults.append(
            f"{chosen.name} looks at single updates, secure aggregation only shows their sum"
        )
    if secure and chosen.traits & {Trait.CONTROL, Trait.ASYNC, Trait.STEPS}:
        faults.append(f"{chosen.name} does not work on a masked sum")
    if secure and encoding != "secagg-u32":
        faults.append("secure aggregation has an update format of its own, secagg-u32")
    if not secure and encoding == "secagg-u32":
        faults.append("secagg-u32 is for secure aggregation only")
    if encoding == "f64-partial" and chosen.name not in ("FedAvg", "FedProx"):
        faults.append(f"{chosen.name} needs updates, f64-partial only shows the sums of sites")
    if noise and chosen.traits & {Trait.RANKS, Trait.CONTROL, Trait.ASYNC, Trait.STEPS}:
        faults.append(f"the noise of differential privacy is not calibrated for {chosen.name}")
    if secure and cohort < 3:
        faults.append("secure aggregation needs minClients of at least 3")
    if isinstance(chosen, Krum) and not 2 * chosen.faulty + 2 < cohort:
        faults.append(
            f"{chosen.name} with faulty {chosen.faulty} needs minClients of at least "
            f"{2 * chosen.faulty + 3}"
        )
    if Trait.CONTROL in chosen.traits and encoding not in ("f32-delta", "json-f64"):
        faults.append(f"{chosen.name} sends control variates, in f32-delta or json-f64")
    return faults


def _offered(name: str) -> Parse | None:
    """What another package offers under `name`."""
    for point in entry_points(group=GROUP, name=name):
        try:
            found = point.load()
        except Exception as error:
            words = f"{point.value} offers strategy {name}, and importing it fails: {error}"
            raise UsageError(words) from error
        if not callable(found):
            raise UsageError(f"{point.value} offers strategy {name} and is no function")
        return found  # type: ignore[no-any-return]  # its result is used as a Strategy, or fails
    return None

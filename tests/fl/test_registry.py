"""Strategies by name: parameters are refused and never clamped, other packages may add theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from propeller.errors import UsageError
from propeller.fl.strategies.registry import OURS, compatible, strategy


@pytest.mark.parametrize(
    ("name", "parameters", "word"),
    [
        ("FedAvg", {"serverLearningRate": "0"}, "(0, 100]"),
        ("FedAvg", {"serverLearningRate": "101"}, "(0, 100]"),
        ("FedAvg", {"serverLearningRate": "nan"}, "(0, 100]"),
        ("FedAvg", {"serverLearningRate": "inf"}, "(0, 100]"),
        ("FedAvg", {"serverLearningRate": "1_0"}, "(0, 100]"),
        ("FedAvg", {"serverLearningRate": "9" * 400}, "(0, 100]"),
        ("FedAvg", {"momentum": "0.9"}, "'momentum' is no parameter of it"),
        ("FedProx", {}, "mu is missing"),
        ("FedProx", {"mu": "-1"}, "[0, 1000]"),
        ("FedAvgM", {"momentum": "1"}, "[0, 1)"),
        ("FedAdam", {"beta2": "1"}, "[0, 1)"),
        ("FedAdam", {"tau": "0"}, "(0, 1]"),
        ("FedAdam", {"biasCorrection": "yes"}, "neither Enabled nor Disabled"),
        ("FedYogi", {"biasCorrection": "Enabled"}, "is no parameter of it"),
        ("TrimmedMean", {"beta": "0.5"}, "[0, 0.5)"),
        ("Krum", {}, "faulty is missing"),
        ("Krum", {"faulty": "--5"}, "whole number from 0"),
        ("Krum", {"faulty": "1.5"}, "whole number from 0"),
        ("Krum", {"faulty": "9" * 5000}, "whole number from 0"),
        ("FedBuff", {"maxStaleness": "-1"}, "whole number from 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused_with_the_range(
    name: str, parameters: dict[str, str], word: str
) -> None:
    """Never clamped: a spec means what it says or is refused."""
    with pytest.raises(UsageError) as caught:
        strategy(name, parameters)
    assert word in caught.value.what
    assert caught.value.what.startswith(f"strategy {name}: ")


def test_all_faults_are_told_at_once() -> None:
    """Nobody mends one to meet the next."""
    with pytest.raises(UsageError) as caught:
        strategy("FedAdam", {"beta1": "2", "beta2": "2", "x": "1"})
    assert all(word in caught.value.what for word in ("beta1", "beta2", "'x'"))


def test_a_misspelt_name_gets_the_near_one() -> None:
    """And a strange one the list."""
    with pytest.raises(UsageError) as caught:
        strategy("FedAvgg", {})
    assert caught.value.hint == 'did you mean "FedAvg"?'
    with pytest.raises(UsageError) as caught:
        strategy("zzz", {})
    assert "MultiKrum" in caught.value.hint


def test_every_strategy_of_ours_goes_by_its_name() -> None:
    """What a round's file says can be written into a spec."""
    needs = {"FedProx": {"mu": "0.1"}, "Krum": {"faulty": "1"}, "MultiKrum": {"faulty": "1"}}
    for name in OURS:
        assert strategy(name, needs.get(name, {})).name == name


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that offers strategies, installed as far as importlib is concerned."""
    (tmp_path / "half_steps.py").write_text(
        "from propeller.fl.strategies.averaging import FedAvg\n"
        "from dataclasses import replace\n"
        "def parse(given):\n"
        "    return replace(FedAvg(float(given.get('eta', '0.5'))), name='HalfSteps')\n"
        "def nothing(given):\n"
        "    return 7\n"
        "not_callable = 3\n"
    )
    info = tmp_path / "half_steps-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half-steps\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[propeller.fl.strategies]\n"
        "HalfSteps = half_steps:parse\n"
        "FedAvg = half_steps:nothing\n"
        "Nothing = half_steps:nothing\n"
        "NotCallable = half_steps:not_callable\n"
        "Missing = half_steps_that_is_not_there:parse\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "half_steps", raising=False)
    return "HalfSteps"


def test_another_package_offers_a_strategy_by_an_entry_point(offered: str) -> None:
    """It gets the parameters of the spec and is used like ours."""
    made = strategy(offered, {"eta": "0.25"})
    assert (made.name, getattr(made, "eta", None)) == ("HalfSteps", 0.25)


def test_a_name_of_ours_cannot_be_taken(offered: str) -> None:
    """FedAvg is FedAvg, whatever is installed."""
    assert strategy("FedAvg", {}).name == "FedAvg"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("HalfSteps", {"eta": "x"}), ("Nothing", {}), ("NotCallable", {}), ("Missing", {})],
)
def test_a_package_at_fault_is_named_and_harms_nobody(
    offered: str, name: str, parameters: dict[str, str]
) -> None:
    """Its errors are a fault of the spec that asks for it, not a crash of the reconciler."""
    with pytest.raises(UsageError, match=name):
        strategy(name, parameters)


def _faults(name: str, parameters: dict[str, str], **terms: object) -> list[str]:
    whole = {"encoding": "f32-delta", "secure": False, "noise": False, "cohort": 10, **terms}
    return compatible(strategy(name, parameters), **whole)  # type: ignore[arg-type]


def test_what_cannot_go_together_is_refused_before_anything_runs() -> None:
    """Secure aggregation shows a sum only; noise is calibrated for a mean; Krum needs a crowd."""
    secure = {"secure": True, "encoding": "secagg-u32"}
    assert _faults("FedAvg", {}, **secure) == []
    assert _faults("FedAvg", {}) == []
    assert _faults("Median", {}, **secure)
    assert _faults("FedNova", {}, **secure)
    assert _faults("FedAvg", {}, secure=True)
    assert _faults("FedAvg", {}, encoding="secagg-u32")
    assert _faults("Median", {}, encoding="f64-partial")
    assert _faults("FedAdam", {}, encoding="f64-partial")
    assert not _faults("FedAvg", {}, encoding="f64-partial")
    assert _faults("FedAvg", {}, **secure, cohort=2)
    assert _faults("FedAvg", {}, noise=True) == []
    assert _faults("Krum", {"faulty": "1"}, noise=True)
    assert _faults("Krum", {"faulty": "4"})
    assert _faults("Krum", {"faulty": "3"}) == []
    assert _faults("SCAFFOLD", {}, encoding="q8-delta")

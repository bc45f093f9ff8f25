"""Candidates → their order in a scenario; pure.

Two promises hold for every scenario, and are tested: what fails or was not measured never helps the
cell it was not measured in, and only what passes all requirements and keeps all limits, measured,
is `green`. So each criterion is a share from 0 to 1 in which unknown is 0, and what the shares are
compared with never gets easier by a cell's own loss.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matrix.facts import order
from matrix.guide.candidates import Candidate
from matrix.scenarios import AT_MOST, LIMITS, Scenario
from matrix.selection import compile_selection

Standing = Literal["green", "not measured", "ruled out"]
FLOOR = 0.1  # the least share of one workload: a tenth of the best, or not measured
SETTLED_DAYS = 60
RECENT_DAYS = 730
SOAK_NIGHTS = 7
GB = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A candidate and why it stands where it does.

    `shares` by criterion are None where unknown; `failing` and `missing` are required features that
    do not pass and that were not measured; `over` and `unknown` are limits not kept and not known;
    `nights` and `runs` are those of its soak; `untimed` says how many of how many workloads nobody
    timed there.
    """

    candidate: Candidate
    standing: Standing
    passed: int
    score: float
    shares: Mapping[str, float | None]
    failing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    nights: int = 0
    runs: int = 0
    untimed: tuple[int, int] = (0, 0)


def rank(
    scenario: Scenario, candidates: Iterable[Candidate], *, today: str, known: int
) -> tuple[Ranked, ...]:
    """Order candidates of one kind of device and model, best first.

    `today` is the ISO date that ages are told at; `known` is how many features there are to pass.
    """
    wanted = [compile_selection(text) for text in scenario.select]
    chosen = [
        candidate
        for candidate in candidates
        if candidate.device in scenario.devices
        and (not wanted or any(matches(candidate.fields) for matches in wanted))
    ]
    best = _Best.of(scenario, chosen)
    ranked = [_ranked(scenario, candidate, best, today, known) for candidate in chosen]
    # stable: equals stay in the order of their names, the newest release first
    ranked.sort(key=lambda r: (r.candidate.cell, r.candidate.execution, r.candidate.provision))
    ranked.sort(key=lambda r: order(r.candidate.torch), reverse=True)
    ranked.sort(key=lambda r: (r.standing != "green", -r.passed, -r.score))
    return tuple(ranked)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Best:
    """What all candidates come to: the best of each number, and every feature that ran."""

    features: frozenset[str]
    times: Mapping[tuple[str, str], float]
    install: float | None
    memory: float | None
    importing: float | None

    @classmethod
    def of(cls, scenario: Scenario, candidates: Sequence[Candidate]) -> "_Best":
        times: dict[tuple[str, str], float] = {}
        for candidate in candidates:
            for key, seconds in candidate.times.items():
                if not scenario.workloads or key[0] in scenario.workloads:
                    times[key] = min(seconds, times.get(key, math.inf))
        return cls(
            features=frozenset(name for c in candidates for name in c.findings),
            times=times,
            install=_least(c.install_bytes for c in candidates),
            memory=_least(c.memory_bytes for c in candidates),
            importing=_least(c.import_seconds for c in candidates),
        )


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value), default=None)


def _ranked(
    scenario: Scenario, candidate: Candidate, best: _Best, today: str, known: int
) -> Ranked:
    found = {name: candidate.finding(name) for name in scenario.requires(candidate.device)}
    passed = [finding for finding in found.values() if finding.passes]
    silent = {name for name in found if name not in candidate.findings}
    failing = tuple(n for n, finding in found.items() if not finding.passes and n not in silent)
    missing = tuple(name for name in found if name in silent)
    whole = len(passed) == len(found)
    nights = min((finding.nights for finding in passed), default=0) if whole else 0
    runs = min((finding.runs for finding in passed), default=0) if whole else 0
    over, unknown = _limits(scenario, candidate, best, nights, today)
    standing: Standing = "green"
    if failing or over or candidate.broken:
        standing = "ruled out"
    elif missing or unknown:
        standing = "not measured"
    shares = _shares(candidate, best, nights if whole else None, today, known)
    return Ranked(
        candidate=candidate,
        standing=standing,
        passed=len(passed),
        score=_score(scenario.weights, shares),
        shares=shares,
        failing=failing,
        missing=missing,
        over=over,
        unknown=unknown,
        nights=nights,
        runs=runs,
        untimed=(sum(key not in candidate.times for key in best.times), len(best.times)),
    )


def _score(weights: Mapping[str, float], shares: Mapping[str, float | None]) -> float:
    """The weighted mean of the shares; rounded, so that no order hangs on the last bit."""
    total = sum(weights.values())
    told = sum(weight * (shares[name] or 0.0) for name, weight in weights.items())
    return round(told / total, 4) if total else 0.0


def _shares(
    candidate: Candidate, best: _Best, nights: int | None, today: str, known: int
) -> dict[str, float | None]:
    findings = candidate.findings.values()
    passed = sum(finding.passes for finding in findings)
    sound = passed + sum(finding.verdict == "unsupported" for finding in findings)
    age = candidate.age(today)
    return {
        "features": min(1.0, passed / known) if known and candidate.findings else None,
        "sound": min(1.0, sound / known) if known and candidate.findings else None,
        "throughput": throughput(candidate, best.times),
        "soak": None if nights is None else min(1.0, nights / SOAK_NIGHTS),
        "settled": None if age is None else min(1.0, age / SETTLED_DAYS),
        "recent": None if age is None else max(0.0, 1 - age / RECENT_DAYS),
        "size": _ratio(best.install, candidate.install_bytes),
        "memory": _ratio(best.memory, candidate.memory_bytes),
        "import": _ratio(best.importing, candidate.import_seconds),
    }


def _ratio(best: float | None, own: float | None) -> float | None:
    return best / own if best and own else None


def throughput(candidate: Candidate, best: Mapping[tuple[str, str], float]) -> float | None:
    """Geometric mean of what a candidate reaches of the best, over all workloads of its device."""
    if not any(key in candidate.times for key in best):
        return None
    shares = [
        max(FLOOR, seconds / candidate.times[key]) if key in candidate.times else FLOOR
        for key, seconds in best.items()
    ]
    return math.exp(math.fsum(map(math.log, shares)) / len(shares))


def _limits(
    scenario: Scenario, candidate: Candidate, best: _Best, nights: int, today: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The limits that are not kept, each in a phrase, and those of which that is not known.

    How much is wrong is known where everything ran that ran in any of the others.
    """
    findings = candidate.findings.values()
    whole = best.features <= set(candidate.findings)
    wrong = sum(finding.is_wrong for finding in findings)
    failing = sum(finding.fails for finding in findings)
    measured: Mapping[str, float | None] = {
        "install_gb": _scaled(candidate.install_bytes),
        "image_gb": _scaled(candidate.image_bytes),
        "memory_gb": _scaled(candidate.memory_bytes),
        "import_s": candidate.import_seconds,
        "age_days": candidate.age(today),
        "nights": nights,
        "wrong": wrong if whole or wrong > scenario.limits.get("wrong", 0) else None,
        "failing": failing if whole or failing > scenario.limits.get("failing", 0) else None,
    }
    over, unknown = [], []
    for name, limit in scenario.limits.items():
        value = measured[name]
        if value is None:
            unknown.append(name)
        elif value > limit if name in AT_MOST else value < limit:
            side = "at most" if name in AT_MOST else "at least"
            over.append(f"{value:.3g} {LIMITS[name]}, {side} {limit:g} wanted")
    return tuple(over), tuple(unknown)


def _scaled(size: float | None) -> float | None:
    return None if size is None else size / GB

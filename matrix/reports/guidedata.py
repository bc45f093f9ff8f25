"""Advice as data, for machines."""

from collections.abc import Iterable, Sequence
from typing import Any

from matrix.accelerators import ACCELERATORS
from matrix.guide.advice import Advice, pinned_by
from matrix.guide.rank import Ranked
from matrix.reports.guidewords import explain
from matrix.scenarios import Scenario

SCHEMA = 1


def unmeasured(
    found: Sequence[Advice], scenarios: Iterable[Scenario], devices: Sequence[str]
) -> list[tuple[Scenario, str]]:
    """Pairs of a scenario and a kind of device on which nothing ran that it selects."""
    ran = {(advice.scenario.name, advice.device) for advice in found}
    pairs = [(s, device) for s in scenarios for device in devices if device in s.devices]
    return [(s, device) for s, device in pairs if (s.name, device) not in ran]


def as_json(
    found: Sequence[Advice],
    scenarios: Iterable[Scenario],
    today: str,
    devices: Sequence[str] = tuple(ACCELERATORS),
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """The advice; ages are told at `today`, an ISO date; `left_out` is what could not be read."""
    nothing = unmeasured(found, scenarios, devices)
    return {
        "schema": SCHEMA,
        "as_of": today,
        "left_out": list(left_out),
        "advice": [_advice(advice, today) for advice in found],
        "unmeasured": [{"scenario": s.name, "device": device} for s, device in nothing],
    }


def _advice(advice: Advice, today: str) -> dict[str, Any]:
    best = advice.best
    return {
        "scenario": advice.scenario.name,
        "device": advice.device,
        "device_model": advice.device_model,
        "required": list(advice.required),
        "recommended": best.candidate.cell if best else None,
        "verified": advice.verified or None,
        "install": advice.install or None,
        "set": [
            {"set": s.set, "feature": s.feature, "why": s.why, "source": s.source}
            for s in advice.settings
        ],
        "pinned_by": list(pinned_by(best.candidate.torch)) if best else [],
        "careful": [{"feature": name, "verdict": verdict} for name, verdict in advice.cautions],
        "unknown": list(advice.unknown),
        "cells": [_cell(line, advice.scenario, today) for line in advice.ranked],
        "untried": [candidate.cell for candidate in advice.silent],
    }


def _cell(line: Ranked, scenario: Scenario, today: str) -> dict[str, Any]:
    seen = line.candidate
    return {
        "cell": seen.cell,
        "torch": seen.torch,
        "variant": seen.variant,
        "python": seen.python,
        "execution": seen.execution,
        "provision": seen.provision,
        "driver": seen.driver,
        "standing": line.standing,
        "score": line.score,
        "shares": dict(line.shares),
        "failing": list(line.failing),
        "missing": list(line.missing),
        "limits": [*line.over, *(f"{name} not measured" for name in line.unknown)],
        "runs": line.runs,
        "nights": line.nights,
        "age_days": seen.age(today),
        "verified": seen.verified,
        "why": explain(line, scenario),
    }

"""Why a cell stands where it does in a scenario, in words that fit into a line."""

from collections.abc import Sequence

from matrix.guide.advice import Advice, counted
from matrix.guide.rank import GB, Ranked
from matrix.reports.text import clean
from matrix.scenarios import Scenario

_NAMED = 8


def why_none(advice: Advice) -> str:
    """Say why there is no recommendation."""
    if not advice.ranked:
        return f"none of {counted(len(advice.silent), 'cell')} tried a required feature"
    counts = [
        f"{sum(line.standing == standing for line in advice.ranked)} {standing}"
        for standing in ("ruled out", "not measured")
    ]
    return f"nothing measured passes everything: {', '.join(counts)}"


def nothing_on(scenario: Scenario, device: str) -> str:
    """Say that a kind of device has no evidence for a scenario."""
    return f"nothing {'that it selects ' * bool(scenario.select)}was measured on {device}"


def device_of(advice: Advice) -> str:
    """The device that the advice is for."""
    return f"{advice.device} {advice.device_model or 'of unknown model'}"


def explain(line: Ranked, scenario: Scenario) -> str:
    """Say in one line why a cell stands where it does."""
    seen = line.candidate
    needed = scenario.requires(seen.device)
    parts = []
    if seen.broken:
        parts.append(f"can no longer be made ({clean(seen.broken, 120)})")
    if line.failing:
        told = [f"{name} {seen.finding(name).verdict}" for name in line.failing]
        parts.append(f"required, but: {_some(told)}")
    if line.missing:
        parts.append(f"{len(line.missing)} of {len(needed)} not measured: {_some(line.missing)}")
    parts += line.over
    parts += [f"{name} not measured, and limited" for name in line.unknown]
    if line.standing == "green":
        parts = [f"all {len(needed)} required pass"]
        weighed = sorted(scenario.weights, key=lambda name: (-scenario.weights[name], name))
        phrases = [_phrase(name, line) for name in weighed if scenario.weights[name]]
        parts += dict.fromkeys(phrases)
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(clean(name, 80) for name in names[:_NAMED]) + more


def _untimed(missing: int, known: int) -> str:
    """What a share of the best throughput counts as a tenth because nobody timed it."""
    return (
        f" ({missing} of {counted(known, 'workload')} not timed count a tenth)" if missing else ""
    )


def _phrase(criterion: str, line: Ranked) -> str:
    """What a criterion rests on."""
    seen, share = line.candidate, line.shares[criterion]
    if share is None:
        return f"{criterion} not measured"
    findings = seen.findings.values()
    return {
        "features": f"{counted(sum(f.passes for f in findings), 'feature')} pass",
        "sound": f"{counted(sum(f.fails for f in findings), 'feature')} broken",
        "throughput": f"{share:.2f} of the best throughput{_untimed(*line.untimed)}",
        "soak": f"passed in {counted(line.runs, 'run')} on {counted(line.nights, 'day')}",
        "settled": f"released {seen.released}",
        "recent": f"released {seen.released}",
        "size": f"{(seen.install_bytes or 0) / GB:.2f} GB installed",
        "memory": f"peak {(seen.memory_bytes or 0) / GB:.2f} GB",
        "import": f"imports in {seen.import_seconds or 0:.2f} s",
    }[criterion]

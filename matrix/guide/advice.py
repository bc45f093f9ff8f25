"""A scenario on one device: which cell to take, what speaks for it, and what nobody knows."""

import functools
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from matrix import facts
from matrix.accelerators import accelerator_of
from matrix.facts import order
from matrix.guide.candidates import Candidate
from matrix.guide.rank import SOAK_NIGHTS, Ranked, rank
from matrix.scenarios import Scenario

ENGINES = ("sglang", "vllm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What to set in an environment or in code, because a feature passes."""

    feature: str
    set: str
    why: str
    source: str
    devices: tuple[str, ...] = ()
    unless: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A scenario on one model of device: all that ran there, best first.

    `silent` are those of them in which no required feature was tried.
    """

    scenario: Scenario
    device: str
    device_model: str
    ranked: tuple[Ranked, ...]
    silent: tuple[Candidate, ...]
    index: str

    @property
    def required(self) -> tuple[str, ...]:
        """The features that must pass here."""
        return self.scenario.requires(self.device)

    @property
    def green(self) -> tuple[Ranked, ...]:
        """What may be recommended, best first."""
        return tuple(line for line in self.ranked if line.standing == "green")

    @property
    def best(self) -> Ranked | None:
        """The recommendation; None where nothing measured passes."""
        return self.green[0] if self.green else None

    @property
    def verified(self) -> str:
        """The day of the oldest evidence on a required feature of the recommended cell."""
        found = self.best.candidate.finding if self.best else None
        return min((found(name).verified for name in self.required), default="") if found else ""

    @property
    def install(self) -> str:
        """The command that installs the recommended build, or nothing."""
        if not self.best:
            return ""
        torch, variant = self.best.candidate.torch, self.best.candidate.variant
        default = facts.default_variant(torch) == variant
        index = "" if default else f" --index-url {self.index}/{variant}"
        return f"pip install torch=={torch}{index}"

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What to set: of required features only, and only where they pass."""
        if not self.best:
            return ()
        finding = self.best.candidate.finding
        return tuple(
            setting
            for setting in settings()
            if setting.feature in self.required
            and finding(setting.feature).passes
            and self.device in (setting.devices or (self.device,))
            and not (setting.unless and finding(setting.unless).passes)
        )

    @property
    def cautions(self) -> tuple[tuple[str, str], ...]:
        """Features of the recommended cell that broke, with their verdicts, wrong ones first."""
        found = self.best.candidate.findings if self.best else {}
        broken = [(name, f.verdict) for name, f in found.items() if f.fails]
        return tuple(sorted(broken, key=lambda one: (not one[1].startswith("wrong"), one[0])))

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the recommendation does not rest on, a phrase each."""
        return tuple(_unknown(self, self.best)) if self.best else ()


def advise(
    scenario: Scenario,
    candidates: Iterable[Candidate],
    *,
    today: str,
    known: int,
    index: str,
) -> tuple[Advice, ...]:
    """Advice for each model of device with evidence; devices are never ranked together.

    A cell that never got as far as its device stands with all models it might have been on.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    found = sorted(candidates, key=lambda c: (not c.device_model, c.device, c.device_model))
    for candidate in found:
        fitting = [key for key in groups if key[0] == candidate.device]
        own = (candidate.device, candidate.device_model)
        for key in [own] if candidate.device_model or not fitting else fitting:
            groups.setdefault(key, []).append(candidate)
    advice = []
    for (device, model), members in groups.items():
        needed = scenario.requires(device)
        ranked = rank(scenario, members, today=today, known=known)
        tried = [
            line
            for line in ranked
            if line.candidate.broken or any(name in line.candidate.findings for name in needed)
        ]
        silent = [line.candidate for line in ranked if line not in tried]
        silent.sort(key=lambda candidate: (order(candidate.torch), candidate.cell))
        if ranked:
            made = Advice(
                scenario=scenario, device=device, device_model=model, ranked=tuple(tried),
                silent=tuple(silent), index=index,
            )  # fmt: skip
            advice.append(made)
    return tuple(advice)


@functools.cache
def settings() -> tuple[Setting, ...]:
    """All settings (`settings.toml`)."""
    text = (files(__package__) / "settings.toml").read_text(encoding="utf-8")
    items = tomllib.loads(text)["setting"]
    return tuple(Setting(**{**item, "devices": tuple(item.get("devices", ()))}) for item in items)


def pinned_by(torch: str) -> tuple[str, ...]:
    """Serving engines whose published metadata pins a release, as `sglang 0.5.18 to 0.5.21`."""
    told = []
    for engine in ENGINES:
        releases = sorted(
            (pin.version for pin in facts.pins().values()
             if pin.package == engine and pin.torch == f"=={torch}"),
            key=facts.version,
        )  # fmt: skip
        if releases:
            told.append(f"{engine} {' to '.join(dict.fromkeys([releases[0], releases[-1]]))}")
    return tuple(told)


def counted(number: int, noun: str) -> str:
    """A number of things in words: `1 day`, `3 days`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _unknown(advice: Advice, best: Ranked) -> Iterator[str]:
    seen = best.candidate
    weights = advice.scenario.weights
    blind = [name for name, share in best.shares.items() if weights.get(name) and share is None]
    if blind:
        yield f"not measured here: {', '.join(blind)}"
    timed = {name for line in advice.ranked for name, _ in line.candidate.times}
    if untimed := [name for name in advice.scenario.workloads if name not in timed]:
        yield f"workloads that nobody timed here: {', '.join(untimed)}"
    if best.nights < SOAK_NIGHTS:
        soak = f"{counted(best.runs, 'run')} on {counted(best.nights, 'day')}"
        yield f"how it holds over time: {soak} so far"
    yield from _newer(advice, seen)
    if seen.is_foreign:
        own = ", ".join(_for_device(seen.torch, advice.device)) or "the facts confirm none"
        yield (
            f"{seen.variant} is a build for {seen.accelerator} and ran on a {advice.device}; "
            f"builds for {advice.device}, not run here: {own}"
        )
    elif others := _other_builds(advice, seen):
        yield f"other builds of {seen.torch} for {advice.device}, not run here: {', '.join(others)}"
    if seen.provision == "mounted":
        yield "whether it installs: the interpreter was mounted, not made from a lock"
    build = facts.published(seen.torch).get(seen.variant)
    if build and build.pythons != "none":
        yield f"Pythons other than {seen.python} (wheels: {build.pythons})"
    yield f"any device but {advice.device_model or 'this one'}"


def _newer(advice: Advice, seen: Candidate) -> Iterator[str]:
    """Newer releases that did not run here, and those that ran only as builds for elsewhere."""
    ran: dict[str, set[bool]] = {}
    for line in advice.ranked:
        ran.setdefault(line.candidate.torch, set()).add(line.candidate.is_foreign)
    newer = [torch for torch in _published(advice.device) if order(torch) > order(seen.torch)]
    if missing := [torch for torch in newer if torch not in ran]:
        yield f"newer releases, not run here: {', '.join(missing)}"
    foreign = [torch for torch in ran if ran[torch] == {True} and order(torch) > order(seen.torch)]
    if foreign and not seen.is_foreign:
        told = ", ".join(sorted(foreign, key=order))
        yield f"newer releases, run here only as builds for another device: {told}"


def _other_builds(advice: Advice, seen: Candidate) -> list[str]:
    """Builds of the same release for the same device that nobody ran there."""
    ran = {line.candidate.variant for line in advice.ranked if line.candidate.torch == seen.torch}
    return [v for v in _for_device(seen.torch, advice.device) if v not in ran]


def _published(device: str) -> Sequence[str]:
    return [torch for torch in facts.builds() if _for_device(torch, device)]


def _for_device(torch: str, device: str) -> list[str]:
    """Published builds of a release that are made for a kind of device."""
    owners = {variant: accelerator_of(variant) for variant in facts.published(torch)}
    return [variant for variant, owner in owners.items() if owner and device == owner.NAME]

"""A check as text for a terminal, and as data."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from matrix.check.errors import Annotation
from matrix.check.finding import Finding
from matrix.check.machine import Machine
from matrix.check.nearest import Near, Nearest
from matrix.check.sharing import Sharing
from matrix.reports.marks import mark, tally
from matrix.reports.sheet import hang, heading, sheet, written
from matrix.reports.text import clean

SCHEMA = 1
_LONG = 700
_REDS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """All that one check found."""

    machine: Machine
    findings: tuple[Finding, ...]
    error_given: bool
    annotations: tuple[Annotation, ...]
    nearest: Nearest | None

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be done."""
        return any(finding.is_wrong for finding in self.findings)

    def of(self, *answers: str) -> list[Finding]:
        """Findings by `wrong`, `minor`, `unknown` or `yes`."""
        return [finding for finding in self.findings if _kind(finding) in answers]


def _kind(finding: Finding) -> str:
    if finding.answer == "no":
        return "minor" if finding.said.minor else "wrong"
    return finding.answer


def shared(page: Page, env: Mapping[str, str]) -> Page:
    """The same without what names a person or a machine."""
    sharing = Sharing(env, page.machine.executable)
    found: Page = sharing.value(page)
    return replace(found, machine=replace(found.machine, name="a machine"))


_LOOKS = {
    "wrong": ("✗", "bold red"),
    "minor": ("!", "yellow"),
    "unknown": ("?", "magenta"),
    "yes": ("✓", "green"),
}


def render(page: Page, *, width: int, color: bool) -> str:
    """Write it: what is wrong first, in full; what is well in one line."""
    console = sheet(width, color=color)
    for name, text in _head(page.machine):
        hang(console, Text.assemble((f"{name:<8}", "dim"), clean(text, 200)), indent=0)
    console.print()
    console.print(_sentence(page))
    for finding in page.of("wrong", "minor"):
        _draw(console, finding)
    for kind, word in (("unknown", "unknown"), ("yes", "well")):
        if found := page.of(kind):
            console.print()
            symbol, style = _LOOKS[kind]
            texts = [f"{f.id} ({clean(f.said.evidence, 80)})" if kind == "unknown" else f.id
                     for f in found]  # fmt: skip
            line = Text.assemble((f"{symbol} {word}: ", style), ", ".join(dict.fromkeys(texts)))
            hang(console, line, indent=0)
    _draw_annotations(console, page)
    _draw_nearest(console, page)
    return written(console)


def _head(machine: Machine) -> Iterator[tuple[str, str]]:
    """What was looked at, in a few lines."""
    parts = [f"Python {machine.python}" if machine.python else "", machine.executable]
    system = [machine.name, machine.os, *_system(machine)]
    yield "machine", ", ".join(filter(None, system))
    if any(parts):
        yield "python", ", ".join(filter(None, parts))
    for devices in machine.devices.values():
        names = [gpu.name + (f" ({gpu.arch})" if gpu.arch else "") for gpu in devices.gpus]
        told = [f"{names.count(n)}× {n}" if names.count(n) > 1 else n for n in dict.fromkeys(names)]
        driver = f"driver {devices.driver}" if devices.driver else "driver not known"
        yield "gpu", ", ".join([*told, driver])
    if not machine.devices:
        yield "gpu", "none" if machine.absent else "not known"
    yield "torch", _torch(machine)


def _system(machine: Machine) -> list[str]:
    glibc = f"glibc {machine.glibc}" if machine.glibc else ""
    return [machine.architecture, glibc]


def _torch(machine: Machine) -> str:
    if not machine.torch:
        return "none" if machine.packages is not None and not machine.recorded else "not known"
    cuda = f"CUDA {machine.cuda}" if machine.cuda else ""
    return ", ".join(filter(None, [machine.torch, machine.variant, cuda]))


def _sentence(page: Page) -> Text:
    words = {"wrong": "wrong", "minor": "limiting", "unknown": "unknown", "yes": "well"}
    counts = {kind: len(page.of(kind)) for kind in words}
    told = ", ".join(f"{count} {words[kind]}" for kind, count in counts.items() if count)
    worst = next((kind for kind in words if counts[kind]), "unknown")
    return Text(f"{_LOOKS[worst][0]} {told}", style=f"{_LOOKS[worst][1]}")


def _draw(console: Console, finding: Finding) -> None:
    symbol, style = _LOOKS[_kind(finding)]
    said = finding.said
    console.print()
    subject = f" {clean(said.subject, 60)}" if said.subject else ""
    head = Text.assemble((f"{symbol} {finding.id}{subject}", style), (f"  {said.basis}", "dim"))
    console.print(head)
    told = Text.assemble(clean(said.evidence, _LONG), (f" [{clean(said.source, 160)}]", "dim"))
    console.print(Padding(told, (0, 0, 0, 4)))
    if said.fix:
        _command(console, said.fix)


def _command(console: Console, command: str, word: str = "fix") -> None:
    """A command in one piece, so that it can be copied, however long."""
    line = Text.assemble((f"    {word}: ", "bold"), clean(command, len(command)))
    console.print(line, soft_wrap=True)


def _draw_annotations(console: Console, page: Page) -> None:
    if not page.error_given:
        return
    heading(console, "The error's text", "known causes; it decides nothing")
    if not page.annotations:
        console.print("    nothing in it is known")
    for one in page.annotations:
        console.print()
        hang(console, Text(clean(one.line), style="dim"), indent=2)
        texts = [("cause", one.cause), *(("here", text) for text in one.here), ("fix", one.fix)]
        for word, text in texts:
            source = f" [{one.source}]" if word == "cause" else ""
            line = Text.assemble((f"{word}: ", "bold"), clean(text, _LONG), (source, "dim"))
            console.print(Padding(line, (0, 0, 0, 4)))


def _draw_nearest(console: Console, page: Page) -> None:
    heading(console, "Nearest tested cell", "measured")
    if page.nearest is None:
        console.print("    nothing was measured here yet: not known")
        return
    _draw_near(console, page.nearest.near)
    green = page.nearest.green
    if green is None:
        text = f"of {page.nearest.cells} measured cells, none that this machine can run is "
        console.print(Padding(Text(f"{text}without a failure"), (0, 0, 0, 4)))
        return
    if green != page.nearest.near:
        heading(console, "Nearest without a failure", "measured")
        _draw_near(console, green)
    for text in page.nearest.more:
        console.print(Padding(Text(f"but {clean(text)}", style="yellow"), (0, 0, 0, 4)))
    if page.nearest.change:
        _command(console, page.nearest.change, "to it")


def _draw_near(console: Console, near: Near) -> None:
    tested = near.tested
    place = " ".join(filter(None, [tested.device, tested.device_model]))
    console.print(Padding(Text(f"{tested.cell} on {place}, {tested.day}", style="bold"),
                          (0, 0, 0, 4)))  # fmt: skip
    console.print(Padding(Text(tally(tested.counts)), (0, 0, 0, 4)))
    for red in tested.red[:_REDS]:
        look = mark(red.verdict)
        line = Text.assemble((f"{look} {red.feature}", look.style), f" {clean(red.reason, 110)}")
        console.print(Padding(line, (0, 0, 0, 6)))
    if len(tested.red) > _REDS:
        console.print(Padding(Text(f"and {len(tested.red) - _REDS} more"), (0, 0, 0, 6)))
    differs = [f"{a.name} {a.there} (here {a.here or 'not known'})" if a.name != "provision"
               else a.there for a in near.axes]  # fmt: skip
    told = f"differs from here in {'; '.join(differs)}" if differs else "is what is here"
    console.print(Padding(Text(told, style="dim"), (0, 0, 0, 4)))


def as_json(page: Page) -> dict[str, Any]:
    """The same for machines."""
    machine = asdict(replace(page.machine, packages=None, environment=None))
    machine["absent"] = sorted(page.machine.absent)
    machine["packages"] = {n: p.version for n, p in (page.machine.packages or {}).items()}
    machine["environment"] = dict(page.machine.environment or {})
    return {
        "schema": SCHEMA,
        "wrong": page.is_wrong,
        "machine": {**machine, "torch": page.machine.torch, "variant": page.machine.variant},
        "findings": [{"id": f.id, "question": f.question, **asdict(f.said)} for f in page.findings],
        "annotations": [asdict(one) for one in page.annotations] if page.error_given else None,
        "nearest": asdict(page.nearest) if page.nearest else None,
    }

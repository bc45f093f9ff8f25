"""The user's own flags: checked against the release, and what they decide in our place."""

from collections.abc import Iterable, Iterator, Sequence

from matrix.adapt.choices.parallel import TENSOR
from matrix.adapt.flagset import FlagSet
from matrix.adapt.settings import Decision, Left, Setting
from matrix.errors import InputError

_DECIDES = {
    "quantization": ("--quantization", "--dtype", "--torchao", "--modelopt"),
    "kv cache": ("--kv-cache-dtype",),
    "attention": ("--attention-", "--decode-attention-", "--prefill-attention-", "--speculative-"),
    "parallel": ("--tp-", "--tensor-parallel-", "--dp-", "--data-parallel-", "--pp-", "--ep-",
                 "--pipeline-parallel-", "--attn-dp-", "--enable-dp-attention"),
    "cuda graphs": ("--cuda-graph-", "--cudagraph-", "--max-cudagraph-", "--disable-cuda-graph",
                    "--disable-decode-cuda-graph", "--enforce-eager", "--compilation-config"),
    "torch.compile": ("--enable-torch-compile",),
}  # fmt: skip
"""Choice → beginnings of the flags that take it out of our hands."""


def parse(flags: FlagSet, words: Sequence[str]) -> tuple[list[Setting], list[str]]:
    """The user's flags as settings, with every mistake in them."""
    found: list[Setting] = []
    problems: list[str] = []
    for name, values in _grouped(words):
        try:
            flag = flags.find(name)
        except InputError as error:
            problems += error.problems
            continue
        if why := flag.refusal(values):
            problems.append(why)
            continue
        reason = "given with the command"
        if flag.status:
            reason += f"; the release calls it {flag.status}"
            reason += f", in favour of `{flag.instead}`" if flag.instead else ""
        if name not in {flag.name, *flag.aliases}:
            reason += f" as `{name}`"
        found.append(Setting(choice="given", name=flag.name, values=tuple(values), reason=reason,
                             kind="given", source=flags.source))  # fmt: skip
    return found, problems


def _grouped(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """`--a 1 2 --b=3` → (--a, [1, 2]), (--b, [3]); a leading value stands for a flag."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if not groups or (word.startswith("-") and not word[1:2].isdigit()):
            name, equals, value = word.partition("=")
            groups.append((name, [value] if equals else []))
        else:
            groups[-1][1].append(word)
    return iter(groups)


def ranks(flags: FlagSet, own: Sequence[Setting]) -> int:
    """The tensor parallel size that the user gave, or 0."""
    flag = flags.first(TENSOR)
    names = {flag.name, *TENSOR} if flag else set()
    return next((int(one.values[0]) for one in own if one.name in names), 0)


def over(decisions: Iterable[Decision], own: Sequence[Setting]) -> Iterator[Decision]:
    """Ours where the user's flags do not decide, then the user's."""
    for one in decisions:
        by = _decider(one.choice, own) if isinstance(one, Setting) else None
        if by is not None and isinstance(one, Setting):
            instead = "" if by.text == one.text else f", so not `{one.text}`"
            yield Left(choice=one.choice, reason=f"`{by.text}` is given{instead}",
                       kind="given", source="the command")  # fmt: skip
        else:
            yield one
    yield from own


def _decider(choice: str, own: Sequence[Setting]) -> Setting | None:
    kind = "parallel" if choice.endswith("parallel") else choice
    return next((one for one in own if decides(one, kind)), None)


def decides(one: Setting, choice: str) -> bool:
    """Whether a flag of the user's takes a choice out of our hands."""
    return one.name.startswith(_DECIDES.get(choice, ("\0",)))

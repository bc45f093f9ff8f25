"""Whether released wheels take what `adapt` sets: their definitions read again, beside the tables.

    .venv/bin/python benchmarks/adapt_wheels.py [sglang==0.5.23 vllm==0.33.0 …]

Of each wheel on the configured index only the files that define flags are fetched. Figures: flags
read now and in the table, plans made, command lines refused; anything but 0 is a mistake.
"""

import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from matrix.accelerators.models import models
from matrix.adapt import Plan, plan
from matrix.adapt.situation import Served
from matrix.errors import InputError
from matrix.facts.definitions import read_flags
from matrix.facts.enginereads import read_variables
from matrix.facts.flags import Flag, flags_of, variables_of
from matrix.facts.listings import Listing, by_release, chosen
from matrix.registry import listings

SHOWN = ["sglang==0.4.0", "sglang==0.5.12", "sglang==0.5.19", "sglang==0.5.23", "vllm==0.33.0"]
CARDS = ("H200", "H100", "B200", "L40S", "A100-80GB", "T4", "MI300X", "MI250", "MI355X")
MODEL = {"parameters": 70e9, "heads": 64, "kv_heads": 8, "hidden": 8192}


def plans(engine: str, release: str) -> Iterator[Plan | None]:
    """Plans for cards, dtypes, KV dtypes, attention and goals; None for what is refused."""
    wishes = product(
        CARDS, ("auto", "bf16", "fp8", "int8", "fp4"), ("auto", "fp8", "fp4"),
        ("auto", "mha", "mla"), ("latency", "throughput"), ({}, MODEL),
    )  # fmt: skip
    for gpu, weights, kv, attention, goal, model in wishes:
        wished = Served(weights=weights, kv=kv, attention=attention, goal=goal, **model)
        torch = "2.14.1+cu130" if models()[gpu].accelerator == "cuda" else "2.11.0+rocm7.2"
        try:
            yield plan(engine=engine, release=release, gpu=gpu, gpus=8, torch=torch, served=wished)
        except InputError:
            yield None


def refused(made: Plan, by_name: dict[str, Flag], variables: frozenset[str]) -> list[str]:
    """The settings that these definitions do not take."""
    wrong = []
    for one in made.settings:
        flag = by_name.get(one.name)
        if one.is_flag:
            known = flag is not None and not flag.refusal(one.values)
            named = flag is not None and (not flag.values or set(one.values) <= set(flag.values))
            wrong += [] if known and (named or flag.takes == "int") else [one.text]
        elif one.name.startswith(made.situation.engine.upper()) and one.name not in variables:
            wrong.append(one.text)
    return wrong


def check(engine: str, release: str, listing: Listing) -> int:
    """Print one line; returns the number of mistakes."""
    own = dict(by_release(listing.files))[release]
    with listing.members(chosen(own).file) as read:
        if read is None:
            print(f"{engine} {release}: its wheel cannot be read")
            return 1
        now = {flag.name: flag for flag in read_flags(engine, read)}
        variables = frozenset(read_variables(engine, read))
    table = flags_of(engine, release)
    differ = [name for name in now.keys() | table.keys() if now.get(name) != table.get(name)]
    differ += variables ^ variables_of(engine, release)
    by_name = {name: flag for flag in now.values() for name in (*flag.aliases, flag.name)}
    made = list(plans(engine, release))
    wrong = {text for one in made if one for text in refused(one, by_name, variables)}
    print(
        f"{engine} {release}: {len(now)} flags and {len(variables)} variables read, "
        f"{len(differ)} unlike the table; {sum(one is not None for one in made)} plans, "
        f"{made.count(None)} wishes refused; {len(wrong)} settings that the wheel does not take"
        f"{': ' + ', '.join(sorted(wrong)) if wrong else ''}"
    )
    return len(differ) + len(wrong)


def main() -> int:
    """Check the named releases, or those of the project's promises."""
    wanted = sys.argv[1:] or SHOWN
    found: dict[str, Listing] = {}
    mistakes = 0
    for name in wanted:
        engine, _, release = name.partition("==")
        if engine not in found:
            answered = (one for one in listings(engine, os.environ) if one.files)
            found[engine] = next(answered)
        mistakes += check(engine, release, found[engine])
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())

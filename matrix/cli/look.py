"""Commands that only look: `list`, `plan`, `explain`, `render`, `schema`."""

import argparse
import sys

from matrix import errors
from matrix.cli.common import check, fresh_line, planned
from matrix.cli.printing import print_json
from matrix.shards import Shard, split
from matrix.workspace import Workspace


def list_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the cells of a profile, and what is no cell."""
    check(arguments, workspace)
    profile = workspace.profile(arguments.profile)
    if arguments.all and not arguments.select:
        cells = workspace.expansion.cells
    else:
        cells = workspace.cells(profile, arguments.select)
    excluded = workspace.expansion.excluded
    if arguments.json:
        print_json({
            "cells": [dict(cell.fields) for cell in cells],
            "excluded": [
                {"id": e.id, "rule": e.rule, "reason": e.reason, "source": e.source, "date": e.date}
                for e in excluded
            ],
        })  # fmt: skip
        return errors.OK
    for cell in cells:
        note = "" if cell.device == cell.accelerator else f"  (tests run on {cell.device})"
        print(f"{cell.id}{note}")
    if excluded:
        print(f"\n{len(excluded)} combination(s) are no cell:", file=sys.stderr)
    for item in excluded:
        print(f"  {item.id}: {item.rule}: {item.reason}", file=sys.stderr)
    return errors.OK


def plan_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print what `run` would do, and with `--shards` how several machines would share it."""
    plan, setup = planned(arguments, workspace)
    setup.close()
    shards: tuple[Shard, ...] = ()
    if arguments.shards is not None:
        shards = split(
            list({job.cell.id: job.cell for job in plan.jobs}.values()), arguments.shards
        )
    if arguments.json:
        told = [shard.as_json() for shard in shards]
        more = {} if arguments.shards is None else {"shards": told}
        print_json({**setup.as_json(), **plan.as_json(), **more})
        return errors.OK
    for job in plan.jobs:
        for run in job.suites:
            what = f"no-runner: {job.no_runner}" if job.no_runner else f"about {run.estimate:.0f} s"
            print(f"run    {job.cell.id} {job.execution} {run.suite.name}: {run.why}; {what}")
    for fresh in plan.fresh:
        print(fresh_line(fresh.entry))
    for shard in shards:
        print(f"shard  {shard.name}: {', '.join(cell.id for cell in shard.cells)}")
    print(setup.describe(), file=sys.stderr)
    print(
        f"{len(plan.jobs)} job(s) on {plan.slots} slot(s), about {plan.estimate / 60:.0f} min; "
        f"{len(plan.fresh)} fresh; {len(plan.excluded)} excluded",
        file=sys.stderr,
    )
    return errors.OK


def explain_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print what an id is, with its source."""
    line, data = workspace.explain(arguments.id)
    if arguments.json:
        print_json(data)
    else:
        print(line)
        print(f"source: {data['source']}" + (f" ({data['date']})" if data["date"] else ""))
    return errors.OK


def render_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print or write Dockerfiles or Compose files."""
    check(arguments, workspace)
    profile = workspace.profile(arguments.profile)
    cells = workspace.cells(profile, arguments.select)
    if arguments.compose:
        from matrix.cli.compose import compose_files

        suffix, texts = "compose.yaml", compose_files(arguments, workspace, cells)
    else:
        from matrix.render import render

        suites = workspace.suites(profile, ())
        suffix = "classic.Dockerfile" if arguments.classic else "Dockerfile"
        texts = {
            cell.id: render(
                cell,
                workspace.definition,
                suites=suites,
                env=workspace.env,
                mounts=not arguments.classic,
            )
            for cell in cells
        }
    if arguments.json:
        print_json(texts)
    for cell_id, text in texts.items():
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{cell_id}.{suffix}").write_text(text, encoding="utf-8")
        elif not arguments.json:
            print(text)
    return errors.OK


def schema_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the JSON schema of matrix.toml."""
    del arguments, workspace
    from matrix.schema import json_schema

    print_json(json_schema())
    return errors.OK

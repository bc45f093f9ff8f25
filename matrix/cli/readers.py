"""Arguments of the commands that read evidence and facts, and that bring them together."""

from pathlib import Path

from matrix.cli.cache import add_cache
from matrix.cli.claims import FORMATS, claims_command
from matrix.cli.diff import diff_command
from matrix.cli.history import history_command
from matrix.cli.issues import issues_command
from matrix.cli.merge import merge_command
from matrix.cli.options import Add
from matrix.cli.sync import sync_command


def add_readers(add: Add) -> None:
    """Add each command to the command line."""
    text = "say since when a feature passes and where it broke, or what a workload's numbers did"
    sub = add("history", history_command, [], text)
    sub.add_argument("name", metavar="FEATURE", help="a feature, or a workload")
    sub = add("diff", diff_command, [], "say what changed from one run to another")
    what = "a run id, `latest`, `latest~1`, the path of a bundle or of a folder of bundles"
    first = f"{what} (default: the newest that ran some of what `latest` did)"
    sub.add_argument("before", nargs="?", metavar="RUN", help=first)
    sub.add_argument("now", nargs="?", default="latest", metavar="RUN", help="the same")
    sub.add_argument("--format", choices=("terminal", "markdown"), default="terminal",
                     help="markdown: for an issue or a step summary")  # fmt: skip
    sub.add_argument("--fail-on", choices=("new", "any", "never"), default="new",
                     help="which wrong results make the exit code 1")  # fmt: skip
    text = "say since which release features pass where, and when that was last verified"
    sub = add("claims", claims_command, [], text)
    sub.add_argument("--feature", action="append", default=[], help="only this one; repeatable")
    sub.add_argument("--select", action="append", default=[], metavar="SELECTION",
                     help="only of these cells, such as device==cuda; repeatable")  # fmt: skip
    sub.add_argument("--format", choices=FORMATS, default="terminal",
                     help="constraint: a line for pip; badge: JSON for shields.io")  # fmt: skip
    sub.add_argument("--strict", action="store_true",
                     help="a constraint that leaves out what is unknown")  # fmt: skip
    text = "say which issues to open and close after a night, one per root cause"
    sub = add("issues", issues_command, [], text)
    sub.add_argument("--known", type=Path, metavar="FILE",
                     help="JSON: number, state and body of those there are")  # fmt: skip
    sub = add("merge", merge_command, [], "take bundles of other machines in")
    sub.add_argument("sources", nargs="+", metavar="SOURCE",
                     help="a folder, a zip or tar archive, or an fsspec URL of one")  # fmt: skip
    sub.add_argument(
        "--into", type=Path, help="folder of runs (default: local/runs of the results)"
    )
    text = "show what package indexes list that the facts do not have, as a diff"
    sub = add("sync", sync_command, [], text)
    sub.add_argument("--package", action="append", default=[],
                     help="only torch, or this companion; repeatable")  # fmt: skip
    sub.add_argument("--write", action="store_true", help="add it; nothing is ever removed")
    add_cache(add)

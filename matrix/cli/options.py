"""Options that all commands have, and how a command is added: nothing here takes time to import."""

import argparse
from collections.abc import Callable
from pathlib import Path

Add = Callable[[str, object, list[argparse.ArgumentParser], str], argparse.ArgumentParser]


def common_options() -> argparse.ArgumentParser:
    """Where the matrix file and the results are, and how to print."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--file", type=Path, default=Path("matrix.toml"), help="the matrix file")
    common.add_argument("--results", type=Path, help="results folder (default: beside the file)")
    common.add_argument("--json", action="store_true", help="machine-readable output on stdout")
    return common

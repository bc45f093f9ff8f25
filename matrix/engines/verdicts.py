"""What a build step that failed says: something about the cell, or about the machine."""

import re

from matrix.engines.builder import StepFailed

_DISK = re.compile(r"no space left on device|os error 28", re.IGNORECASE)
# uv's and apt's words for a network, a name, a certificate or an index that was not there
_NETWORK = re.compile(
    r"failed to fetch|error sending request|dns error|temporary failure|could not resolve|"
    r"connection (?:refused|reset|timed out)|operation timed out|certificate|"
    r"failed to connect|request failed|failed to download|network timeout|response body",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"no solution found|there (?:is|are) no versions? of", re.IGNORECASE)
# steps before anything of the cell is there
_BASE_STEPS = ("useradd", 'get_path("include")', "uv venv")
_NO_SHELL_COMMAND, _KILLED = 127, 137


def verdict(failed: StepFailed, base: str) -> tuple[str, str]:
    """Verdict of the cell and the reason, with the last words of the step."""
    words = " ".join(failed.words[-6:])
    if len(words) > 500:  # noqa: PLR2004  one line of a table
        words = f"… {words[-500:]}"
    words = words or f"it ended with code {failed.code}"
    if _DISK.search(words):
        return "infra", f"the engine's disk is full: {words}; `docker system df` says of what"
    if failed.code == _KILLED:
        return "infra", f"a build step was killed, perhaps for memory: {words}"
    if any(mark in failed.step for mark in _BASE_STEPS):
        return "infra", _base_lacks(failed, words, base)
    if "uv pip install" in failed.step and _NETWORK.search(words):
        return "infra", f"the indexes cannot be reached from a build: {words}"
    if "uv pip install" in failed.step and _ABSENT.search(words):
        return "infra", f"a build does not find what the lock found on this machine: {words}"
    return "build-failed", words


def _base_lacks(failed: StepFailed, words: str, base: str) -> str:
    if "python" in words and (failed.code == _NO_SHELL_COMMAND or "interpreter" in words.lower()):
        return f"the base {base} lacks this cell's Python: {words}; name another one in [images]"
    if _NETWORK.search(words) or "apt-get" in words or "Unable to" in words:
        return (
            f"the base {base} has no compiler, and the build could not fetch one: {words}; name a "
            "base that has g++ and Python's headers in [images]"
        )
    return f"the base {base} cannot be built on: {words}"

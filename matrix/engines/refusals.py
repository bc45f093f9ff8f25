"""Why an engine did not start a container: each of its texts as one sentence and what to do.

The texts are those of engines 20.10 to 28, as they were seen there.
"""

from docker.errors import APIError

from matrix.accelerators import ACCELERATORS
from matrix.accelerators.devices import Refusal
from matrix.accelerators.devices import explain as sentence_of


class StartRefused(Exception):  # noqa: N818  it carries a verdict
    """The engine did not start a container; never evidence about what would have run in it."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(f"{verdict}: {reason}")
        self.verdict = verdict
        self.reason = reason


# settings or machines at fault
_FAULTS: tuple[Refusal, ...] = (
    Refusal(
        r"(?i:unable to find group) (?P<what>\S+?):",
        "the image has no group `{what}`; give its number on the engine's machine "
        "(`getent group {what}`) in the runner's settings",
    ),
    Refusal(
        r"No such image: (?P<what>\S+)",
        "the image `{what}` is not on the engine any more; run again, which makes it again",
    ),
    Refusal(
        r"bind source path does not exist: (?P<what>\S+)",
        "the engine's machine has no `{what}`; what is mounted must lie there, so use an engine of "
        "this machine",
    ),
    Refusal(
        r'exec: "docker-init"',
        "the engine's machine has no `docker-init`; install it beside dockerd (it is `tini-static` "
        "of Debian's package `tini`)",
    ),
    Refusal(
        r'(?:exec: "|exec )(?P<what>[^"\s]+)(?:"| failed: No such file)',
        "the image has no `{what}` that runs; for a mounted interpreter it needs the libraries "
        "that the interpreter was built with",
    ),
    Refusal(
        r"Requested CPUs are not available",
        "the engine may not use the processors that were asked for; give fewer slots",
    ),
    Refusal(
        r"no space left on device",
        "the engine's disk is full; `docker system df` says of what",
    ),
)
# devices that no vendor's module knows
_DEVICES: tuple[Refusal, ...] = (
    Refusal(
        r"(?:unknown or invalid runtime name:|Unknown runtime specified) (?P<what>\S+)",
        "the engine has no runtime `{what}`; correct the runner's settings",
    ),
    Refusal(
        r'gathering device information while adding custom device "(?P<what>[^"]+)"',
        "the engine's machine has no device `{what}`; load the driver, or correct the runner's "
        "settings",
    ),
)


def explain(error: APIError) -> StartRefused:
    """The refusal that an engine's error is; one that nobody knows yet is given as it is."""
    text = " ".join(str(error.explanation or error).split())
    if sentence := sentence_of(_FAULTS, text):
        return StartRefused("infra", sentence)
    told = (accelerator.explain_refusal(text) for accelerator in ACCELERATORS.values())
    if sentence := next(filter(None, told), None) or sentence_of(_DEVICES, text):
        return StartRefused("no-runner", sentence)
    return StartRefused("infra", f"the engine did not start the container: {text[:300]}")

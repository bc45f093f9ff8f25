"""Why an engine did not start a container: each of its texts as one sentence and what to do.

The texts are those of engines 20.10 to 28, as they were seen there.
"""

import re

from docker.errors import APIError


class StartRefused(Exception):  # noqa: N818  it carries a verdict
    """The engine did not start a container; never evidence about what would have run in it."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(f"{verdict}: {reason}")
        self.verdict = verdict
        self.reason = reason


_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r'could not select device driver "cdi"',
        "no-runner",
        "this engine gives no devices by CDI; it needs version 28, or 25 with the feature `cdi` on",
    ),
    (
        r"unresolvable CDI devices (?P<what>\S+)",
        "no-runner",
        (
            "the engine's machine has no CDI device `{what}`; `nvidia-ctk cdi generate` or "
            "`amd-ctk cdi generate` describes its GPUs there"
        ),
    ),
    (
        r'could not select device driver "(?P<what>[^"]*)" with capabilities',
        "no-runner",
        (
            "the engine cannot give GPUs to containers; install the NVIDIA container toolkit on "
            "its machine, or name device nodes and the driver's folder in the runner's settings"
        ),
    ),
    (
        r"(?:unknown or invalid runtime name:|Unknown runtime specified) (?P<what>\S+)",
        "no-runner",
        "the engine has no runtime `{what}`; `nvidia-ctk runtime configure` adds NVIDIA's",
    ),
    (
        r"(?P<what>nvidia-container-cli: [^\n]{1,200})",
        "no-runner",
        (
            "NVIDIA's toolkit gives no GPU ({what}); see that `nvidia-smi` works on the engine's "
            "machine"
        ),
    ),
    (
        r'gathering device information while adding custom device "(?P<what>[^"]+)"',
        "no-runner",
        (
            "the engine's machine has no device `{what}`; load the driver, or correct the runner's "
            "settings"
        ),
    ),
    (
        r"Unable to find group (?P<what>\S+?):",
        "infra",
        (
            "the image has no group `{what}`; give its number on the engine's machine "
            "(`getent group {what}`) in the runner's settings"
        ),
    ),
    (
        r"No such image: (?P<what>\S+)",
        "infra",
        "the image `{what}` is not on the engine any more; run again, which makes it again",
    ),
    (
        r"bind source path does not exist: (?P<what>\S+)",
        "infra",
        (
            "the engine's machine has no `{what}`; what is mounted must lie there, so use an "
            "engine of this machine"
        ),
    ),
    (
        r'exec: "(?P<what>[^"]+)"|exec (?P<path>\S+) failed: No such file',
        "infra",
        (
            "the image has no `{what}` that runs; for a mounted interpreter it needs the libraries "
            "that the interpreter was built with"
        ),
    ),
    (
        r"Requested CPUs are not available",
        "infra",
        "the engine may not use the processors that were asked for; give fewer slots",
    ),
    (
        r"(?P<what>no space left on device)",
        "infra",
        "the engine's disk is full; `docker system df` says of what",
    ),
)


def explain(error: APIError) -> StartRefused:
    """The refusal that an engine's error is; one that nobody knows yet is given as it is."""
    text = " ".join(str(error.explanation or error).split())
    for pattern, verdict, sentence in _REFUSALS:
        if found := re.search(pattern, text, re.IGNORECASE):
            groups = found.groupdict()
            what = groups.get("what") or groups.get("path") or ""
            return StartRefused(verdict, sentence.format(what=what))
    return StartRefused("infra", f"the engine did not start the container: {text[:300]}")

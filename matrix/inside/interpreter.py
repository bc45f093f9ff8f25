"""What an interpreter has: its distributions with what they require, and torch as it loads.

Called by `check` on any interpreter, also on one whose torch ends or hangs the process: what is
known without torch is written first.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
import time
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Tuple

from matrix.inside.probe import of_python, write
from matrix.inside.process import end_with_parent

if TYPE_CHECKING:
    from types import ModuleType

LIBRARIES = (
    "libcuda.so",
    "libcudart",
    "libcublas",
    "libcudnn",
    "libnccl",
    "libnvrtc",
    "libnvJitLink",
    "libcusparse",
    "libcufft",
    "libcusolver",
    "libamdhip64",
    "librccl",
)
ENDED = "importing torch ended the process"

Facts = Dict[str, Any]


def main(argv: List[str]) -> int:
    """Write what there is to ``argv[0]``; 1 if torch is there and does not import."""
    (out,) = argv
    end_with_parent(signal.SIGKILL)
    found = of_python()
    packages, twice = distributions(sys.path)
    found.update(
        packages=packages,
        twice=twice,
        cc=_cc(),
        headers=os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
        libraries=_on_path(os.environ.get("LD_LIBRARY_PATH", "")),
        torch=None,
    )
    if find_spec("torch") is None:
        write(out, found)
        return 0
    write(out, {**found, "torch": {"import_error": ENDED}})
    found["torch"] = load()
    write(out, found)
    return 1 if found["torch"]["import_error"] else 0


def load() -> Facts:
    """Import torch, and say what it is and whether it reaches a device."""
    began = time.monotonic()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            import torch  # noqa: PLC0415 - this may end the process
    except BaseException as error:  # noqa: BLE001 - a library's initialiser may raise anything
        return {"import_error": "{}: {}".format(type(error).__name__, error)}
    seconds = time.monotonic() - began
    errors: List[str] = []
    with warnings.catch_warnings(record=True) as more:
        warnings.simplefilter("always")
        found = of_torch(torch, errors)
    texts = [str(warning.message) for warning in [*told, *more]]
    return {**found, "import_error": "", "seconds": seconds, "warnings": texts, "errors": errors}


def of_torch(torch: ModuleType, errors: List[str]) -> Facts:
    """What torch says of itself; what it cannot say is null and an error."""

    def ask(what: str, question: Callable[[], object]) -> object:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - one odd answer must not cost the others
            errors.append("{}: {}: {}".format(what, type(error).__name__, error))
            return None

    version = ask("version", lambda: torch.version)
    return {
        "version": str(getattr(torch, "__version__", "")),
        "file": str(getattr(torch, "__file__", "")),
        "cuda": getattr(version, "cuda", None),
        "hip": getattr(version, "hip", None),
        "rocm": getattr(version, "rocm", None),
        "cxx11_abi": ask("cxx11_abi", lambda: bool(torch.compiled_with_cxx11_abi())),
        "available": ask("is_available", lambda: bool(torch.cuda.is_available())),
        "arch_list": ask("arch_list", lambda: _archs(torch)),
        "loaded": loaded(),
    }


def _archs(torch: ModuleType) -> List[str]:
    """The architectures this build has code for; the public function needs a device."""
    flags = getattr(torch._C, "_cuda_getArchFlags", None)  # noqa: SLF001 - as said
    return list((flags() or "").split() if flags else torch.cuda.get_arch_list())


def loaded(maps: str = "/proc/self/maps") -> List[str]:
    """Files of the accelerator's libraries that this process has loaded."""
    found = set()
    try:
        with open(maps, encoding="utf-8", errors="replace") as file:
            for line in file:
                path = line[line.find("/") :].strip() if "/" in line else ""
                if os.path.basename(path).startswith(LIBRARIES):
                    found.add(path)
    except OSError:
        pass
    return sorted(found)


def _on_path(variable: str) -> List[str]:
    """Libraries that the loader would find before those that the wheels bring."""
    found = []
    for folder in filter(os.path.isdir, variable.split(os.pathsep)):
        names = sorted(os.listdir(folder))
        found += [os.path.join(folder, n) for n in names if n.startswith(LIBRARIES)]
    return found


def _cc() -> str:
    """The C compiler that Triton would take, or nothing."""
    names = [os.environ.get("CC", ""), "gcc", "clang", "cc"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), "")


def distributions(folders: List[str]) -> Tuple[Dict[str, Facts], Dict[str, List[str]]]:
    """Installed distributions by normalised name; and all versions of those a folder holds twice.

    Only the head of each METADATA is read: `importlib.metadata` parses the whole.
    """
    found: Dict[str, Facts] = {}
    twice: Dict[str, List[str]] = {}
    for folder in dict.fromkeys(filter(os.path.isdir, folders)):
        here: Dict[str, Facts] = {}
        for entry in sorted(os.listdir(folder)):
            if not entry.endswith((".dist-info", ".egg-info")):
                continue
            one = _distribution(os.path.join(folder, entry))
            if not one["version"]:
                continue
            if one["name"] in here:
                before = twice.setdefault(one["name"], [here[one["name"]]["version"]])
                before.append(one["version"])
            here[one["name"]] = one
        for name, one in here.items():
            # the first one on the path is the one that is imported
            found.setdefault(name, one)
    return dict(sorted(found.items())), twice


def _distribution(path: str) -> Facts:
    stem = os.path.basename(path).rpartition(".")[0]
    name, _, version = stem.partition("-")
    one: Facts = {"name": name, "version": version.partition("-")[0], "requires": None}
    file = path if os.path.isfile(path) else os.path.join(path, "METADATA")
    if not os.path.isfile(file):
        file = os.path.join(path, "PKG-INFO")
    fields = list(_head(file))
    if fields:
        listed = [value for key, value in fields if key == "requires-dist"]
        # an egg has them elsewhere: unknown is not none
        one["requires"] = listed if listed or path.endswith(".dist-info") else None
        one.update({key: value for key, value in fields if key in ("name", "version")})
        one["python"] = next((value for key, value in fields if key == "requires-python"), "")
    one["name"] = one["name"].replace("_", "-").replace(".", "-").lower()
    one["tags"] = [value for key, value in _head(os.path.join(path, "WHEEL")) if key == "tag"]
    one["origin"] = _origin(os.path.join(path, "direct_url.json"))
    return one


def _head(path: str) -> Iterator[Tuple[str, str]]:
    """Fields before the first empty line, their names in lower case."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                # a line of blanks goes on with a licence's text; an empty one ends the head
                if line in ("\n", ""):
                    return
                key, colon, value = line.partition(":")
                if colon and not line[0].isspace():
                    yield key.strip().lower(), value.strip()
    except OSError:
        return


def _origin(path: str) -> str:
    """The name of the file it was installed from, where that was no index's."""
    import json  # noqa: PLC0415 - few distributions have it

    try:
        with open(path, encoding="utf-8") as file:
            url = json.load(file)["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(url).rpartition("/")[2]

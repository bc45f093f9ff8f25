"""Where the time of a test goes: compiling, waiting for child processes, importing; the rest is it.

Measured around the few functions through which all of that passes, in the main thread; of what is
nested the outermost counts, so that the parts never add up to more than the whole.
"""

from __future__ import annotations

import functools
import importlib.machinery
import multiprocessing.process
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

KINDS = ("compiling", "children", "importing")
# module -> its function under which everything is compiled; patched when the module is imported
COMPILERS = {
    "torch._dynamo.convert_frame": "_compile",
    "torch._inductor.compile_fx": "compile_fx",  # also without Dynamo: AOTInductor
    "triton.compiler.compiler": "compile",
}


class Costs:
    """Seconds by kind since the last :meth:`clear`."""

    def __init__(self) -> None:
        self._busy = False
        self.clear()

    def clear(self) -> None:
        """Begin a test."""
        self.seconds: Dict[str, float] = dict.fromkeys(KINDS, 0.0)

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """Count the time until the end of the block, unless it is within another one."""
        if self._busy or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._busy = True
        begun = time.monotonic()
        try:
            yield
        finally:
            self._busy = False
            self.seconds[kind] += time.monotonic() - begun


COSTS = Costs()


def watch() -> None:
    """Count from now on, in this process."""
    for owner in (subprocess.Popen, multiprocessing.process.BaseProcess):
        for name in ("wait", "communicate", "join"):
            if hasattr(owner, name):
                _count(owner, name, "children")
    load = importlib.machinery.SourceFileLoader.exec_module

    @functools.wraps(load)
    def exec_module(self: importlib.machinery.SourceFileLoader, module: Any) -> None:  # noqa: ANN401
        with COSTS.of("importing"):
            load(self, module)
        name = COMPILERS.get(module.__name__)
        if name and hasattr(module, name):
            _count(module, name, "compiling")

    importlib.machinery.SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign]


def _count(owner: Any, name: str, kind: str) -> None:  # noqa: ANN401 - a module or a class
    call: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(call)
    def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
        with COSTS.of(kind):
            return call(*args, **options)

    setattr(owner, name, counted)

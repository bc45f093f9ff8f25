"""Processes that form one group, for tests of collectives: `tests/feature/children/rank.py`."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Type

from matrix.inside.costs import COSTS
from matrix.inside.numerics import LEDGER, WrongNumbers

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 115.0  # seconds for one task; a rank gives up earlier and shows where it hangs
GRACE = 10.0  # seconds for the others once one rank failed: they may wait for it in vain

Answer = Dict[str, Any]


class Ranks:
    """One process per rank, to be replaced once they are no longer ``in_step``.

    That is when the last task ended otherwise in one rank than in another, or not in each.
    """

    def __init__(self, script: Path, backend: str, folder: Path, world: int = 2) -> None:
        self.answers: queue.Queue[Optional[Answer]] = queue.Queue()
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        self.folder = folder
        self.in_step = True
        self.ranks: List[subprocess.Popen[str]] = []
        for rank in range(world):
            with (folder / f"stderr{rank}").open("wb") as log:
                arguments = [script, backend, folder / "meet", rank, world]
                self.ranks.append(
                    subprocess.Popen(  # noqa: S603  our own child
                        [sys.executable, *map(str, arguments)],
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                    )
                )
        for rank in self.ranks:
            threading.Thread(target=self._listen, args=(rank,), daemon=True).start()

    def run(self, task: str, seed: int) -> None:
        """Let every rank do ``task``; raise what one of them raised, or WrongNumbers."""
        self.in_step = False
        for rank in self.ranks:
            assert rank.stdin is not None  # it was started with pipes
            with contextlib.suppress(BrokenPipeError):  # it died, which _collect finds out
                rank.stdin.write(json.dumps({"task": task, "seed": seed}) + "\n")
                rank.stdin.flush()
        with COSTS.of("children"):
            answers = self._collect(time.monotonic() + PATIENCE)
        endings = {(answer["kind"], answer["message"]) for answer in answers}
        self.in_step = len(answers) == len(self.ranks) and len(endings) == 1
        for answer in answers:
            sys.stdout.write(f"{json.dumps(answer)}\n")
            if answer["error"] is not None:
                LEDGER.note(answer["error"], answer["tolerance"])
        for kind in ("wrong", "raised"):
            for answer in answers:
                if answer["kind"] == kind:
                    raise as_raised(answer)
        if len(answers) < len(self.ranks):
            raise RuntimeError(self._what_is_missing(answers))

    def end(self) -> None:
        """Close the pipes, at which ranks leave; kill the one that does not."""
        for rank in self.ranks:
            assert rank.stdin is not None  # it was started with pipes
            with contextlib.suppress(BrokenPipeError):
                rank.stdin.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(rank.poll() is None for rank in self.ranks):
            time.sleep(0.05)
        for rank in self.ranks:
            rank.kill()
            rank.wait()

    def _listen(self, rank: subprocess.Popen[str]) -> None:
        assert rank.stdout is not None  # it was started with pipes
        with rank.stdout:
            for line in rank.stdout:
                self.answers.put(json.loads(line))
        self.answers.put(None)

    def _collect(self, deadline: float) -> List[Answer]:
        answers: List[Answer] = []
        ended = 0
        while len(answers) + ended < len(self.ranks):
            try:
                answer = self.answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if answer is None:
                ended += 1
            else:
                answers.append(answer)
            if answer is None or answer["kind"] != "done":
                deadline = min(deadline, time.monotonic() + GRACE)
        return sorted(answers, key=lambda answer: answer["rank"])

    def _what_is_missing(self, answers: Sequence[Answer]) -> str:
        heard = {answer["rank"] for answer in answers}
        lines = []
        for number, rank in enumerate(self.ranks):
            if number not in heard:
                text = (self.folder / f"stderr{number}").read_text(errors="replace")
                sys.stdout.write(text[-8000:])
                state = "still runs" if rank.poll() is None else f"ended with {rank.returncode}"
                last = (text.strip().splitlines() or ["no output"])[-1]
                lines.append(f"rank {number} gave no answer and {state}: {last}")
        return "; ".join(lines)


def as_raised(answer: Answer) -> Exception:
    """The error of a rank, as an exception whose classes have the same names."""
    message = f"rank {answer['rank']}: {answer['message']}"
    if answer["kind"] == "wrong":
        return WrongNumbers(message, error=answer["error"], tolerance=answer["tolerance"])
    raised: Type[Exception] = Exception
    for name in reversed(answer["names"][: answer["names"].index("Exception")]):
        raised = type(name, (raised,), {})
    return raised(message)

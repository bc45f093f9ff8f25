"""Turns on a runner: exclusive suites are alone with its processors or with their GPUs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from matrix.accelerators import Gpu
from matrix.execution import Need
from matrix.leases import lease
from matrix.plan import Job
from matrix.process import Stopped
from matrix.runners import RunnerInfo


class Processors:
    """Shared and exclusive turns; a waiting exclusive one holds new ones back."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._condition = threading.Condition()
        self._shared = 0
        self._exclusive = False
        self._waiting = 0

    @contextmanager
    def __call__(self, exclusive: bool) -> Iterator[None]:  # noqa: FBT001  one meaning, by position
        """Hold a turn; raises `Stopped` when the run is stopped while waiting."""
        with self._condition:
            self._waiting += exclusive
            try:
                while self._exclusive or (self._shared if exclusive else self._waiting):
                    if self._stop.is_set():
                        raise Stopped
                    self._condition.wait(0.2)
            finally:
                self._waiting -= exclusive
            if exclusive:
                self._exclusive = True
            else:
                self._shared += 1
        try:
            yield
        finally:
            with self._condition:
                if exclusive:
                    self._exclusive = False
                else:
                    self._shared -= 1
                self._condition.notify_all()


class Turns:
    """Who may use what of one runner now: its processors in this run, its GPUs among all runs.

    A suite on GPUs shares the processors and has the GPUs alone, so that GPUs work side by side.
    """

    def __init__(
        self, runner: RunnerInfo, *, run: str, leases: Path, stop: threading.Event
    ) -> None:
        self._runner = runner
        self._run = run
        self._leases = leases
        self._stop = stop
        self._processors = Processors(stop)

    @contextmanager
    def __call__(
        self, job: Job, need: Need, say: Callable[[str], None], wanted: int = 1, /
    ) -> Iterator[tuple[Gpu, ...]]:
        """Hold a turn; gives the GPUs that are leased to it. Raises `Stopped`."""
        alone = need == "alone"
        device = job.cell.device
        found = () if device == "cpu" or need == "install" else self._runner.devices[device].gpus
        gpus = [g for g in found if not job.models or g.model in job.models] or found
        if not gpus:
            with self._processors(alone):
                yield ()
            return
        # what is no UUID means another GPU on each machine
        prefix = f"{self._runner.docker} " if self._runner.docker else ""
        names = {g.uuid if g.uuid.startswith("GPU-") else f"{prefix}{g.uuid}": g for g in gpus}
        with (
            # first what another run may have for an hour: it must not hold the processors meanwhile
            lease(
                [replace(gpu, uuid=name) for name, gpu in names.items()],
                run=self._run,
                gpus=min(wanted, len(names)),
                stop=self._stop,
                exclusive=alone,
                place=self._leases,
                on_wait=say,
            ) as held,
            self._processors(False),  # noqa: FBT003  one meaning, by position
        ):
            yield tuple(names[gpu.uuid] for gpu in held)

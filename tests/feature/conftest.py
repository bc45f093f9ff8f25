"""Groups of processes that the tests of collectives share."""

from pathlib import Path

import pytest
import torch

from matrix.inside.ranks import Ranks

RANK = Path(__file__).parent / "children" / "rank.py"


@pytest.fixture(scope="session")
def groups(tmp_path_factory):
    """Groups of ranks by backend, started when first asked for: starting costs more than tasks."""
    running = {}
    yield running, tmp_path_factory
    for ranks in running.values():
        ranks.end()


@pytest.fixture
def run_ranks(groups, rng):
    """Run a task in the group of a backend; a group that has lost its step is not used again."""
    running, folders = groups

    def run_task(backend, task):
        if not torch.distributed.is_available():
            pytest.skip("this torch was built without torch.distributed")
        if backend not in running:
            running[backend] = Ranks(RANK, backend, folders.mktemp("ranks"))
        group = running[backend]
        try:
            group.run(task, rng.initial_seed())
        finally:
            if not group.in_step:
                del running[backend]
                for rank in group.ranks:
                    rank.kill()
                group.end()

    return run_task

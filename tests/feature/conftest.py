"""Groups of processes that the tests of collectives share."""

from pathlib import Path

import pytest
import torch

from matrix.inside.ranks import Ranks

CHILDREN = Path(__file__).parent / "children"


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Groups of ranks by script and backend, started when first asked for."""
    running = {}
    yield running, tmp_path_factory
    for ranks in running.values():
        ranks.end()


@pytest.fixture
def run_ranks(groups, rng):
    """Run a task in the group of a script and a backend; a group that failed is not used again."""
    running, folders = groups

    def run_task(script, backend, task):
        if not torch.distributed.is_available():
            pytest.skip("this torch was built without torch.distributed")
        key = (script, backend)
        if key not in running:
            running[key] = Ranks(CHILDREN / script, backend, folders.mktemp("ranks"))
        try:
            running[key].run(task, rng.initial_seed())
        except BaseException:
            broken = running.pop(key)
            for rank in broken.ranks:
                rank.kill()
            broken.end()
            raise

    return run_task

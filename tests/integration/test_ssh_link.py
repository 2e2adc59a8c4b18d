"""A worker on another machine, over real OpenSSH: it is reached, refused, lost and found again."""

import contextlib
import os

import pytest

from harness import host
from harness.hosts import Host, Manager, fingerprint, make_key
from harness.wait import Task, eventually

UP = 60  # ssh pauses for up to 10 s between two tries


@pytest.fixture(scope="module")
def manager():
    """One for the module; its workers are named anew by each test that needs others."""
    with Manager() as one:
        yield one


def wait_ready(manager):
    eventually(lambda: manager.api.plain("GET", "/readyz").status == 200, "a worker is ready", UP)


def test_runs_on_it(manager):
    with Host(authorized=manager.public_key) as one:
        one.start().start_worker()
        manager.name_hosts([("far", manager.reach(one))])
        manager.start()
        wait_ready(manager)
        result = manager.api.run("echo over ssh; uname -n")
        assert result["stdout"].startswith("over ssh\ncr-"), result

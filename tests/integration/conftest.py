"""Fixtures of the integration tests. They need root, as the worker does, and the built programs;
a machine that cannot run them fails them.
"""

import os
import signal

import pytest

from harness import places
from harness.stack import Stack
from harness.up import Up


@pytest.fixture(scope="session")
def template():
    assert os.geteuid() == 0, "these tests make containers and so need root"
    for program in (places.CODELAND, places.WORKER):
        assert os.access(program, os.X_OK), f"{program}: build it, or set CODELAND_BUILD"
    places.ensure_template()
    return places.TEMPLATE


@pytest.fixture(scope="session")
def shared_stack(template):
    with Stack() as stack:
        yield stack.start()


@pytest.fixture
def stack(shared_stack):
    """The stack that all tests share that do no harm."""
    pids = shared_stack.worker.pid, shared_stack.manager.pid
    yield shared_stack
    try:
        shared_stack.check_alive()
        assert pids == (shared_stack.worker.pid, shared_stack.manager.pid)
        shared_stack.check_logs()
    finally:
        shared_stack.revive()


@pytest.fixture
def api(stack):
    return stack.api


@pytest.fixture
def new_stack(template):
    """Makes stacks of the test's own; each is closed, and must have left nothing."""
    stacks = []

    def make(settings=None, **more):
        stacks.append(Stack(settings, **more))
        return stacks[-1]

    make.stacks = stacks
    yield make
    errors = []
    for stack in stacks:
        try:
            stack.close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def up(new_stack):
    """`codeland up`, not started yet."""
    one = Up(new_stack())
    yield one
    if one.running():
        one.signal(signal.SIGTERM)
        one.wait(60)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the daemons said last goes into the report of a test that failed."""
    report = (yield).get_result()
    if not report.failed or call.when != "call":
        return
    make = item.funcargs.get("new_stack")
    stacks = [item.funcargs.get("stack"), *(make.stacks if make else [])]
    for stack in filter(None, stacks):
        for daemon in (stack.worker, stack.manager):
            if os.path.exists(daemon.log):
                report.sections.append((f"{daemon.name}'s log", "\n".join(daemon.lines()[-15:])))

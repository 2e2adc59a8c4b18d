"""`codeland up`, over the real daemons: one command starts all, keeps it running, leaves nothing."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import host, places
from harness.http import Closed
from harness.up import READY, Up
from harness.wait import Task, eventually


def test_from_nothing_to_a_first_run_and_back(up):
    up.start()
    up.wait_ready()
    said = "\n".join(up.lines())
    token = up.stack.token
    assert re.search(r"^template: base, \d+ MB, \d+ packages$", said, re.M)
    assert re.search(r"^oven: \d+ runners are warm after ", said, re.M)
    assert re.search(
        r'^hello: "Hello from cr-[a-z0-9]{8}", run in a fresh container in \d+\.\d ms$', said, re.M
    )
    assert "  URL        http://{}:{}\n".format(*up.stack.address) in said
    assert f"  token      {token}\n" in said
    assert up.stack.api.run("echo hi")["stdout"] == "hi\n"
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert up.stack.left_behind() == []


def test_from_a_folder_that_only_root_may_enter(new_stack, tmp_path):
    """Somebody's home, or /root: where a clone often is."""
    os.mkdir(tmp_path / "home", 0o700)
    agent = shutil.copy(os.path.join(places.BUILD, "src/agent/crunner"), tmp_path / "home/crunner")
    stack = new_stack({"paths.agent": agent})
    stack.start()
    assert stack.api.run("echo hi")["stdout"] == "hi\n"


def test_the_manager_is_not_root(up):
    up.start()
    up.wait_ready()
    assert set(host.status_field(up.daemon("manager"), "Uid").split()) != {"0"}
    assert host.status_field(up.daemon("manager"), "CapEff").strip("0") == ""


@pytest.mark.parametrize("name", ["worker", "manager"])
def test_a_daemon_that_is_killed_comes_back(up, name):
    up.start()
    up.wait_ready()
    kept = up.stack.api.post("/runner/new", {"name": "kept"})
    assert kept.status == 200, kept
    for _ in range(2):
        pid = up.daemon(name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: up.daemon(name) not in (0, pid), f"the {name} is back")
        eventually(lambda: up.stack.api.get("/runner/kept").status == 200, "the named runner is back")
        assert up.stack.api.run("echo hi")["stdout"] == "hi\n"
    assert up.says(f"the {name} died (killed by SIGKILL); starting it again at once")
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert up.stack.left_behind() == []


def test_both_killed_at_once_and_then_the_end(up):
    up.start()
    up.wait_ready()
    for name in ("worker", "manager"):
        os.kill(up.daemon(name), signal.SIGKILL)
    up.signal(signal.SIGINT)
    assert up.wait(90) == 0
    assert up.stack.left_behind() == []


def test_nothing_survives_its_being_killed(up):
    up.start()
    up.wait_ready()
    up.kill()
    eventually(lambda: up.stack.processes() == [], "all processes are gone")
    up.stack.start()  # and nothing is in the way of the next ones
    assert up.stack.api.run("echo hi")["stdout"] == "hi\n"
    os.unlink(os.path.join(up.stack.run_dir, "up.lock"))


def test_a_run_that_is_under_way_ends_with_it(up):
    up.start()
    up.wait_ready()
    client = Task(up.stack.api.post, "/runner/run", {"code": "sleep 1000", "time": 600})
    up.stack.wait_oven(inUse=1)
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert up.stack.left_behind() == []
    with contextlib.suppress(Closed):
        assert client.result().status == 502


def test_an_oven_that_stays_cold_says_why_and_is_no_storm(new_stack):
    up = Up(new_stack({"oven.mem_ceiling": 1}))
    up.start()
    try:
        up.wait_says("is cold")
        assert not up.says("died")
    finally:
        up.signal(signal.SIGINT)
        assert up.wait() == 0


def test_a_terminal_gets_a_calm_screen(up):
    main_end, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    up.process = subprocess.Popen(
        up.argv, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    )
    os.close(terminal)
    screen = b""

    def read_until(text):
        nonlocal screen
        deadline = time.monotonic() + 60
        while text.encode() not in screen:
            assert time.monotonic() < deadline, screen
            try:
                screen += os.read(main_end, 65536)
            except OSError:  # nobody holds the other end any more
                assert text.encode() in screen, screen
                return

    read_until(READY)
    up.signal(signal.SIGINT)
    read_until("all stopped in")
    assert up.wait() == 0
    os.close(main_end)
    shown = screen.decode()
    assert re.search("✓\x1b\\[0m hello      \"Hello from cr-", shown)
    assert "level=" not in shown
    log = os.path.join(up.stack.state_dir, "log/codeland.log")
    assert f"  log        \x1b[1m{log}\x1b[0m" in shown
    with open(log, encoding="utf-8") as file:
        lines = file.read()
    assert "program=worker event=started" in lines and up.stack.token not in lines

"""`codeland up`, as people meet it: what it prints is true, what it refuses it explains, and at
whatever moment it ends nothing is left. (test_up.py has its ordinary life.)
"""

import os
import pty
import re
import signal
import subprocess
import time

import pytest

from harness import host, places
from harness.check import check_error
from harness.wait import eventually


def start(up):
    up.started = time.monotonic()
    if os.path.exists(up.log):
        os.unlink(up.log)  # what an earlier life of it said
    up.start()
    return up


def stop(up, number=signal.SIGINT):
    up.signal(number)
    return up.wait(60)


def test_what_it_tells_people_to_type(up):
    """Works as it stands there; and nothing answers without the token that it prints."""
    start(up).wait_ready()
    print(f"ready after {time.monotonic() - up.started:.2f} s")
    said = up.said()
    assert up.find(r"token +(\S+)") == up.stack.token
    command = said[said.index("    curl") : said.index("  Ctrl-C")]
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert '"stdout":"hi\\nLinux' in ran.stdout, ran
    assert "\x1b" not in said, "this is no terminal"
    check_error(up.stack.api.plain("GET", "/api/v1/runner"), 401, "unauthorized")


def test_ctrl_c_takes_all_along(up):
    """Also what a named runner has in the background."""
    start(up).wait_ready()
    marker = f"31536000.{time.time_ns()}"
    fields = {"name": "kept", "code": f"setsid sleep {marker} >/dev/null 2>&1 &"}
    assert up.stack.api.post("/runner/new", fields).status == 200
    eventually(lambda: host.find_processes(marker), "it sleeps")
    assert stop(up) == 0
    assert not host.find_processes(marker)
    assert up.stack.left_behind() == []


def test_sighup_ends_it_too(up):
    """The terminal's window was closed."""
    start(up).wait_ready()
    assert stop(up, signal.SIGHUP) == 0
    assert up.stack.left_behind() == []


def test_ctrl_c_before_it_is_ready(up):
    """At any moment of its start."""
    for pause in (0, 0.02, 0.05, 0.1, 0.2):
        start(up)
        eventually(
            lambda pause=pause: time.monotonic() > up.started + pause and up.says("CodeLand"),
            "it has begun",
        )
        stop(up)
        up.stack.check_nothing_left()


def test_a_second_start(up):
    """It finds what the first made: the same token, the template."""
    start(up).wait_ready()
    token = up.stack.token
    stop(up)
    start(up).wait_ready()
    print(f"second start: {time.monotonic() - up.started:.2f} s")
    assert up.stack.token == token
    assert up.stack.api.run("echo hi")["stdout"] == "hi\n"


@pytest.mark.parametrize("names", [["worker"], ["manager"], ["worker", "manager"]])
def test_back_soon_after_a_kill(up, names):
    start(up).wait_ready()
    api = up.stack.api
    assert api.post("/runner/new", {"name": "kept", "code": "echo kept >file"}).status == 200
    for _ in range(2):
        pids = {name: eventually(lambda name=name: up.daemon(name), "it runs") for name in names}
        began = time.monotonic()
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in pids.items():
            eventually(lambda n=name, p=pid: up.daemon(n) not in (0, p), "another runs", 10)
        back = {"code": "echo back"}
        eventually(lambda: api.post("/runner/run", back).status == 200, "it serves", deadline=10)
        print(f"back after {time.monotonic() - began:.2f} s")
    assert api.run_after_restart("cat file", "kept")["stdout"] == "kept\n"
    for name in names:
        assert up.says(f"the {name} died") and up.says(f"the {name} runs again")


def test_a_worker_that_died_just_before_the_end(up):
    """Whoever is left to clean up does it."""
    start(up).wait_ready()
    assert up.stack.api.post("/runner/new", {"name": "kept"}).status == 200
    os.kill(up.daemon("worker"), signal.SIGKILL)
    assert stop(up) == 0
    assert up.stack.left_behind() == []


def test_a_second_one_refuses(up):
    """On the same folders: it names the first, and does it no harm."""
    start(up).wait_ready()
    second = subprocess.run(up.argv, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another `codeland up`" in second.stderr and str(up.pid) in second.stderr
    assert up.stack.run_dir in second.stderr
    assert up.stack.api.run("echo fine")["stdout"] == "fine\n"


def test_an_address_in_use(up, stack):
    """Another program has the port: it is told which, and how to choose another."""
    argv = [*up.argv, "--set", "http.listen={}:{}".format(*stack.address)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "{}:{}".format(*stack.address) in ended.stderr and "--set http.listen" in ended.stderr
    assert up.stack.left_behind() == []


def test_a_daemon_that_cannot_start(up):
    """It does not try for ever before anything has ever worked, and says why."""
    folder = os.path.join(up.stack.state_dir, "manager")
    os.makedirs(folder)
    with open(os.path.join(folder, "codeland.db"), "wb") as file:
        file.write(b"this is no database" * 100)
    start(up)
    assert up.wait(60) == 1
    assert re.search("the manager does not start.*codeland.db", up.said(), re.DOTALL), up.said()
    assert up.stack.left_behind() == []


def test_bad_words(template):
    for words, says in (
        (["up", "--nothing"], "--nothing"),
        (["up", "word"], "word"),
        (["up", "--set", "oven.nothing=1"], "nothing"),
        (["upp"], 'did you mean "up"'),
        (["template", "nothing"], "--help"),
        ([], "Usage"),
    ):
        argv = [places.CODELAND, *words]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2, ended
        assert says in ended.stderr, ended.stderr


def test_help(template):
    for words in (["--help"], ["up", "--help"], ["serve", "--help"], ["template", "--help"]):
        argv = [places.CODELAND, *words]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        assert "codeland" in ended.stdout and not ended.stderr


def test_ctrl_c_typed_at_a_terminal(up):
    """It reaches the daemons as well as the supervisor, and all ends well."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(up.argv[0], up.argv)
    said = b""

    def read_until(pattern):
        nonlocal said
        end = time.monotonic() + 60
        while not re.search(pattern, said):
            assert time.monotonic() < end, said
            try:
                said += os.read(terminal, 4096)
            except OSError:  # EIO: nobody has the other side any more
                return

    read_until(rb"Ctrl-C stops")
    os.write(terminal, b"\x03")
    read_until(rb"(?!)")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert b"all stopped" in said
    assert up.stack.left_behind() == []


def test_the_daemons_lines(up):
    """Without a terminal all of them go where a service manager keeps them, with no secret."""
    start(up).wait_ready()
    up.stack.api.run("echo hi")

    def lines():
        found = [line for line in up.lines() if line.startswith("level=")]
        assert any("program=worker" in line for line in found)
        assert any("event=request" in line and "/runner/run" in line for line in found)
        return found

    found = eventually(lines, "both daemons' lines are there")
    assert not any(up.stack.token in line for line in found)

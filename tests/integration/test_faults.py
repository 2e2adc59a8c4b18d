"""Faults: daemons killed, templates missing or broken, disks full, too much demand. Each is told
clearly, harms no more than it must, and is over when its cause is.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import host, places
from harness.check import check_error
from harness.http import Closed
from harness.wait import Task, eventually, side_by_side

LOST = (Closed, ConnectionError)


def begin_runs(stack, count, marker):
    """That many runs that last for ever, all of which have a runner and run."""
    code = f"echo begun; exec sleep {marker}"
    runs = [Task(stack.api.post, "/runner/run", {"code": code, "time": 600}) for _ in range(count)]
    eventually(lambda: len(host.find_processes(f"sleep {marker}")) == count, "all run")
    return runs


def new_marker():
    return f"31536000.{time.time_ns()}"


def time_until_back(stack, since):
    """Until a fresh runner answers, as a client that tries again sees it."""

    def back():
        return stack.api.post("/runner/run", {"code": "echo back"}).status == 200

    eventually(back, "the service is back", deadline=20)
    taken = time.monotonic() - since
    print(f"back after {taken:.2f} s")
    return taken


def assert_all_owned(stack):
    """Every container is one that the worker knows, and the other way round."""

    def same():
        names = {one["name"] for one in stack.api.get("/runner").json["runners"]}
        kept = {one["name"] for one in stack.api.get("/runner").json["runners"] if one["owner"]}
        containers = stack.containers()
        assert len(names) == len(containers), (names, containers)
        assert names - kept <= containers, (names, containers)
        return True

    eventually(same, "worker and host agree about what exists")
    assert stack.api.get("/worker/zombies").json["zombies"] == []


# ---- daemons that die ----


def test_worker_killed_during_runs(new_stack):
    stack = new_stack({"oven.min_available": 20}).start()
    api = stack.api
    server = "echo kept >file; (while :; do date +%s.%N >alive; sleep 0.05; done) >/dev/null 2>&1 &"
    api.post("/runner/new", {"name": "kept", "code": server})
    stack.wait_warm()
    marker = new_marker()
    runs = begin_runs(stack, 20, marker)
    stack.wait_warm()
    warm = {one["name"] for one in api.get("/runner").json["runners"] if not one["inUse"]}
    began = time.monotonic()
    stack.worker.kill()
    early = Task(api.post, "/runner/run", {"code": "echo early"})
    for run in runs:
        error = check_error(run.result(), 502, "workerBadGateway")
        assert re.fullmatch(r"cr-[a-z0-9]{8}", error["runner"])
    stack.worker.start()
    time_until_back(stack, began)
    assert early.result().status == 200, "a run that had not begun is not lost, it waits"
    eventually(lambda: not host.find_processes(marker), "no process of the runs is left")
    assert_all_owned(stack)
    # The named runner: its files, its processes, its name.
    assert api.run_after_restart("cat file", "kept")["stdout"] == "kept\n"
    first = api.run("cat alive", on="kept")["stdout"]
    eventually(lambda: api.run("cat alive", on="kept")["stdout"] != first, "its program goes on")
    assert api.get("/runner/kept").json["owner"] == "admin"
    # The warm ones were adopted, and are as good as new.
    assert warm & {api.run("ls /tmp")["runner"] for _ in range(20)}
    assert api.delete("/runner/kept").status == 200


def test_a_named_runner_never_seems_gone(new_stack):
    """While the worker is away and comes back, a runner that exists is never a 404."""
    stack = new_stack().start()
    api = stack.api
    api.post("/runner/new", {"name": "kept", "code": "echo kept >file"})
    over = []
    statuses = []

    def ask():
        while not over:
            answer = api.post("/runner/kept", {"code": "cat file"})
            statuses.append(answer.status)
            assert answer.status in (200, 502, 503), answer
            if answer.status == 200:
                assert answer.json["stdout"] == "kept\n"
            answer = api.get("/runner/kept")
            assert answer.status in (200, 503), answer

    asking = Task(ask)
    for _ in range(3):
        stack.worker.kill()
        stack.worker.start()
        stack.link_ready()
        count = len([status for status in statuses if status == 200])
        eventually(lambda: statuses.count(200) > count + 3 or not asking.is_alive(), "it answers")
    over.append(True)
    asking.result()


def test_warm_runners_of_a_killed_worker_are_clean(new_stack):
    """What is adopted as warm has never run anything; what ran is never handed out again."""
    stack = new_stack({"oven.min_available": 6}).start()
    marker = new_marker()
    runs = begin_runs(stack, 6, marker)

    def in_use():
        return {one["name"] for one in stack.api.get("/runner").json["runners"] if one["inUse"]}

    eventually(lambda: len(in_use()) == 6, "all are known to run")
    used = in_use()
    stack.worker.kill()
    stack.worker.start()
    for run in runs:
        check_error(run.result(), 502, "workerBadGateway")
    stack.wait_ready()
    for _ in range(15):
        result = stack.api.run("ls -A /tmp /home/runner; ps -e 2>/dev/null | grep sleep")
        assert result["stdout"].split() == ["/home/runner:", "main.sh", "/tmp:"]
        assert result["runner"] not in used
    eventually(lambda: not used & stack.containers(), "the used ones are gone")


def test_worker_killed_over_and_over(new_stack):
    stack = new_stack().start()
    for _ in range(5):
        stack.worker.kill()
        stack.worker.start()
        assert stack.api.run("echo back")["stdout"] == "back\n"
    assert_all_owned(stack)


def test_worker_killed_while_it_cooks(new_stack):
    """Containers that are half made belong to nobody; the next worker removes them."""
    stack = new_stack({"oven.min_available": 30, "oven.cook_parallel": 4})
    stack.worker.start()
    for _ in range(4):
        stack.link_ready()
        eventually(lambda: stack.oven()["cooking"] > 0, "it cooks")
        stack.worker.kill()
        stack.worker.start()
    stack.manager.start()
    stack.wait_ready()
    stack.wait_warm()
    assert_all_owned(stack)


def test_manager_killed_during_runs(new_stack):
    stack = new_stack({"oven.min_available": 20}).start()
    api = stack.api
    api.post("/runner/new", {"name": "kept", "code": "echo kept >file"})
    stack.wait_warm()
    marker = new_marker()
    runs = begin_runs(stack, 20, marker)
    began = time.monotonic()
    stack.manager.kill()
    for run in runs:
        with pytest.raises(LOST):
            run.result()
    eventually(lambda: not host.find_processes(marker), "the worker kills what nobody waits for")
    stack.wait_oven(inUse=1, freeing=0)
    stack.manager.start()
    stack.wait_serving()
    time_until_back(stack, began)
    assert stack.api.token == api.token, "the same token"
    assert api.run("cat file", on="kept")["stdout"] == "kept\n"
    assert api.get("/runner/kept").json["owner"] == "admin"
    assert api.delete("/runner/kept").status == 200
    assert_all_owned(stack)


def test_worker_ended_by_sigterm(new_stack):
    """As for an update: named runners live on, processes and all, and the next worker has them."""
    stack = new_stack().start()
    api = stack.api
    marker = new_marker()
    code = f"echo kept >file; sleep {marker} >/dev/null 2>&1 &"
    api.post("/runner/new", {"name": "kept", "code": code})
    run = Task(api.post, "/runner/run", {"code": "sleep 1000", "time": 600})
    stack.wait_oven(inUse=2)
    stack.worker.signal(signal.SIGTERM)
    assert stack.worker.wait() == 0
    answer = run.result()
    assert answer.status == 502 or answer.json["status"] == "killed", answer
    assert len(stack.containers()) == 1
    assert host.find_processes(f"sleep {marker}")
    stack.worker.start()
    stack.wait_ready()
    assert api.run_after_restart("cat file", "kept")["stdout"] == "kept\n"
    assert host.find_processes(f"sleep {marker}")
    assert api.delete("/runner/kept").status == 200
    assert not host.find_processes(marker)


def test_worker_ended_by_sigint(new_stack):
    """All is gone with it, named runners too."""
    stack = new_stack().start()
    marker = new_marker()
    stack.api.post("/runner/new", {"name": "kept", "code": f"sleep {marker} >/dev/null 2>&1 &"})
    run = Task(stack.api.post, "/runner/run", {"code": "sleep 1000", "time": 600})
    stack.wait_oven(inUse=2)
    stack.worker.signal(signal.SIGINT)
    assert stack.worker.wait() == 0
    assert run.result().status in (200, 502)
    assert not host.find_processes(marker)
    assert stack.containers() == set()
    stack.manager.signal(signal.SIGTERM)
    assert stack.manager.wait() == 0
    stack.check_nothing_left()


def test_without_a_worker(new_stack):
    """The manager serves what it can, says what is wrong, and is ready once a worker is."""
    stack = new_stack()
    stack.manager.start()
    stack.wait_serving()
    api = stack.api
    answer = api.plain("GET", "/readyz")
    check_error(answer, 503, "RunnerNotAvailable", "worker.*worker.sock")
    assert int(answer.headers["retry-after"]) >= 1
    assert api.get("/runner").json["runners"] == []
    waiting = Task(api.post, "/runner/run", {"code": "echo at last"})
    stack.worker.start()
    assert waiting.result().status in (200, 503)
    stack.wait_ready()
    assert api.run("echo hi")["stdout"] == "hi\n"


def test_a_manager_that_is_told_to_stop_ends_its_runs(new_stack):
    stack = new_stack().start()
    marker = new_marker()
    (run,) = begin_runs(stack, 1, marker)
    stack.manager.signal(signal.SIGTERM)
    assert stack.manager.wait() == 0
    with pytest.raises(LOST):
        run.result()
    eventually(lambda: not host.find_processes(marker), "the run is killed")


def test_the_agent_dies(stack):
    """PID 1 of a runner, killed from outside: its run is lost, and nothing else."""
    api = stack.api
    marker = new_marker()
    (run,) = begin_runs(stack, 1, marker)
    group = host.read(f"/proc/{host.find_processes(marker)[0]}/cgroup")
    agent = next(
        pid
        for what, pid in stack.programs()
        if what == "agent" and host.read(f"/proc/{pid}/cgroup") == group
    )
    os.kill(agent, signal.SIGKILL)
    check_error(run.result(), 502, "workerBadGateway")
    stack.wait_oven(inUse=0, freeing=0)
    assert api.run("echo fine")["stdout"] == "fine\n"


def test_warm_runners_that_die(new_stack):
    """They are replaced, and nobody is given one that was dead already."""
    stack = new_stack().start()
    for _ in range(3):
        stack.wait_warm()
        dead = stack.containers()
        for what, pid in stack.programs():
            if what == "agent":
                os.kill(pid, signal.SIGKILL)
        eventually(
            lambda: not dead & {one["name"] for one in stack.api.get("/runner").json["runners"]},
            "the worker knows that they are gone",
        )
        assert stack.api.run("echo alive")["stdout"] == "alive\n"
    stack.wait_warm()
    assert_all_owned(stack)


def test_the_starter_dies(new_stack):
    """The worker cannot make containers any more: it says so and ends, and the next one can."""
    stack = new_stack().start()
    stack.expect_error("the starter died")
    stack.wait_warm()
    (starter,) = [pid for what, pid in stack.programs() if what == "starter"]
    stack.worker.signal(0)  # its end is our doing
    os.kill(starter, signal.SIGKILL)
    assert stack.worker.wait() == 1
    stack.worker.start()
    assert stack.api.run("echo back")["stdout"] == "back\n"
    assert_all_owned(stack)


def test_a_second_worker_or_manager_refuses(stack):
    """With the same folders and address: it says why and ends; the first is not disturbed."""
    for daemon, says in ((stack.worker, "another worker"), (stack.manager, "in use")):
        second = subprocess.run(
            daemon.argv, capture_output=True, text=True, timeout=30, check=False
        )
        assert second.returncode == 1
        assert says in second.stderr, second.stderr
    assert stack.api.run("echo fine")["stdout"] == "fine\n"


# ---- templates ----


def starts(stack):
    """How many containers were tried, by the worker's log."""
    return len(stack.worker.events("a runner could not be started"))


def put_template(stack, make_root):
    """A template of the test's own, beside the real one's description."""
    shutil.rmtree(stack.template, ignore_errors=True)
    os.makedirs(stack.template)
    shutil.copy(os.path.join(places.TEMPLATE, "template.json"), stack.template)
    make_root(os.path.join(stack.template, "rootfs"))


def mend_template(stack):
    if not os.path.islink(stack.template):
        shutil.rmtree(stack.template, ignore_errors=True)
        os.symlink(places.TEMPLATE, stack.template)


def no_rootfs(root):
    assert not os.path.exists(root)


def empty_rootfs(root):
    os.makedirs(root)


def no_mount_point(root):
    os.makedirs(os.path.join(root, "run/codeland"))


def mount_point_is_a_link(root):
    os.makedirs(os.path.join(root, "usr/libexec"))
    os.makedirs(os.path.join(root, "run"))
    os.symlink("/etc/passwd", os.path.join(root, "usr/libexec/crunner"))
    os.symlink("/", os.path.join(root, "run/codeland"))


def whole(root, *folders):
    for folder in ("usr/libexec", "run/codeland", *folders):
        os.makedirs(os.path.join(root, folder))
    with open(os.path.join(root, "usr/libexec/crunner"), "w", encoding="ascii"):
        pass


def not_startable(root):
    """Has what can be looked for beforehand, and yet LXC cannot start it: /proc is no folder."""
    whole(root, "sys", "dev")
    with open(os.path.join(root, "proc"), "w", encoding="ascii"):
        pass


@pytest.mark.parametrize(
    "make_root,says",
    [
        (None, "is not there.*codeland template build"),
        (no_rootfs, "rootfs.*codeland template build"),
        (empty_rootfs, "crunner.*codeland template build"),
        (no_mount_point, "crunner.*codeland template build"),
        (mount_point_is_a_link, "crunner.*codeland template build"),
        (not_startable, "liblxc.*(proc|mount)"),
    ],
    ids=["missing", "no_rootfs", "empty_rootfs", "no_mount_point", "link", "not_startable"],
)
def test_broken_template(new_stack, make_root, says):
    """A clear word in the API and the log, no storm of starts; mended, all is well."""
    stack = new_stack({"oven.backoff_max": "1s"}, template=None)
    if make_root:
        put_template(stack, make_root)
    stack.worker.start()
    stack.manager.start()
    stack.wait_serving()
    eventually(lambda: re.search(says, stack.oven()["message"]), "the oven says what is wrong")
    # 100, 200, 400, 800 ms: by then a storm would have tried hundreds of times.
    eventually(
        lambda: any(
            int(event["pauseMs"]) >= 800 for event in stack.worker.events("the oven pauses")
        ),
        "the pauses grow",
    )
    assert starts(stack) <= 12
    assert stack.oven()["status"] == "backingOff"
    answer = stack.api.post("/runner/run", {"code": "echo hi"})
    check_error(answer, 503, "RunnerNotAvailable", says)
    assert int(answer.headers["retry-after"]) >= 1
    eventually(
        lambda: check_error(stack.api.plain("GET", "/readyz"), 503, "RunnerNotAvailable", says),
        "the manager knows, too",
    )
    assert any(re.search(says, event["error"]) for event in stack.worker.events("the oven pauses"))
    mend_template(stack)
    stack.wait_ready()
    assert stack.api.run("echo mended")["stdout"] == "mended\n"
    assert stack.oven()["message"] == ""


def test_a_description_that_is_no_json(new_stack):
    stack = new_stack({"oven.backoff_max": "1s"}, template=None)
    put_template(stack, empty_rootfs)
    for text in ("", "{", "[]", "{}", '{"format": 999}'):
        with open(os.path.join(stack.template, "template.json"), "w", encoding="ascii") as file:
            file.write(text)
        if not stack.worker.running():
            stack.worker.start()
            stack.manager.start()
            stack.link_ready()
        eventually(lambda: "template.json" in stack.oven()["message"], "it says so")
    mend_template(stack)
    stack.wait_ready()


def test_a_template_that_goes_away(new_stack):
    """Warm runners are still handed out; then the answer is the clear one."""
    stack = new_stack({"oven.backoff_max": "1s"}).start()
    stack.wait_warm()
    os.rename(stack.template, stack.template + ".away")
    statuses = [stack.api.post("/runner/run", {"code": ":"}).status for _ in range(12)]
    assert statuses[:4] == [200] * 4
    assert set(statuses[4:]) <= {200, 503} and statuses[-1] == 503
    os.rename(stack.template + ".away", stack.template)
    eventually(lambda: stack.api.post("/runner/run", {"code": ":"}).status == 200, "it serves")


def test_a_template_without_a_shell(new_stack):
    """Runners can be made of it, and no program: that is told, and the runner is not kept."""
    stack = new_stack(template=None)
    put_template(stack, lambda root: whole(root, "proc", "sys", "dev", "home/runner"))
    os.chown(os.path.join(stack.template, "rootfs/home/runner"), 1000, 1000)
    api = stack.start().api
    error = check_error(
        api.post("/runner/run", {"code": ":"}), 400, "runnerExecutionFailed", "No such"
    )
    assert error["runner"].startswith("cr-")
    answer = api.post("/runner/new", {"name": "mute", "code": ":"})
    check_error(answer, 400, "runnerExecutionFailed", "No such")
    eventually(lambda: api.get("/runner/mute").status == 404, "it was not kept")
    stack.wait_oven(inUse=0, freeing=0)


def test_a_template_without_a_home(new_stack):
    stack = new_stack(template=None)
    put_template(stack, lambda root: whole(root, "proc", "sys", "dev", "home"))
    answer = stack.start().api.post("/runner/run", {"code": ":"})
    check_error(answer, 400, "runnerExecutionFailed", "file|folder|director")


# ---- disks ----


class Full:
    """A folder on a small file system of its own."""

    def __init__(self, folder, size):
        os.makedirs(folder, mode=0o755, exist_ok=True)
        options = f"size={size},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        self.folder, self.ballast = folder, os.path.join(folder, "ballast")

    def fill(self):
        """To the last block; small files after a large one, for what is left in between."""
        for number, size in enumerate([1 << 30, *[4096] * 1000]):
            try:
                with open(f"{self.ballast}{number}", "wb") as file:
                    for _ in range(0, size, 4096):
                        file.write(b"x" * 4096)
                        file.flush()
            except OSError:
                pass

    def mend(self):
        for name in os.listdir(self.folder):
            if name.startswith("ballast"):
                os.unlink(os.path.join(self.folder, name))

    def unmount(self):
        subprocess.run(["umount", "-l", self.folder], check=True)


@pytest.fixture
def full():
    made = []

    def make(folder, size):
        made.append(Full(folder, size))
        return made[-1]

    yield make


def test_state_folder_full(new_stack, full):
    """Runs go on, for they write nothing there; a manager that cannot start says why."""
    stack = new_stack(template=None)
    disk = full(stack.state_dir, "1M")
    os.makedirs(os.path.dirname(stack.template))
    os.symlink(places.TEMPLATE, stack.template)
    stack.start()
    disk.fill()
    for _ in range(10):
        assert stack.api.run("echo hi")["stdout"] == "hi\n"
    stack.worker.kill()
    stack.worker.start()
    assert stack.api.run("echo hi")["stdout"] == "hi\n"
    disk.mend()
    assert stack.api.run("echo hi")["stdout"] == "hi\n"
    stack.stop()
    disk.unmount()


def test_first_start_with_a_full_state_folder(new_stack, full):
    stack = new_stack(template=None)
    stack.expect_error("cannot start")
    disk = full(stack.state_dir, "1M")
    os.makedirs(os.path.dirname(stack.template))
    os.symlink(places.TEMPLATE, stack.template)
    disk.fill()
    stack.manager.start()
    stack.manager.signal(0)  # its end is expected
    assert stack.manager.wait() == 1
    (line,) = [event for event in stack.manager.events() if event["level"] == "error"]
    assert line["event"] == "cannot start"
    assert re.search("(?i)space|full", line["error"]), line
    disk.mend()
    stack.start()
    assert stack.api.run("echo hi")["stdout"] == "hi\n", "no half-made store is left of it"
    stack.stop()
    disk.unmount()


def test_run_folder_full(new_stack, full):
    """Throw-away runs need nothing there. A runner that is to stay must be noted: that it cannot be
    is told, and it does not stay.
    """
    stack = new_stack()
    disk = full(stack.run_dir, "256k")
    api = stack.start().api
    disk.fill()
    for _ in range(10):
        assert api.run("echo hi")["stdout"] == "hi\n"
    stack.wait_warm()
    # The entry of a warm runner that is taken would make room for the new one.
    for entry in os.scandir(os.path.join(stack.run_dir, "runners")):
        os.unlink(entry.path)
    disk.fill()
    stack.expect_error("No space left on device")
    answer = api.post("/runner/new", {"name": "kept", "code": "echo ran"})
    assert answer.status in (500, 507), answer
    assert "No space left on device" in answer.json["message"]
    eventually(lambda: api.get("/runner/kept").status == 404, "it is not kept")
    stack.wait_oven(inUse=0, freeing=0)
    disk.mend()
    assert api.post("/runner/new", {"name": "kept", "code": "echo kept >file"}).status == 200
    stack.worker.kill()
    stack.worker.start()
    assert api.run_after_restart("cat file", "kept")["stdout"] == "kept\n"
    stack.stop()
    disk.unmount()
    os.rmdir(stack.run_dir)


def test_start_with_a_full_run_folder(new_stack, full):
    stack = new_stack()
    stack.expect_error("cannot|No space left")
    disk = full(stack.run_dir, "64k")
    disk.fill()
    stack.worker.start()
    stack.worker.signal(0)  # its end is allowed
    stack.manager.start()

    def told():
        return [event for event in stack.worker.events() if "No space left" in str(event)]

    eventually(told, "the worker says why")
    if stack.worker.running():
        stack.worker.kill()
    disk.mend()
    stack.worker.start()
    stack.wait_ready()
    assert stack.api.run("echo hi")["stdout"] == "hi\n"
    stack.stop()
    disk.unmount()
    os.rmdir(stack.run_dir)


def test_the_runners_own_disk_full(new_stack):
    """The program sees ENOSPC; the next runner has its whole disk again."""
    stack = new_stack({"run.disk": "8M"}).start()
    api = stack.api
    code = (
        "dd if=/dev/zero of=big bs=64k count=1000 2>&1; wc -c <big; echo x >>big || echo none left"
    )
    result = api.run(code)
    assert "No space left on device" in result["stdout"] and "none left" in result["stdout"]
    size = int(re.search(r"^(\d+)$", result["stdout"], re.MULTILINE)[1])
    assert 6 * 2**20 < size <= 8 * 2**20
    result = api.run("head -c 6000000 /dev/zero >big && echo fits; ls -A")
    assert result["stdout"] == "fits\nbig\nmain.sh\n"


def test_the_runners_own_files_are_counted(new_stack):
    stack = new_stack({"run.inodes": 200}).start()
    code = "i=0; while echo x 2>/dev/null >f$i && [ $i -lt 999 ]; do i=$((i + 1)); done; echo $i"
    assert 100 <= int(stack.api.run(code)["stdout"].split()[-1]) <= 200


def test_a_named_runner_whose_disk_is_full(new_stack):
    """The next program does not fit: 507 says so, and with room again all is well."""
    stack = new_stack({"run.disk": "4M"}).start()
    api = stack.api
    api.post("/runner/new", {"name": "full", "code": "head -c 3900000 /dev/zero >big"})
    code = "#" * 500_000
    check_error(api.post("/runner/full", {"code": code}), 507, "noSpace")
    assert api.run("rm big; echo removed", on="full")["stdout"] == "removed\n"
    assert api.run(code, on="full")["status"] == "ok"


def test_disk_counts_as_memory(new_stack):
    """What a runner writes lives in memory: no way around the limit of that."""
    stack = new_stack({"run.disk": "512M"}).start()
    result = stack.api.run("head -c 300000000 /dev/zero >big; echo survived", memory=64 * 2**20)
    assert result["status"] in ("memory", "signal") or "survived" in result["stdout"]
    assert result["memoryPeak"] <= 64 * 2**20
    assert stack.api.run("echo fine")["stdout"] == "fine\n"


# ---- too much demand ----


def test_a_hundred_at_once_and_two_runners(new_stack):
    """None is lost, none is refused: they wait their turn."""
    stack = new_stack({"oven.min_available": 2, "oven.max_runners": 2, "run.queue": "60s"}).start()
    answers = side_by_side(
        [lambda n=n: stack.api.post("/runner/run", {"code": f"echo {n}"}) for n in range(100)]
    )
    assert [answer.json.get("stdout") for answer in answers] == [f"{n}\n" for n in range(100)]
    assert len({answer.json["runner"] for answer in answers}) == 100


def occupied(new_stack, **settings):
    """A stack whose only runner is taken."""
    stack = new_stack({"oven.min_available": 1, "oven.max_runners": 1, **settings}).start()
    stack.wait_warm()
    assert stack.api.post("/runner/new", {"name": "only"}).status == 200
    return stack


def test_queue_full(new_stack):
    stack = occupied(new_stack, **{"oven.queue_length": 3, "run.queue": "60s"})
    api = stack.api
    waiting = [Task(api.run, f"echo {n}") for n in range(3)]
    stack.wait_oven(waiting=3)
    for _ in range(3):
        answer = api.post("/runner/run", {"code": ":"})
        check_error(answer, 503, "RunnerNotAvailable", "queue")
        assert int(answer.headers["retry-after"]) >= 1
    assert api.delete("/runner/only").status == 200
    assert [task.result()["stdout"] for task in waiting] == ["0\n", "1\n", "2\n"]
    assert min(task.result()["queued"] for task in waiting) > 0


def test_queue_in_order(new_stack):
    """First come, first served."""
    stack = occupied(new_stack, **{"run.queue": "60s"})
    api = stack.api
    waiting = []
    for number in range(5):
        waiting.append(Task(api.run, "cut -d. -f1,2 /proc/uptime"))
        stack.wait_oven(waiting=number + 1)
    assert api.delete("/runner/only").status == 200
    times = [float(task.result()["stdout"].split()[0]) for task in waiting]
    assert times == sorted(times)


def test_queue_time_over(new_stack):
    stack = occupied(new_stack, **{"run.queue": "300ms"})
    answer = stack.api.post("/runner/run", {"code": ":"})
    error = check_error(answer, 503, "RunnerNotAvailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert error["duration"] >= 290
    stack.wait_oven(waiting=0)
    assert stack.api.delete("/runner/only").status == 200
    eventually(lambda: stack.api.post("/runner/run", {"code": ":"}).status == 200, "it serves")


def test_no_queue(new_stack):
    """Who does not want to wait is told at once."""
    stack = occupied(new_stack, **{"oven.queue_length": 0})
    check_error(stack.api.post("/runner/run", {"code": ":"}), 503, "RunnerNotAvailable")
    assert stack.api.run("echo still mine", on="only")["stdout"] == "still mine\n"


def test_new_waits_in_the_same_queue(new_stack):
    stack = occupied(new_stack, **{"run.queue": "60s"})
    waiting = Task(stack.api.post, "/runner/new", {"name": "next", "code": "echo hi"})
    stack.wait_oven(waiting=1)
    assert stack.api.delete("/runner/only").status == 200
    assert waiting.result().json["stdout"] == "hi\n"
    assert stack.api.delete("/runner/next").status == 200


def test_many_connections(stack):
    """More than are ever busy; each is served, and none costs another anything."""
    wires = [stack.api.wire() for _ in range(300)]
    try:
        for wire in wires:
            wire.send(stack.api.bytes("GET", "/runner"))
        assert {wire.response().status for wire in wires} == {200}
    finally:
        for wire in wires:
            wire.hang_up()


# ---- settings ----


@pytest.mark.parametrize(
    "setting,says",
    [
        ("oven.nothing=1", "nothing.*oven"),
        ("oven.min_available=many", "oven.min_available"),
        ("oven.min_available=-1", "0.*10000"),
        ("run.time=5", "run.time"),
        ("http.listen", "http.listen|="),
        ("worker.prefix=../x", "worker.prefix"),
    ],
)
def test_bad_settings(template, setting, says):
    """Both programs refuse them, before they do anything, in the same words."""
    said = set()
    for program in ([places.CODELAND, "serve"], [places.WORKER]):
        ended = subprocess.run(
            [*program, "--set", setting], capture_output=True, text=True, timeout=30, check=False
        )
        assert ended.returncode == 2
        assert re.search(says, ended.stderr), ended.stderr
        said.add(ended.stderr.split(": ", 1)[1])
    assert len(said) == 1


def test_bad_configuration_file(template, tmp_path):
    """With the file and the line."""
    path = tmp_path / "codeland.conf"
    path.write_text("[oven]\nmin_available = 5\nmin_availabel = 6\n")
    for program in ([places.CODELAND, "serve"], [places.WORKER]):
        ended = subprocess.run(
            [*program, "--check-config", "--config", path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 2
        assert f"{path}:3" in ended.stderr and "min_availabel" in ended.stderr
    path.write_text("[oven]\nmin_available = 5\n")
    for program in ([places.CODELAND, "serve"], [places.WORKER]):
        subprocess.run(
            [*program, "--check-config", "--config", path],
            check=True,
            timeout=30,
            stdout=subprocess.DEVNULL,
        )


def test_an_address_that_is_taken(new_stack, stack):
    """The manager says so and ends."""
    second = new_stack({"http.listen": "{}:{}".format(*stack.address)})
    second.expect_error("Address already in use")
    second.manager.start()
    second.manager.signal(0)
    assert second.manager.wait() == 1
    assert stack.api.run("echo fine")["stdout"] == "fine\n"

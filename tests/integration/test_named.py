"""Named runners: they keep their files, their processes and their name until they are deleted."""

import time

import pytest

from harness import host
from harness.check import check_error, check_result, output_of
from harness.wait import Task, eventually, side_by_side


@pytest.fixture
def name(api):
    """A name of this test's own; whatever has it is removed afterwards."""
    chosen = f"t{time.time_ns()}"
    yield chosen
    api.delete(f"/runner/{chosen}")


def make(api, name=None, **fields):
    answer = api.post("/runner/new", {"name": name, **fields})
    assert answer.status == 200, answer
    return answer.json


def listed(api, name, detail=True):
    answer = api.get("/runner?detail" if detail else "/runner")
    assert answer.status == 200, answer
    return next((one for one in answer.json["runners"] if one["name"] == name), None)


def test_new_with_code_and_name(api, name):
    result = check_result(make(api, name, code="echo made >file; echo hi"))
    assert result["runner"] == name and result["stdout"] == "hi\n"
    assert api.run("cat file", on=name)["stdout"] == "made\n"


def test_new_without_code(api, name):
    result = make(api, name)
    assert result["runner"] == name
    assert result["queued"] >= 0 and result["requestId"]
    assert "status" not in result
    assert api.run("ls", on=name)["stdout"] == ""


def test_new_without_a_name(api):
    made = make(api)
    name = made["runner"]
    assert name.startswith("cr-")
    assert api.run("echo hi", on=name)["runner"] == name
    assert api.delete(f"/runner/{name}").json == {"res": "success"}


def test_new_with_an_empty_body(api):
    with api.wire() as wire:
        wire.send(api.bytes("POST", "/runner/new"))
        answer = wire.response()
    assert answer.status == 200, answer
    assert api.delete(f"/runner/{answer.json['runner']}").status == 200


def test_a_first_program_that_fails_is_no_failure_of_new(api, name):
    assert make(api, name, code="exit 3")["exit"] == 3
    assert api.run("echo there", on=name)["stdout"] == "there\n"


def test_the_next_run_sees_what_the_last_left(api, name):
    make(api, name)
    api.run("mkdir -p a/b; echo 1 >a/b/c; echo 2 >/tmp/d", on=name)
    assert api.run("cat a/b/c /tmp/d", on=name)["stdout"] == "1\n2\n"


def test_no_run_leaves_its_code_behind(api, name):
    make(api, name)
    api.run("echo hi; touch mine", on=name)
    eventually(lambda: api.run("ls -A", on=name)["stdout"].split()[1:] == ["mine"], "only its file")


def test_overlapping_runs(api, name):
    """They run at the same time: each waits for what the other does."""
    make(api, name)
    first = Task(api.run, "while [ ! -e b ]; do sleep 0.01; done; touch a; echo first", on=name)
    second = Task(api.run, "touch b; while [ ! -e a ]; do sleep 0.01; done; echo second", on=name)
    assert first.result()["stdout"] == "first\n"
    assert second.result()["stdout"] == "second\n"


def test_many_runs_at_once_keep_apart(api, name):
    make(api, name)
    code = "cat; echo $1 $NUMBER; echo $1 >&2; exit $1"

    def once(number):
        return api.run(
            code, on=name, args=[str(number)], stdin=f"in {number}\n", env={"NUMBER": str(number)}
        )

    for number, result in enumerate(side_by_side([lambda n=n: once(n) for n in range(20)])):
        assert result["stdout"] == f"in {number}\n{number} {number}\n"
        assert (result["stderr"], result["exit"]) == (f"{number}\n", number)


def test_a_name_that_is_taken(api, name):
    make(api, name, code="touch mine")
    for fields in ({}, {"code": "touch theirs"}):
        check_error(api.post("/runner/new", {"name": name, **fields}), 409, "nameTaken", name)
    assert set(api.run("ls", on=name)["stdout"].split()) - {"main.sh"} == {"mine"}


def test_one_name_wanted_by_many_at_once(api, name):
    answers = side_by_side([lambda: api.post("/runner/new", {"name": name})] * 8)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7


def test_a_refused_name_costs_no_runner(stack, api, name):
    make(api, name)
    stack.wait_oven(inUse=1)
    check_error(api.post("/runner/new", {"name": name}), 409, "nameTaken")
    stack.wait_oven(inUse=1, freeing=0)


def test_list_and_get(api, name):
    make(api, name, code="exit 4")
    short = listed(api, name, detail=False)
    assert short["name"] == name and short["inUse"] is True
    assert short["lastStatus"] == "exit"
    assert {"domain", "worker", "template", "owner"} <= set(short)
    assert (short["worker"], short["template"], short["owner"]) == ("local", "base", "admin")
    assert "state" not in short
    detail = listed(api, name)
    for field in (
        "state",
        "pid",
        "ip",
        "memory",
        "kmem",
        "link",
        "tx",
        "rx",
        "total",
        "statusHistory",
    ):
        assert field in detail, field
    assert detail["state"] == "inUse"
    assert detail["memory"] > 0
    assert host.status_field(detail["pid"], "Name") == "crunner"
    assert [entry["status"] for entry in detail["statusHistory"]] == [
        "cooking",
        "available",
        "inUse",
    ]
    times = [entry["time"] for entry in detail["statusHistory"]]
    assert times == sorted(times) and abs(times[-1] / 1000 - time.time()) < 60
    one = api.get(f"/runner/{name}")
    assert one.status == 200
    assert {k: v for k, v in one.json.items() if k != "memory"} == {
        k: v for k, v in detail.items() if k != "memory"
    }


def test_list_has_the_hosts_memory_and_the_warm_runners(stack, api):
    stack.wait_warm()
    answer = api.get("/runner").json
    memory = answer["memory"]
    assert memory["total"] > memory["available"] > 0
    assert memory["used"] == memory["total"] - memory["available"]
    assert abs(memory["percent"] - 100 * memory["used"] / memory["total"]) < 1
    warm = [one for one in answer["runners"] if not one["inUse"]]
    assert len(warm) >= 4
    assert all(one["owner"] is None for one in warm)


def test_a_run_on_a_warm_runner_is_refused(stack, api):
    """It belongs to nobody yet; whoever could take it by its name would step before the queue."""
    stack.wait_warm()
    warm = next(one["name"] for one in api.get("/runner").json["runners"] if not one["inUse"])
    check_error(api.post(f"/runner/{warm}", {"code": ":"}), 404, "runnerNotFound")


def test_delete_is_over_when_it_is_gone(stack, api, name):
    """With all its processes, cgroups and files, at the moment of the answer."""
    marker = f"31536000.{time.time_ns()}"
    make(api, name, code=f"setsid sleep {marker} >/dev/null 2>&1 & :")
    sleeping = eventually(lambda: host.find_processes(marker), "it sleeps")
    container = host.read(f"/proc/{sleeping[0]}/cgroup")
    pid = listed(api, name)["pid"]
    before = stack.containers()
    answer = api.delete(f"/runner/{name}")
    assert answer.status == 200 and answer.json == {"res": "success"}
    assert not host.find_processes(marker)
    assert not host.is_alive(pid)
    gone = before - stack.containers()
    assert any(f"/{one}" in container for one in gone)
    assert listed(api, name) is None
    check_error(api.get(f"/runner/{name}"), 404, "runnerNotFound", name)
    check_error(api.post(f"/runner/{name}", {"code": ":"}), 404, "runnerNotFound", name)
    check_error(api.delete(f"/runner/{name}"), 404, "runnerNotFound", name)


def test_a_name_can_be_used_again(api, name):
    make(api, name, code="touch old")
    api.delete(f"/runner/{name}")
    make(api, name)
    assert api.run("ls", on=name)["stdout"] == ""


def test_delete_ends_its_runs(api, name):
    """A run that is under way learns of it; it is not left waiting."""
    make(api, name)
    run = Task(api.post, f"/runner/{name}", {"code": "touch begun; sleep 1000", "time": 500})
    eventually(lambda: "begun" in api.run("ls", on=name)["stdout"], "it runs")
    assert api.delete(f"/runner/{name}").status == 200
    answer = run.result()
    assert answer.status == 200 and answer.json["status"] == "killed" or answer.status == 502


def test_deleted_by_several_at_once(api, name):
    make(api, name)
    answers = side_by_side([lambda: api.delete(f"/runner/{name}")] * 4)
    assert {answer.status for answer in answers} <= {200, 404}
    assert 200 in {answer.status for answer in answers}
    assert listed(api, name) is None


def test_a_timeout_kills_that_run_alone(api, name):
    make(api, name, code="echo kept >file")
    other = Task(
        api.run, "touch begun; while [ ! -e go ]; do sleep 0.01; done; echo whole", on=name
    )
    eventually(lambda: "begun" in api.run("ls", on=name)["stdout"], "the other runs")
    marker = f"31536000.{time.time_ns()}"
    code = f"echo said; (setsid sleep {marker} &) ; sleep {marker}"
    error = check_error(
        api.post(f"/runner/{name}", {"code": code, "time": 0.5}), 498, "runnerTimedOut"
    )
    assert (error["stdout"], error["runner"]) == ("said\n", name)
    eventually(lambda: not host.find_processes(marker), "no process of the run is left")
    assert api.run("cat file; touch go", on=name)["stdout"] == "kept\n"
    assert other.result()["stdout"] == "whole\n"


def test_a_server_in_the_background(api, name):
    """It outlives its run, does not hold its answer, and later runs reach it."""
    server = """
cat >server.py <<'END'
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"served " + self.rfile.readline())
socketserver.TCPServer.allow_reuse_address = True
server = socketserver.TCPServer(("127.0.0.1", 7000), Handler)
open("listening", "w").close()
server.serve_forever()
END
python3 server.py & echo started"""
    assert make(api, name, code=server, time=25)["stdout"] == "started\n"
    client = """
exec python3 -c '
import socket, time, os
while not os.path.exists("listening"): time.sleep(0.01)
with socket.create_connection(("127.0.0.1", 7000)) as s:
    s.sendall(b"me\\n"); print(s.makefile().readline(), end="")'"""
    for _ in range(3):
        assert api.run(client, on=name)["stdout"] == "served me\n"


def test_a_signal_of_one_run_reaches_its_runner_only(stack, api, name):
    """kill -9 -1 in it: all of that runner's programs, not the agent, and nobody else's."""
    make(api, name)
    pid = listed(api, name)["pid"]
    result = api.run("kill -9 -1", on=name)
    assert result["status"] in ("signal", "ok", "exit")
    assert api.run("echo alive", on=name)["stdout"] == "alive\n"
    assert listed(api, name)["pid"] == pid


def test_memory_of_a_named_runner(api, name):
    make(api, name, memory=64 * 1024 * 1024)
    result = api.run("exec python3 -c 'x = bytearray(200 * 1024 * 1024)'", on=name)
    assert result["status"] in ("memory", "signal")
    assert api.run("echo alive", on=name)["stdout"] == "alive\n"


def test_its_host_name_and_user(api, name):
    make(api, name)
    assert api.run("id -un; echo $HOME", on=name)["stdout"] == "runner\n/home/runner\n"


def test_output_of_a_named_runner_as_it_is(api, name):
    make(api, name)
    result = api.run(r"cat; printf '\377\000'", on=name, stdin="\0in")
    assert output_of(result) == b"\0in\xff\0"

"""A worker on another machine, over real OpenSSH: it is reached, refused, lost and found again."""

import json
import os
import subprocess

import pytest

from harness import host, places
from harness.hosts import Host, Manager, fingerprint, make_key
from harness.slow_link import SlowLink
from harness.wait import Task, eventually, workers

UP = 60  # ssh pauses for up to 10 s between two tries


class Far:
    """A manager and the one host that it has a worker on."""

    def __init__(self):
        self.manager = Manager()
        self.host = Host(authorized=self.manager.public_key)

    def __enter__(self):
        self.host.start().start_worker()
        self.manager.name_hosts([("far", self.manager.reach(self.host))])
        self.manager.start()
        self.wait_ready()
        return self

    def __exit__(self, kind, *_):
        try:
            self.manager.__exit__(kind)
        finally:
            self.host.close()

    @property
    def api(self):
        return self.manager.api

    def wait_ready(self):
        ready = lambda: self.api.plain("GET", "/readyz").status == 200
        eventually(ready, "the worker is ready", UP)

    def run_again(self, code="echo again"):
        """When it can be reached again."""

        def runs():
            answer = self.api.post("/runner/run", {"code": code})
            return answer.status == 200 and answer.json

        return eventually(runs, "a run after the link has come back", UP)

    def links_up(self):
        return len(self.manager.manager.events("worker up"))

    def link(self, name):
        return self.api.get(f"/workers/{name}").json["link"]

    def said(self):
        """What ssh said last."""
        return self.link("far")["lastLine"] or ""

    def ssh(self):
        """The pid of the manager's ssh."""
        found = [pid for pid in host.children(self.manager.manager.pid)
                 if host.status_field(pid, "Name") == "ssh"]
        return found[0] if found else None

    def start_stream(self):
        """A run that has begun and does not end by itself; its answer comes from the Task."""
        mark = f"stream-{os.urandom(4).hex()}"
        task = Task(self.api.post, "/runner/run",
                    {"code": f": {mark}; while :; do echo tick; sleep 0.1; done", "time": 60})
        eventually(lambda: host.find_processes(mark) or self._in_use(), "the run has begun")
        return task

    def _in_use(self):
        listed = self.api.get("/runner")
        return any(one["inUse"] for one in listed.json["runners"])


@pytest.fixture(scope="module")
def far(template):
    with Far() as one:
        yield one


def test_runs_on_it(far):
    result = far.api.run("echo over ssh; uname -n")
    assert result["stdout"].startswith("over ssh\ncr-"), result


def test_many_at_once(far):
    def one(number):
        return far.api.run(f"echo {number}")["stdout"]

    calls = [lambda number=number: one(number) for number in range(60)]
    assert workers(8, calls) == [f"{number}\n" for number in range(60)]


def test_the_selftest_reaches_it_and_its_host(far):
    command = [places.CODELAND, "selftest", *far.manager.options(), "--json", "--worker", "far",
               "keyrings", "collect"]
    over = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert over.stderr == ""
    result = json.loads(over.stdout)
    cases = {one["name"]: one for one in result["cases"]}
    assert set(cases) == {"keyrings", "collect"}
    assert {one["verdict"] for one in cases.values()} == {"held"}, cases
    found = {one["what"]: one for one in result["host"]}
    assert {one["worker"] for one in found.values()} == {"far"} and len(found) == 12
    for what in "processes and groups", "mounts", "interfaces", "addresses":
        assert found[what]["verdict"] == "held", found[what]


def test_what_a_process_list_shows(far):
    """ssh is one process, and no secret is among its words or in its environment."""
    with open(far.manager.identity, encoding="ascii") as file:
        secret = file.read().splitlines()[1]
    text = host.command_line(far.ssh()) + host.read(f"/proc/{far.ssh()}/environ")
    assert "StrictHostKeyChecking=yes" in text
    assert secret not in text and far.manager.token not in text
    assert far.host.logins() == 1


def test_ssh_ends_with_a_manager_that_is_killed(far):
    pid = far.ssh()
    far.manager.manager.kill()
    eventually(lambda: not host.is_alive(pid), "its ssh has ended")
    far.manager.manager.start()
    far.manager.wait_serving()
    far.wait_ready()
    assert far.run_again()["stdout"] == "again\n"


def test_sshd_killed_during_a_stream(far):
    before = far.links_up()
    task = far.start_stream()
    far.host.kill_sessions()
    answer = task.result()
    assert (answer.status, answer.json["name"]) == (502, "workerBadGateway"), answer
    assert far.run_again()["stdout"] == "again\n"
    assert far.links_up() > before


def test_a_named_runner_outlives_the_link(far):
    far.api.post("/runner/new", {"name": "stays", "code": "echo 42 > answer"})
    far.host.kill_sessions()
    assert far.api.run_after_restart("cat answer", on="stays")["stdout"] == "42\n"
    assert far.api.delete("/runner/stays").status == 200


def test_the_network_is_gone_and_comes_back(far):
    """Nothing is said about it by anybody: the silence alone tells. Runs go to another worker; what
    was there before is there afterwards.
    """
    assert far.api.post("/runner/new", {"name": "stays", "code": "echo 42 > answer"}).status == 200
    task = far.start_stream()
    with Host(authorized=far.manager.public_key) as near:
        near.start().start_worker()
        spec = {"name": "near", "ssh": near.target, "identity": far.manager.identity,
                "hostKey": near.fingerprint}
        assert far.api.post("/workers", spec).status == 201
        eventually(lambda: far.link("near")["state"] == "up", "the other worker is there", UP)
        ended = lambda: len([line for line in far.manager.manager.events("worker down")
                             if line["worker"] == "far"])
        before, ups = ended(), far.links_up()
        far.host.link_down()
        try:
            answer = task.result(120)
            assert (answer.status, answer.json["name"]) == (502, "workerBadGateway"), answer
            eventually(lambda: ended() > before, "the worker is down", UP)
            assert far.link("far")["state"] == "down", far.link("far")
            assert far.api.run("echo elsewhere")["stdout"] == "elsewhere\n"
            answer = far.api.post("/runner/stays", {"code": ":"})
            assert answer.status == 503 and "retry-after" in answer.headers, answer
            tried = lambda: "No route" in far.said() or "timed out" in far.said()
            eventually(tried, "a try to reach it again has failed", UP)
        finally:
            far.host.link_up()
        eventually(lambda: far.links_up() > ups, "the worker is there again", UP)
        assert far.api.run_after_restart("cat answer", on="stays")["stdout"] == "42\n"
        assert far.api.delete("/runner/stays").status == 200
        assert far.api.delete("/workers/near?force=true").status == 200
    assert far.run_again()["stdout"] == "again\n"


def test_loss_and_delay(far):
    """5 % of the packets are lost and each takes 50 ms: slower, and nothing worse."""
    with SlowLink(far.host, loss=0.05, delay=0.05) as slow:
        with Manager() as manager:
            far.host.write("authorized_keys", far.manager.public_key + manager.public_key)
            manager.name_hosts([("far", {**manager.reach(far.host), "ssh": f"root@{slow.address}"})])
            manager.start()
            ready = lambda: manager.api.plain("GET", "/readyz").status == 200
            eventually(ready, "the worker is ready", UP)
            for number in range(10):
                assert manager.api.run(f"echo {number}")["stdout"] == f"{number}\n"
            text = manager.api.run("head -c 200000 /dev/zero | tr '\\0' x")["stdout"]
            assert text == "x" * 200000
        assert slow.dropped() > 0


def test_two_managers(far):
    """Each runs on the worker, and one that goes takes nothing along."""
    with Manager() as second:
        far.host.write("authorized_keys", far.manager.public_key + second.public_key)
        second.name_hosts([("far", second.reach(far.host))])
        second.start()
        ready = lambda: second.api.plain("GET", "/readyz").status == 200
        eventually(ready, "the second manager has it too", UP)
        for api, name in ((far.api, "first"), (second.api, "second")):
            assert api.post("/runner/new", {"name": name, "code": ":"}).status == 200
            assert api.run("echo mine", on=name)["stdout"] == "mine\n"
        assert second.api.post("/runner/new", {"name": "first", "code": ":"}).status == 200
        assert second.api.delete("/runner/first").status == 200  # its own of that name
        assert second.api.delete("/runner/second").status == 200
    assert far.api.run("echo still", on="first")["stdout"] == "still\n"
    assert far.api.delete("/runner/first").status == 200


def test_all_processes_of_the_host_killed(far):
    task = far.start_stream()
    far.host.kill_all()
    answer = task.result()
    assert (answer.status, answer.json["name"]) == (502, "workerBadGateway"), answer
    far.host.exec("rm", "-f", "/run/codeland/worker.sock")
    far.host.start_worker()
    assert far.run_again()["stdout"] == "again\n"


# ---- hosts that must not be reached ----


def refusal(manager, name):
    """Why the manager does not reach that worker, as its log has it."""

    def logged():
        found = [line for line in manager.manager.events("ssh ended") if line["worker"] == name]
        return found and found[-1]["error"]

    return eventually(logged, f"{name} was refused")


def test_hosts_that_are_refused(template, tmp_path):
    with Manager() as manager, Host(authorized=manager.public_key) as good, Host() as wrong, Host(
        authorized=manager.public_key, sshd="PubkeyAuthentication no\nPasswordAuthentication yes\n"
    ) as password:
        for one in (good, wrong, password):
            one.start()
        make_key(str(tmp_path / "other"))
        other = fingerprint(str(tmp_path / "other.pub"))
        unknown = manager.reach(good)
        del unknown["host_key"]
        manager.name_hosts([
            ("unknown", unknown),
            ("changed", manager.reach(good, host_key=other)),
            ("wrong", manager.reach(wrong)),
            ("password", manager.reach(password)),
            ("nobody", manager.reach(good, ssh=f"root@{good.address}:23")),
        ])
        manager.start()
        assert f"key {good.fingerprint} (ssh-ed25519) has not been accepted" in refusal(manager, "unknown")
        assert f"and {other} is the one that was accepted" in refusal(manager, "changed")
        for name in ("wrong", "password"):
            text = refusal(manager, name)
            assert "lets nobody in with that key" in text and "Permission denied" in text
        assert "Connection refused" in refusal(manager, "nobody")
        # Those whose key was refused were sent nothing, not even a user's name.
        assert good.logins() == 0 and "publickey" not in good.log(), good.log()
        assert "password" not in password.log().replace("[preauth]", ""), password.log()
        answer = manager.api.post("/runner/run", {"code": ":"})
        assert answer.status == 503, answer


def test_another_kind_of_key(template):
    """The pinned key is not the one that ssh would choose first; and the manager's key opens the
    worker's socket alone, as SECURITY.md has it.
    """
    with Manager() as manager:
        only = 'restrict,port-forwarding,command="/bin/false" '
        with Host(authorized=only + manager.public_key) as one:
            rsa = os.path.join(one.folder, "rsa_key")
            make_key(rsa, "rsa")
            one.write("sshd_config", f"HostKey {rsa}\n" + host.read(f"{one.folder}/sshd_config"))
            one.start().start_worker()
            manager.name_hosts([("far", manager.reach(one, host_key=fingerprint(f"{rsa}.pub")))])
            manager.start()
            ready = lambda: manager.api.plain("GET", "/readyz").status == 200
            eventually(ready, "the worker is ready", UP)
            assert manager.api.run("echo rsa")["stdout"] == "rsa\n"

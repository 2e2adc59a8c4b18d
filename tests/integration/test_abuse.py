"""The abuse catalogue against a real worker: every case holds, and nothing of it is left."""

import json
import os
import subprocess

import pytest

from harness import places
from harness.wait import eventually, patient
from harness.world import NetworkStack, World
from test_leaks import assert_no_more, figures, settle, shared_memory


def selftest(stack, *words):
    """Its exit code, what it printed, and what it complained about."""
    command = [places.CODELAND, "selftest", *stack.options(), *words]
    over = subprocess.run(command, capture_output=True, text=True, timeout=patient(400), check=False)
    return over.returncode, over.stdout, over.stderr


@pytest.fixture
def isolated(template):
    """Makes stacks on hosts of their own: what others do on this machine meanwhile is not seen."""
    made = []

    def make(settings):
        place = World()
        made.append((place, NetworkStack(place, settings)))
        stack = made[-1][1]
        for daemon in stack.worker, stack.manager:
            daemon.argv = ["unshare", "--mount", "--propagation", "private", *daemon.argv]
        return stack

    yield make
    for place, stack in made:
        try:
            stack.close()
        finally:
            place.close()


def test_the_catalogue_holds(isolated):
    """All of it: there is a network, and a compiler."""
    # As many as there may be, so that demand cannot make it keep more afterwards.
    # And none for a compiler is kept much longer than it runs, in the place of one of those.
    settings = {
        "oven.min_available": 8,
        "oven.max_runners": 8,
        "oven.linger": "1s",
        "run.queue": "60s",
    }
    stack = isolated(settings)
    places.ensure_template("c")
    target = os.path.join(stack.state_dir, "templates", "c")
    os.symlink(os.path.join(places.STATE, "templates", "c"), target)
    stack.start()

    def known():
        languages = stack.api.ask("GET", "/languages").json
        return any(one["name"] == "c" and one["available"] for one in languages)

    eventually(known, "the manager knows the template")
    # What is made once and kept is made now: the bridge, threads.
    answer = stack.api.post("/runner/run", {"code": "echo hi", "network": "nat"})
    assert answer.json["stdout"] == "hi\n"
    for _ in range(4):
        assert stack.api.ask("GET", "/workers/local/footprint").status == 200
    settle(stack)
    before, memory = figures(stack), shared_memory()
    code, out, complaint = selftest(stack, "--json", "--worker", "local")
    assert complaint == ""
    result = json.loads(out)
    wrong = [
        f"{one['name']} ({one['tries']}): {one['verdict']}, {one['status']}: {one['why']}"
        for one in result["cases"]
        if one["verdict"] != "held"
    ]
    wrong += [f"{one['what']}: {one['why']}" for one in result["host"] if one["verdict"] != "held"]
    for one in sorted(result["cases"], key=lambda one: -one["took"])[:8]:
        print(f"{one['name']}: {one['took'] / 1000:.1f} s, {one['status']}")
    assert not wrong, "\n".join(wrong)
    assert len(result["host"]) == 12 and result["failed"] == result["notApplicable"] == 0
    assert code == 0 and result["held"] == len(result["cases"]) + 12 > 80
    settle(stack)
    assert_no_more(stack, before)
    eventually(lambda: shared_memory() < memory + 64 * 2**20, "the runners' disks are gone", 60)
    stack.check_logs()


def test_choosing_and_refusing(isolated):
    stack = isolated({"network.nat": "no"})
    stack.start()
    names = ["keyrings", "sleep", "nat-dns", "compile-output"]
    selftest(stack, *names)  # what is made once and kept, connections above all, is made now
    code, out, _ = selftest(stack, *names)
    assert code == 0, out
    lines = out.splitlines()
    assert lines[-1].startswith("2 of 4 cases held, 2 are not applicable here; of 12 things of")
    verdicts = {line.split()[2]: line.split()[0] for line in lines if line[0] != " "}
    assert verdicts["keyrings"] == verdicts["sleep"] == "held"
    assert verdicts["nat-dns"] == verdicts["compile-output"] == "n/a"
    assert "network: nat is switched off here" in out and "template build native" in out
    code, out, complaint = selftest(stack, "no-such-case")
    assert code == 2 and "neither a case nor a group" in complaint
    code, out, complaint = selftest(stack, "--worker", "elsewhere", "sleep")
    assert code == 1 and "there is no worker" in complaint and out == ""
    code, out, complaint = selftest(stack, "--worker=No Name", "sleep")
    assert code == 2 and "is no worker's name" in complaint
    code, out, complaint = selftest(stack, "--set", "http.listen=127.0.0.1:1", "sleep")
    assert code == 1 and "127.0.0.1:1" in complaint


def test_the_documented_catalogue_is_this_one(stack):
    code, out, _ = selftest(stack, "--list")
    with open(f"{places.REPOSITORY}/docs/abuse.md", encoding="utf-8") as file:
        text = file.read()
    assert code == 0 and out.strip() in text, "docs/abuse.md: put in `codeland selftest --list`"

"""The abuse catalogue against a real worker: every case holds, and nothing of it is left."""

import json
import subprocess

from harness import places
from harness.wait import eventually
from test_leaks import assert_no_more, figures, settle, shared_memory


def selftest(stack, *words):
    """Its exit code, what it printed, and what it complained about."""
    command = [places.CODELAND, "selftest", *stack.options(), *words]
    over = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    return over.returncode, over.stdout, over.stderr


def test_the_catalogue_holds(new_stack):
    # As many as there may be, so that demand cannot make it keep more afterwards.
    settings = {"oven.min_available": 8, "oven.max_runners": 8, "run.queue": "120s"}
    stack = new_stack(settings).start()
    assert stack.api.run("echo hi")["stdout"] == "hi\n"
    settle(stack)
    before, memory = figures(stack), shared_memory()
    code, out, complaint = selftest(stack, "--json")
    assert complaint == ""
    result = json.loads(out)
    wrong = [
        f"{one['name']} ({one['tries']}): {one['status']}: {one['why']}"
        for one in result["cases"]
        if not one["held"]
    ]
    for one in sorted(result["cases"], key=lambda one: -one["took"])[:8]:
        print(f"{one['name']}: {one['took'] / 1000:.1f} s, {one['status']}")
    assert not wrong, "\n".join(wrong)
    assert code == 0 and result["failed"] == 0 and result["held"] == len(result["cases"]) > 60
    settle(stack)
    assert_no_more(stack, before)
    eventually(lambda: shared_memory() < memory + 64 * 2**20, "the runners' disks are gone", 60)
    stack.check_logs()


def test_choosing_and_refusing(stack):
    code, out, _ = selftest(stack, "keyrings", "sleep")
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == "2 of 2 cases held"
    assert sorted(line.split()[2] for line in lines[:-1]) == ["keyrings", "sleep"]
    code, out, complaint = selftest(stack, "no-such-case")
    assert code == 2 and "neither a case nor a group" in complaint
    code, out, complaint = selftest(stack, "--set", "http.listen=127.0.0.1:1", "sleep")
    assert code == 1 and "FAILED" in out


def test_the_documented_catalogue_is_this_one(stack):
    code, out, _ = selftest(stack, "--list")
    with open(f"{places.REPOSITORY}/docs/abuse.md", encoding="utf-8") as file:
        text = file.read()
    assert code == 0 and out.strip() in text, "docs/abuse.md: put in `codeland selftest --list`"

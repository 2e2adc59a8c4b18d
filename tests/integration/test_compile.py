"""A language with a compiler: two stages on one runner, each with a verdict of its own."""

import os

import pytest

from harness import places
from harness.stack import Stack
from harness.wait import eventually

PROGRAM = """
#include <stdio.h>
int main(int argc, char **argv)
{
    char line[100];
    while (fgets(line, sizeof(line), stdin))
        printf("%s: %s", argv[argc - 1], line);
    return 3;
}
"""


@pytest.fixture(scope="module")
def api():
    places.ensure_template("c")
    with Stack() as stack:
        target = os.path.join(stack.state_dir, "templates", "c")
        stack.start()
        os.symlink(os.path.join(places.STATE, "templates", "c"), target)

        def known():
            return any(
                one["name"] == "c" and one["available"]
                for one in stack.api.ask("GET", "/languages").json
            )

        eventually(known, "the manager knows the template")
        yield stack.api


def test_compiled_and_run(api):
    result = api.run(PROGRAM, language="c", stdin="one\ntwo\n", args=["x"])
    assert result["compile"]["status"] == "ok" and result["compile"]["duration"] > 0
    assert result["stdout"] == "x: one\nx: two\n"
    assert (result["status"], result["exit"]) == ("exit", 3)


def test_no_program(api):
    result = api.run("int main(void) { return oops; }", language="c")
    assert (result["status"], result["exit"], result["stdout"]) == ("compile_error", None, "")
    assert result["compile"]["status"] == "exit"
    assert "oops" in result["compile"]["stderr"]


def test_limits_are_the_programs(api):
    endless = api.ask(
        "POST", "/runner/run", {"code": "int main(void) { for (;;); }", "language": "c", "time": 1}
    )
    assert endless.status == 498 and endless.json["status"] == "timeout"
    assert endless.json["compile"]["status"] == "ok"
    greedy = "#include <stdlib.h>\n#include <string.h>\nint main(void)\n{\n"
    greedy += "    for (;;)\n        memset(malloc(1 << 20), 1, 1 << 20);\n}\n"
    assert api.run(greedy, language="c")["status"] == "memory"


def test_kept_runner(api):
    made = api.ask("POST", "/runner/new", {"name": "kept", "template": "c"})
    assert made.status == 200, made
    for _ in range(2):
        fields = {"code": PROGRAM, "language": "c", "stdin": "a\n", "args": ["y"]}
        answer = api.ask("POST", "/runner/kept", fields)
        assert answer.json["stdout"] == "y: a\n", answer
    left = api.ask("POST", "/runner/kept", {"code": 'ls -A | grep -v "${0##*/}" | grep run'})
    assert left.json["stdout"] == ""  # but for its own file

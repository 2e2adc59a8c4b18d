"""What every language must do, tried over the API of a real stack.

tests/languages/NAME.programs has the small programs, one below each line "[CASE]", and before them
what is special about the language, as "KEY = VALUE" lines:

    error = TEXT         what the compiler or interpreter says of [error], in part
    alloc = TEXT         its runtime sizes itself and says this of [alloc]; without: "memory"
    alloc.memory = MIB   of [alloc], where taking all of the usual memory takes for ever
    CASE = none: REASON  the language cannot do it

[stdin.input], [stdin.output] and [fits.output] stand where the usual input or output does not fit.
The sample is the one of languages/NAME.conf.
"""

import functools
import json
import os
import subprocess

from . import host, places
from .http import Client
from .wait import Task, eventually

FOLDER = os.path.join(places.REPOSITORY, "tests/languages")

INPUT = "one\ntwo\nthree\n"
OUTPUT = "ONE\nTWO\nTHREE\n3\n"
EXIT = 7
LOOPING = "looping\n"

TIME = 300  # seconds; it only ends what hangs
TIMEOUT = 1200  # of a request: waiting for a runner, both stages
LOOP_TIME_MOST = 256
TOGETHER = 4

PARTS = {"error", "stdin", "stdin.input", "stdin.output", "exit", "loop", "alloc", "fits", "fits.output"}
NOT_POSSIBLE = "none: "


class NotPossible(Exception):
    """The language cannot do it; the reason."""


def languages(*settings):
    """Every language as the program tells it, by name."""
    told = subprocess.run(
        [places.CODELAND, "languages", "json", *settings], capture_output=True, text=True, timeout=120, check=True
    )
    return {language["name"]: language for language in json.loads(told.stdout)}


class Programs:
    """The file of one language."""

    def __init__(self, name):
        self.special, self.parts = {}, {}
        part = None
        with open(os.path.join(FOLDER, f"{name}.programs"), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line[0] == "[" and line[1:-2] in PARTS and line.endswith("]\n"):
                    part = line[1:-2]
                    assert part not in self.parts, f"{file.name}:{number}: {part} is there twice"
                    self.parts[part] = ""
                elif part:
                    self.parts[part] += line
                elif line.strip():
                    key, value = line.rstrip("\n").split(" = ", 1)
                    assert key in PARTS | {"alloc.memory"}, f"{file.name}:{number}: {key}?"
                    self.special[key] = value

    def __getitem__(self, case):
        """The program of a case; NotPossible where the language has none."""
        reason = self.special.get(case, "")
        if reason.startswith(NOT_POSSIBLE):
            raise NotPossible(reason[len(NOT_POSSIBLE) :])
        return self.parts[case]


def link_templates(stack, names):
    """Gives a stack that has not started yet the templates that are built below places.STATE."""
    for name in names:
        target = os.path.join(stack.state_dir, "templates", name)
        if not os.path.lexists(target):
            os.symlink(os.path.join(places.STATE, "templates", name), target)


class Trial:
    """One language in one template of a stack. Each method named in CASES raises AssertionError, or
    NotPossible, and returns a few words about what was seen. loop_time: seconds that an endless
    loop gets at first; memory: what the program has that takes all it can get.
    """

    def __init__(self, stack, language, template, loop_time, memory=None):
        self.stack, self.language, self.template = stack, language, template
        self.loop_time, self.memory = loop_time, memory or language["memory"]
        self.api = Client(stack.address, stack.token, TIMEOUT)

    @functools.cached_property
    def programs(self):
        return Programs(self.language["name"])

    def run(self, code, **fields):
        """A result, of a run that was over in time or not."""
        body = {
            "code": code,
            "language": self.language["name"],
            "template": self.template,
            "time": TIME,
            "queue": 60,
            **fields,
        }
        answer = self.api.post("/runner/run", body)
        assert answer.status == 200 or (answer.status == 498 and "time" in fields), answer
        self._check_figures(answer.json)
        return answer.json

    def _check_figures(self, result):
        """Of one processor, and within the memory. A small program may fit into what its compiler left."""
        compiled = result.get("compile") is not None
        assert compiled == bool(self.language["compile"]), result
        if result["status"] == "compile_error":
            return
        assert 0 <= result["memoryPeak"] <= self.language["memory"], result
        used = result["cpuUser"] + result["cpuSys"]
        assert 0 <= used <= 2 * result["wall"] + 1000, result

    def _works(self, code, output, **fields):
        result = self.run(code, **fields)
        assert (result["status"], result["exit"]) == ("ok", 0), result
        assert result["stdout"] == output, result
        return result

    def sample(self):
        result = self._works(self.language["sample"], self.language["output"])
        return "{:.0f} MB".format(result["memoryPeak"] / 1e6)

    def error(self):
        result = self.run(self.programs["error"])
        stage = result
        if self.language["compile"]:
            assert (result["status"], result["exit"]) == ("compile_error", None), result
            assert result["stdout"] == result["stderr"] == "", result
            stage = result["compile"]
        assert stage["status"] == "exit" and stage["exit"] > 0, result
        assert self.programs.special["error"] in stage["stdout"] + stage["stderr"], result
        return "compile_error" if self.language["compile"] else f"exit {stage['exit']}"

    def stdin(self):
        program = self.programs["stdin"]
        parts = self.programs.parts
        given = parts.get("stdin.input", INPUT)
        self._works(program, parts.get("stdin.output", OUTPUT), stdin=given)
        return "ok"

    def exit(self):
        result = self.run(self.programs["exit"])
        assert (result["status"], result["exit"], result["signal"]) == ("exit", EXIT, None), result
        return f"exit {EXIT}"

    def loop(self):
        """Until its time was enough to begin at all: this machine may be slow."""
        program = self.programs["loop"]
        seconds = self.loop_time
        while True:
            result = self.run(program, time=seconds)
            assert (result["status"], result["exit"], result["stderr"]) == ("timeout", None, ""), result
            assert result["wall"] >= 1000 * seconds, result
            eventually(lambda: self._gone(result["runner"]), f"{result['runner']} is gone")
            if result["stdout"] == LOOPING:
                assert result["cpuUser"] + result["cpuSys"] > 0, result
                return "timeout"
            assert result["stdout"] == "" and seconds < LOOP_TIME_MOST, result
            seconds *= 2

    def _gone(self, runner):
        return runner not in host.containers(self.stack.prefix)

    def alloc(self):
        program, special = self.programs["alloc"], self.programs.special
        memory = int(special.get("alloc.memory", 0)) << 20 or self.memory
        result = self.run(program, memory=memory)
        own = special.get("alloc")
        if own is None:
            assert result["status"] == "memory", result
            assert memory / 2 < result["memoryPeak"] <= memory, result
            return "memory"
        assert result["status"] in ("exit", "signal") and result["exit"] != 0, result
        assert own in result["stderr"], result
        return own

    def fits(self):
        """A runtime that sizes itself: by the runner, not by the machine."""
        if "fits" not in self.programs.parts:
            raise NotPossible("it does not size itself")
        self._works(self.programs["fits"], self.programs.parts["fits.output"])
        return "ok"

    def together(self):
        """Several first starts at once, each in a fresh runner."""
        for task in [Task(self.sample) for _ in range(TOGETHER)]:
            task.result(TIMEOUT)
        return f"{TOGETHER} ok"


CASES = ["sample", "error", "stdin", "exit", "loop", "alloc", "fits", "together"]

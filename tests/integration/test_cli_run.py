"""`codeland run`: a program over the API, as if it ran here."""

import os
import signal
import subprocess

import pytest
from harness import places

TIMEOUT = 120


@pytest.fixture
def codeland(stack, tmp_path):
    """Runs a program's text: codeland(code, args...) -> a process that has ended."""

    def command(code, *args, options=(), name="program.sh"):
        path = tmp_path / name
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        return [places.CODELAND, "run", *stack.options(), *options, str(path), *args]

    def run(code, *args, **more):
        words = {key: more.pop(key) for key in ("options", "name") if key in more}
        more.setdefault("stdin", subprocess.DEVNULL if "input" not in more else None)
        if more["stdin"] is None:
            del more["stdin"]
        return subprocess.run(command(code, *args, **words), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False, **more)

    def start(code, *args, **words):
        return subprocess.Popen(command(code, *args, **words), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    run.start = start
    return run


def test_output_and_exit_code(codeland):
    ended = codeland("echo out; echo err >&2; exit 7")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"out\n", b"err\n")


def test_arguments_are_the_programs(codeland):
    ended = codeland('printf "<%s>" "$@"', "--help", "--time", "two words", "é")
    assert ended.stdout.decode() == "<--help><--time><two words><é>"


def test_stdin_to_its_end(codeland):
    data = os.urandom(3_000_000)
    ended = codeland("sleep 0.2; cat", input=data)
    assert ended.returncode == 0 and ended.stdout == data


def test_a_dialogue(codeland):
    with codeland.start("while read -r word; do echo \"<$word>\"; done") as process:
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"<" + word + b">\n"
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_the_programs(codeland, number):
    name = number.name.removeprefix("SIG")
    code = f"trap 'echo caught; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    with codeland.start(code) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.read() == b"caught\n"
        assert process.wait(TIMEOUT) == 5


def test_a_signal_ends_it(codeland):
    with codeland.start("echo ready; exec sleep 1000") as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT


def test_the_second_ctrl_c_ends_the_run(codeland, stack):
    """Also of a program that ignores it."""
    with codeland.start("trap 'echo ignored' INT; echo ready; while :; do sleep 0.05; done") as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"ignored\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT
    stack.wait_oven(inUse=0, freeing=0)


def test_a_timeout_is_told(codeland):
    ended = codeland("echo begun; sleep 1000", options=["--time", "0.5"])
    assert (ended.returncode, ended.stdout) == (124, b"begun\n")
    assert b"timeout" in ended.stderr


def test_a_reader_that_stops(codeland, stack):
    """`codeland run FILE | head`."""
    with codeland.start("yes") as process:
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE
    stack.wait_oven(inUse=0, freeing=0)


def test_on_a_named_runner(codeland, api):
    api.post("/runner/new", {"name": "desk", "code": "echo kept >file"})
    assert codeland("cat file", options=["--runner=desk"]).stdout == b"kept\n"
    assert api.delete("/runner/desk").status == 200


def test_the_language_of_a_suffix(codeland):
    ended = codeland("echo hi", name="program.unheard-of")
    assert ended.returncode == 125 and b"unheard-of" in ended.stderr
    assert codeland("echo hi", name="program.unheard-of", options=["--language=sh"]).stdout == b"hi\n"
    assert codeland("echo hi", name="program").stdout == b"hi\n"
    for name, code in (("a.py", "print('hi')"), ("a.pl", 'print "hi\\n";'), ("a.awk", 'BEGIN {print "hi"}')):
        assert codeland(code, name=name).stdout == b"hi\n", name


@pytest.mark.parametrize("options, words, code", [
    (["--time", "soon"], b'--time: "soon" is not a number', 125),
    (["--time", "1e6"], b"time: ", 125),
    (["--runner", "a/b"], b"no runner's name", 125),
    (["--runner", "nobody"], b"nobody", 125),
    (["--token", "cl_" + "0" * 40], b"token", 125),
    (["--address", "127.0.0.1:1"], b"127.0.0.1:1", 125),
    (["--wrong", "x"], b"unknown option --wrong", 2),
])
def test_what_cannot_be(codeland, options, words, code):
    ended = codeland("echo hi", options=options)
    assert ended.returncode == code and words in ended.stderr and not ended.stdout


def test_files_that_are_no_programs(codeland, stack):
    ended = codeland(b"\xff\xfe")
    assert ended.returncode == 125 and b"is not UTF-8" in ended.stderr
    command = [places.CODELAND, "run", *stack.options()]
    missing = subprocess.run([*command, "/nowhere/x.sh"], stderr=subprocess.PIPE, check=False)
    assert missing.returncode == 125 and b"/nowhere/x.sh" in missing.stderr
    nothing = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert nothing.returncode == 2 and b"which file?" in nothing.stderr

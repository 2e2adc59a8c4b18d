"""The languages: what is told about them, a new one, and those of the template base for real."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest

from harness import places
from harness.programs import CASES, FOLDER, NotPossible, Programs, Trial, languages, link_templates
from harness.stack import Stack

BASE = {"sh", "bash", "python3", "perl", "awk", "sqlite"}
MEMORY = 48 << 20  # for those that take all they can get

# The example of the README.
with open(os.path.join(places.REPOSITORY, "README.md"), encoding="utf-8") as readme:
    NEW = readme.read().split("```ini\n", 1)[1].split("```", 1)[0]


def codeland(*words):
    return subprocess.run([places.CODELAND, *words], capture_output=True, text=True, timeout=120,
                          check=False)


@pytest.fixture(scope="module")
def tried(template):
    """A stack with both templates, and every language as the program tells it."""
    places.ensure_template("c")
    with Stack() as stack:
        link_templates(stack, ["base", "c"])
        yield stack.start(), languages()


@pytest.fixture
def folder(tmp_path):
    """The language files and one more."""
    copy = tmp_path / "languages"
    shutil.copytree(os.path.join(places.REPOSITORY, "languages"), copy)
    (copy / "meson.build").unlink()
    (copy / "shout.conf").write_text(NEW)
    return copy


def test_the_document_is_current():
    with open(os.path.join(places.REPOSITORY, "docs/languages.md"), encoding="utf-8") as file:
        assert file.read() == codeland("languages", "markdown").stdout, \
            "codeland languages markdown >docs/languages.md"


def test_what_is_told_is_what_a_fresh_runner_gets():
    known = languages()
    assert BASE == {name for name, one in known.items() if one["template"] == "base"}
    assert known["c"]["compile"][:2] == ["gcc", "-std=gnu17"]
    assert known["c"]["run"] == ["./program"]
    told = json.dumps([[one["compile"], one["run"], one["env"]] for one in known.values()])
    assert not any(token in told for token in ("{dir}", "{file}", "{heap}"))
    lines = codeland("languages", "ls").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(known)


def test_a_wrong_word_and_a_wrong_folder_are_told():
    assert codeland("languages", "list").returncode == 2
    missing = codeland("languages", "ls", "--set", "paths.languages=/nowhere")
    assert missing.returncode == 1 and "/nowhere" in missing.stderr


@pytest.mark.parametrize("case", [case for case in CASES if case != "fits"])
@pytest.mark.parametrize("name", sorted(BASE | {"c"}))
def test_a_language_does_what_every_one_must(tried, name, case):
    stack, known = tried
    trial = Trial(stack, known[name], "c" if name == "c" else "base", loop_time=0.5, memory=MEMORY)
    getattr(trial, case)()


def test_every_language_has_its_programs():
    for name, language in languages().items():
        programs = Programs(name)
        for case in ("error", "stdin", "exit", "loop", "alloc"):
            with contextlib.suppress(NotPossible):
                assert programs[case], f"{name}: {case}"
        assert name == language["name"] and programs.special["error"], name
    files = {name.removesuffix(".programs") for name in os.listdir(FOLDER) if name != "run"}
    assert files == set(languages())


def test_the_command_tells_what_it_tried(template):
    command = [os.path.join(FOLDER, "run"), "--state", places.STATE, "--template", "base", "--case", "sample"]
    environment = {**os.environ, "CODELAND_BUILD": places.BUILD}
    for more, told, status in (
        (["sh"], "1 passed, 0 failed, 0 not tried", 0),
        (["rust"], "not tried, their template is not built: rust (native)", 1),
    ):
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=600, check=False, env=environment
        )
        assert done.returncode == status and told in done.stdout, done.stdout + done.stderr


def test_a_new_language_is_a_file_and_a_command(template, folder):
    """Its packages are there already: nothing is built, its template says that it has it."""
    assert NEW.startswith("[language]\ntitle = Shouting\n")
    settings = {"paths.languages": folder, "oven.min_available": 1}
    with Stack(settings, template=None) as stack:
        base = os.path.join(stack.state_dir, "templates/base")
        subprocess.run(["cp", "-a", os.path.realpath(template), base], check=True)
        made = codeland("template", "build", "base", *stack.options())
        assert made.returncode == 0, made.stdout + made.stderr
        assert "base is up to date; its description and languages were noted anew" in made.stdout
        known = languages(*stack.options())
        assert known["shout"]["aliases"] == ["loud"]
        stack.start()
        result = stack.api.run("be quiet\n", language="loud")
        assert (result["status"], result["stdout"]) == ("ok", "BE QUIET\n"), result
        wrong = {**known["shout"], "output": "HELLO?\n"}
        for language, fails in ((known["shout"], False), (wrong, True)):
            with pytest.raises(AssertionError) if fails else contextlib.nullcontext():
                Trial(stack, language, "base", loop_time=1).sample()

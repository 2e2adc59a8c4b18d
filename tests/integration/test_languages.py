"""The languages: what is told about them, a new one, and those of the template base for real."""

import json
import os
import shutil
import subprocess

import pytest

from harness import places

BASE = {"sh", "bash", "python3", "perl", "awk", "sqlite"}

# The example of the README.
with open(os.path.join(places.REPOSITORY, "README.md"), encoding="utf-8") as readme:
    NEW = readme.read().split("```ini\n", 1)[1].split("```", 1)[0]


def codeland(*words):
    return subprocess.run([places.CODELAND, *words], capture_output=True, text=True, timeout=120,
                          check=False)


def listed(*words):
    told = codeland("languages", "json", *words)
    assert told.returncode == 0, told.stderr
    return {language["name"]: language for language in json.loads(told.stdout)}


def try_in_template(*names, settings=()):
    return subprocess.run(
        [os.path.join(places.REPOSITORY, "tests/languages/run"), "--state", places.STATE, *settings,
         *names],
        capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "CODELAND_BUILD": places.BUILD})


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
    languages = listed()
    assert BASE == {name for name, one in languages.items() if one["template"] == "base"}
    assert languages["c"]["compile"][:2] == ["gcc", "-std=gnu17"]
    assert languages["c"]["run"] == ["./program"]
    told = json.dumps([[one["compile"], one["run"], one["env"]] for one in languages.values()])
    assert not any(token in told for token in ("{dir}", "{file}", "{heap}"))
    lines = codeland("languages", "ls").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(languages)


def test_a_wrong_word_and_a_wrong_folder_are_told():
    assert codeland("languages", "list").returncode == 2
    missing = codeland("languages", "ls", "--set", "paths.languages=/nowhere")
    assert missing.returncode == 1 and "/nowhere" in missing.stderr


def test_the_languages_of_base_do_what_their_files_say(template):
    tried = try_in_template(*sorted(BASE))
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert " 0 failed" in tried.stdout and tried.stdout.count("passed") > len(BASE)


def test_a_compiled_language_does_too():
    places.ensure_template("c")
    tried = try_in_template("c")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "0 failed" in tried.stdout and "c              c          passed" in tried.stdout


def test_a_sample_that_prints_something_else_fails(template, folder):
    (folder / "shout.conf").write_text(NEW.replace("HELLO", "HELLO?"))
    tried = try_in_template("shout", settings=["--set", f"paths.languages={folder}"])
    assert tried.returncode == 1, tried.stdout + tried.stderr
    assert "the sample: run ended with 0" in tried.stdout
    assert "\n0 passed, " in tried.stdout and ", 0 not tried" in tried.stdout


def test_a_new_language_is_a_file_and_a_command(template, folder, tmp_path):
    """Its packages are there already: nothing is built, its template says that it has it."""
    assert NEW.startswith("[language]\ntitle = Shouting\n")
    assert listed("--set", f"paths.languages={folder}")["shout"]["aliases"] == ["loud"]
    copy = tmp_path / "templates/base"
    (copy / "rootfs/usr/libexec").mkdir(parents=True)
    (copy / "rootfs/usr/libexec/crunner").touch()
    (copy / "rootfs/run/codeland").mkdir(parents=True)
    shutil.copy(os.path.join(template, "template.json"), copy)
    made = codeland("template", "build", "base", "--set", f"paths.state_dir={tmp_path}", "--set",
                    f"paths.languages={folder}")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "base is up to date; its description and languages were noted anew" in made.stdout
    about = json.loads((copy / "template.json").read_text())
    assert "shout" in {language["name"] for language in about["languages"]}

"""Which template a run gets, by its language, and what the API tells of languages."""

import json
import os
import subprocess

from harness import places
from harness.stack import Stack
from harness.wait import eventually


def add_template(stack, name, languages):
    """A smaller copy of the base template that brings these languages alone, and says so."""
    target = os.path.join(stack.state_dir, "templates", name)
    fresh = f"{target}.new"
    subprocess.run(["cp", "-a", f"{places.TEMPLATE}/.", fresh], check=True)
    with open(os.path.join(fresh, "rootfs/etc/mark"), "w", encoding="ascii") as file:
        file.write(name)
    about = os.path.join(fresh, "template.json")
    with open(about, encoding="utf-8") as file:
        told = json.load(file)
    told.update(name=name, sizeBytes=1000, languages=languages)
    with open(about, "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.rename(fresh, target)


def languages_of(api):
    answer = api.get("/languages")
    assert answer.status == 200, answer
    return {one["name"]: one for one in answer.json}


def test_languages_of_the_base_template(api):
    known = languages_of(api)
    for name in ("sh", "bash", "perl"):
        one = known[name]
        assert one["version"] and one["available"] and one["template"] == "base", one
        assert one["file"] and one["sample"] and one["title"] and isinstance(one["aliases"], list)
    for name in ("java", "rust", "c"):
        assert known[name]["version"] is None and not known[name]["available"], known[name]


def test_samples_run_on_the_template_that_is_chosen(api):
    for name, one in languages_of(api).items():
        if one["template"] == "base" and one["available"]:
            result = api.run(one["sample"], language=name, time=50)
            assert result["status"] == "ok" and result["language"] == name, result


def test_a_language_that_no_template_has(api):
    answer = api.post("/runner/run", {"code": "x", "language": "rust"})
    assert answer.status == 503 and answer.json["name"] == "RunnerNotAvailable", answer
    assert "sudo codeland template build native" in answer.json["message"], answer


def test_the_smallest_template_is_taken_once_it_is_there(template):
    with Stack({"oven.min_available": 1}) as stack:
        api = stack.start().api
        assert api.run("cat /etc/mark 2>/dev/null || echo none")["stdout"] == "none\n"
        add_template(stack, "tiny", [{"name": "sh", "version": "7"}])
        eventually(lambda: languages_of(api)["sh"]["template"] == "tiny", "the template is known")
        sh, perl = languages_of(api)["sh"], languages_of(api)["perl"]
        assert (sh["version"], sh["available"], perl["template"]) == ("7", True, "base")
        assert api.run("cat /etc/mark")["stdout"] == "tiny"
        assert api.run("print -e '/etc/mark' ? 1 : 0", language="perl")["stdout"] == "0"
        named = api.post("/runner/new", {"language": "perl", "code": "1", "name": "demo"})
        assert named.status == 200, named
        assert api.get("/runner/demo").json["template"] == "base"

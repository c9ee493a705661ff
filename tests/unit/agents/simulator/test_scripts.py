"""Script files are checked when they are loaded."""

from pathlib import Path

import pytest

from agents.simulator.scripts import ScriptError, example_files, load_scripts, parse_scripts

BROKEN = {
    "not YAML": ("- name: [", "not YAML"),
    "no list": ("name: x", "a list of scripts"),
    "no mapping": ("- 5", "script number 1: "),
    "no name": ("- when: {user: x}", "script number 1: name: Field required"),
    "no when": ("- name: x", "script 'x': when: Field required"),
    "unknown key": ("- {name: x, when: {user: a}, exekutor: []}", "script 'x': exekutor: Extra inputs"),
    "unknown key in a turn": (
        "- {name: x, when: {user: a}, executor: [{txt: hi}]}",
        "script 'x': executor.0.txt: Extra inputs",
    ),
    "bad pattern": ("- {name: x, when: {user: '('}}", "script 'x': when.user: not a regular expression"),
    "bad pattern of a capture": (
        "- {name: x, when: {user: a}, capture: {b: '['}}",
        "script 'x': capture.b: not a regular expression",
    ),
    "bad pattern of a case": (
        "- {name: x, when: {user: a}, observer: {cases: [{match: '*', verdict: complete}]}}",
        "script 'x': observer.0.cases.0.match: not a regular expression",
    ),
    "call without name": (
        "- {name: x, when: {user: a}, executor: [{calls: [{arguments: {}}]}]}",
        "script 'x': executor.0.calls.0.name: Field required",
    ),
    "empty turn": ("- {name: x, when: {user: a}, executor: [{}]}", "script 'x': executor.0: give either"),
    "cases and text": (
        "- {name: x, when: {user: a}, executor: [{text: a, cases: [{match: a, text: b}]}]}",
        "script 'x': executor.0: give either",
    ),
    "no turns": ("- {name: x, when: {user: a}, executor: []}", "script 'x': executor: "),
    "unknown fault": (
        "- {name: x, when: {user: a}, executor: {text: a, fault: {kind: flood}}}",
        "script 'x': executor.0.fault.kind: ",
    ),
    "placeholder": (
        "- {name: x, when: {user: '(?P<order>T)'}, executor: [{text: a}, {calls: [{name: t, arguments: {id: '{ordr}'}}]}]}",
        "script 'x': executor.1.calls.0.arguments.id: nothing captures {ordr}; known are: order",
    ),
    "same name": (
        "[{name: x, when: {user: a}}, {name: x, when: {user: b}}]",
        "script 'x': name: another script",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_names_file_script_and_key(text: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_scripts(text, source="shop/scripts.yaml")
    assert str(caught.value).startswith("shop/scripts.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_has_no_scripts() -> None:
    assert parse_scripts("", source="x") == ()


def test_files_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(f"- {{name: {name}, when: {{user: x}}, executor: {{text: hi}}}}")
    assert [script.name for script in load_scripts([tmp_path / "b", tmp_path / "a"])] == ["b", "a"]
    with pytest.raises(ScriptError, match="can't be read"):
        load_scripts([tmp_path / "missing"])


def test_the_scripts_of_the_examples_are_sound() -> None:
    names = [script.name for script in load_scripts(example_files())]
    assert len(names) == len(set(names)) >= 16  # at least one for each ticket of the support example

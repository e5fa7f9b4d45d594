"""The Ansible role keeps secrets out of words and logs, runs nothing unchecked, and says what it takes.

No reader of YAML is among our dependencies, so tasks are told apart by the role's own layout: each begins
with `- name:`, and its keywords stand two columns further in.
"""

import re
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "scripts" / "deploy" / "ansible" / "alongside_agent"
SECRETS = ("alongside_agent_token }}", "alongside_agent_proxy }}")


def tasks() -> list[str]:
    """The text of each task and handler."""
    found: list[str] = []
    for file in sorted([*ROLE.glob("tasks/*.yml"), *ROLE.glob("handlers/*.yml")]):
        found += re.split(r"^ *(?=- name: )", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return found


def variables(file: str, form: str) -> set[str]:
    return set(re.findall(form, (ROLE / file).read_text("utf-8"), flags=re.MULTILINE))


def test_the_tasks_are_told_apart() -> None:
    assert len(tasks()) >= 12
    assert sum("alongside_agent_token }}" in task for task in tasks()) == 1
    assert sum("alongside_agent_proxy }}" in task for task in tasks()) == 1


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.splitlines()[0])
def test_a_task_with_a_secret_is_not_logged_and_none_has_one_in_its_words(task: str) -> None:
    if any(secret in task for secret in SECRETS):
        assert re.search(r"^ +no_log: true$", task, re.MULTILINE)
    words = re.search(r"argv: .*?(?=^ +[a-z_]+: )", task + "\n  end: ", re.DOTALL | re.MULTILINE)
    assert words is None or not re.search(r"alongside_agent_(token|proxy)\b", words[0])
    assert "ansible.builtin.shell" not in task


def test_the_words_of_the_script_hold_the_proxys_file_and_no_token() -> None:
    words = (ROLE / "vars" / "main.yml").read_text("utf-8").partition("alongside_agent_words:")[2]
    assert "'/proxy'] if alongside_agent_proxy else" in words
    assert words.count("alongside_agent_proxy") == 1
    assert "token" not in words


def test_what_comes_from_the_relay_is_taken_by_its_hash() -> None:
    taken = [task for task in tasks() if "get_url" in task]
    assert len(taken) == 1
    assert 'checksum: "sha256:{{ alongside_agent_script_sha256[alongside_agent_platform] }}"' in taken[0]


def test_every_variable_is_described_and_has_a_default() -> None:
    defaults = variables("defaults/main.yml", r"^(alongside_agent_\w+):")
    assert defaults == variables("meta/argument_specs.yml", r"^      (alongside_agent_\w+):")
    read = set()
    for file in ROLE.rglob("*.yml"):
        read |= set(re.findall(r"\balongside_agent_\w+", file.read_text("utf-8")))
    made = variables("vars/main.yml", r"^(alongside_agent_\w+):")
    registered = {name for task in tasks() for name in re.findall(r"register: (\w+)", task)}
    assert read == defaults | made | registered

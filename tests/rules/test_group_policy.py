"""The administrative template, its words, and the script that reads the values: all three name the same."""

import re
from pathlib import Path
from xml.etree import ElementTree

FOLDER = Path(__file__).parents[2] / "scripts" / "deploy" / "gpo"
SPACE = "{http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions}"
TEMPLATE = ElementTree.parse(FOLDER / "PolicyDefinitions" / "alongside.admx").getroot()
WORDS = ElementTree.parse(FOLDER / "PolicyDefinitions" / "en-US" / "alongside.adml").getroot()
SCRIPT = (FOLDER / "startup.ps1").read_text("ascii")


def of(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return list(root.iter(SPACE + tag))


def test_both_are_of_the_schema_that_windows_reads() -> None:
    assert (TEMPLATE.tag, WORDS.tag) == (SPACE + "policyDefinitions", SPACE + "policyDefinitionResources")
    assert TEMPLATE.get("schemaVersion") == WORDS.get("schemaVersion") == "1.0"
    (wanted,) = of(TEMPLATE, "resources")
    assert wanted.get("minRequiredRevision") == WORDS.get("revision")


def test_every_text_that_the_template_names_is_there_and_no_other() -> None:
    named = re.findall(r"\$\(string\.(\w+)\)", ElementTree.tostring(TEMPLATE, "unicode"))
    assert set(named) == {each.get("id") for each in of(WORDS, "string")}
    assert all((each.text or "").strip() for each in of(WORDS, "string"))


def test_every_field_has_its_box_in_the_same_order() -> None:
    (policy,) = of(TEMPLATE, "policy")
    (presentation,) = of(WORDS, "presentation")
    assert policy.get("presentation") == f"$(presentation.{presentation.get('id')})"
    assert [each.get("id") for each in of(policy, "text")] == [
        each.get("refId") for each in of(presentation, "textBox")
    ]


def test_references_lead_to_what_is_defined() -> None:
    (policy,) = of(TEMPLATE, "policy")
    (category,) = of(policy, "parentCategory")
    (supported,) = of(policy, "supportedOn")
    assert category.get("ref") in {each.get("name") for each in of(TEMPLATE, "category")}
    assert supported.get("ref") in {each.get("name") for each in of(TEMPLATE, "definition")}


def test_the_script_reads_every_value_that_the_template_writes_and_no_other() -> None:
    (policy,) = of(TEMPLATE, "policy")
    assert f"HKLM:\\{policy.get('key')}'" in SCRIPT
    written = {policy.get("valueName")} | {each.get("valueName") for each in of(policy, "text")}
    reader = SCRIPT[SCRIPT.index("function Read-Policy") : SCRIPT.index("function Get-Words")]
    read = set(re.findall(r"GetValue\('(\w+)'", reader)) | set(
        re.findall(r"'(\w+)'", reader[reader.index("foreach") :])
    )
    assert read == written


def test_what_the_readme_says_of_the_values_is_complete() -> None:
    readme = (FOLDER / "README.md").read_text()
    (policy,) = of(TEMPLATE, "policy")
    for each in of(policy, "text"):
        assert f"`{each.get('valueName')}`" in readme


def test_the_words_that_the_script_gives_are_options_of_the_installer() -> None:
    installer = (FOLDER.parents[1] / "install" / "windows" / "install.ps1").read_text("ascii")
    for word in set(re.findall(r"'-([A-Z]\w+)'", SCRIPT)) | {"Uninstall"}:
        assert re.search(rf"\[(string|switch)\]\${word}\b", installer), word

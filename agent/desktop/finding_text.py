"""*Check this computer* in plain words: each finding with a sign, a word and what to do about it."""

from collections.abc import Mapping

from agent.desktop.ipc_messages import FindingRow
from agent.desktop.language import Language, places_of
from protocol.names import shown_text

# sign and word: colour is never the only difference
SEVERITIES: Mapping[str, tuple[str, str]] = {
    "bad": ("✕", "Problem"),
    "warn": ("!", "Look at this"),
    "ok": ("✓", "Good"),
}
SENTENCES: Mapping[str, str] = {
    "disk_low": "{place} is nearly full: {free} of {total} GiB are free. Delete or move what is not needed.",
    "disks_fine": "There is enough free space.",
    "memory_low": "Memory is nearly used up, most of it by {program}. Close what you do not need.",
    "memory_fine": "There is enough free memory.",
    "processor_busy": "The processor is very busy, most of all with {program}. If that goes on, close it.",
    "processor_fine": "The processor has time to spare.",
    "network_none": "There is no network connection. Check the cable or the Wi-Fi.",
    "network_fine": "There is a network connection.",
    "long_up": "This computer has not been restarted for {days} days. A restart often helps.",
    "not_checked": "This could not be checked: {parts}",
    "policy_alarm": "Two different sets of rules claim to be your organisation's. Tell its administrator.",
    "help_reachable": "Technicians can reach this computer.",
    "help_unreachable": "Technicians cannot reach this computer at the moment.",
}


def severity_words(row: FindingRow, language: Language) -> str:
    """ "! Look at this": sign and word."""
    sign, word = SEVERITIES.get(row.severity, SEVERITIES["warn"])
    return f"{sign} {language.say(word)}"


def finding_sentence(row: FindingRow, language: Language) -> str:
    """The finding; one that this version does not know by its name."""
    sentence = SENTENCES.get(row.name)
    if sentence is None or not places_of(sentence) <= row.facts.keys():
        return shown_text(row.name, 60)
    fields = {place: shown_text(row.facts[place], 200) for place in places_of(sentence)}
    return language.say(sentence, **fields)


def as_plain_text(rows: list[FindingRow], language: Language) -> str:
    """All of it, to be pasted into a message."""
    return "\n".join(f"{severity_words(row, language)}: {finding_sentence(row, language)}" for row in rows)

"""What a policy changes, in plain words, for the person who is about to sign it (pure).

Every member of a policy and of a catalogue entry has its sentence here; without one it were signed unseen.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.catalogue import (
    ChoiceParameter,
    CommandEntry,
    IntegerParameter,
    Parameter,
)
from protocol.grantables import PLAIN_WORDS, Grantable
from protocol.policy import Consent, Policy
from protocol.private_windows import PrivateWindow

RISKS: Final = ("low", "medium", "high")


class Weight(StrEnum):
    """Whether a change lets more happen than before; a `WIDER` one is shown as a warning."""

    WIDER = "wider"
    NARROWER = "narrower"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `about` says of what: "group lab", "role technician", "command ping", "policy"."""

    weight: Weight
    about: str
    sentence: str


def changes_between(before: Policy | None, after: Policy) -> list[Change]:
    """Every difference that has an effect; version, dates and order have none. None: nothing was in force."""
    found = [*_groups(before, after), *_roles(before, after), *_terms(before, after)]
    found += [*_private_windows(before, after), *_commands(before, after)]
    return found


def _groups(before: Policy | None, after: Policy) -> Iterator[Change]:
    names = {*after.groups, *(before.groups if before else ())}
    for group in sorted(names):
        was = before.consent_for(group) if before else Consent.ASK
        now = after.consent_for(group)
        if was is now:
            continue
        if now is Consent.UNATTENDED:
            told = (
                "nobody is asked any more: sessions begin without the person's yes (was: the person is asked)"
            )
            yield Change(Weight.WIDER, f"group {group}", told)
        else:
            yield Change(
                Weight.NARROWER, f"group {group}", "the person is asked each time (was: nobody is asked)"
            )


def _roles(before: Policy | None, after: Policy) -> Iterator[Change]:
    names = {*after.roles, *(before.roles if before else ())}
    for role in sorted(names):
        was = before.grantables_for(role) if before else frozenset[Grantable]()
        now = after.grantables_for(role)
        for grantable in sorted(now - was):
            yield Change(Weight.WIDER, f"role {role}", f"may now ask for: {_plain(grantable)}")
        for grantable in sorted(was - now):
            yield Change(Weight.NARROWER, f"role {role}", f"may no longer ask for: {_plain(grantable)}")


def _terms(before: Policy | None, after: Policy) -> Iterator[Change]:
    if before is not None and before.organisation_id != after.organisation_id:
        told = f"is for the organisation {after.organisation_id} (was: {before.organisation_id})"
        yield Change(Weight.WIDER, "policy", told)
    had_codes = before.support_codes if before else True
    if had_codes and not after.support_codes:
        yield Change(Weight.NARROWER, "policy", "no support codes may be shown on devices any more")
    elif after.support_codes and not had_codes:
        yield Change(Weight.WIDER, "policy", "support codes may be shown on devices again")
    now_days = after.technician_lifetime_days_limit
    was_days = before.technician_lifetime_days_limit if before else None
    if was_days != now_days:
        was = f" (was: {was_days})" if was_days is not None else ""
        told = f"a technician's certificate may live {now_days} days{was}"
        yield Change(_grown(was_days or 0, now_days), "policy", told)


def _private_windows(before: Policy | None, after: Policy) -> Iterator[Change]:
    was = set(before.private_windows if before else ())
    now = set(after.private_windows)
    for entry in sorted(now - was, key=_window):
        yield Change(Weight.NARROWER, "private windows", f"painted over from now on: {_window(entry)}")
    for entry in sorted(was - now, key=_window):
        yield Change(Weight.WIDER, "private windows", f"shown to technicians again: {_window(entry)}")


def _window(entry: PrivateWindow) -> str:
    named = {"class": entry.window_class, "title": entry.title}
    return ", ".join(f"{name} {text!r}" for name, text in named.items() if text)


def _commands(before: Policy | None, after: Policy) -> Iterator[Change]:
    was = {entry.command_id: entry for entry in before.catalogue.entries} if before else {}
    now = {entry.command_id: entry for entry in after.catalogue.entries}
    for command_id in sorted({*was, *now}):
        about = f"command {command_id}"
        if command_id not in was:
            yield Change(Weight.WIDER, about, f"is new: {_described(now[command_id])}")
        elif command_id not in now:
            yield Change(Weight.NARROWER, about, "is taken out: nobody can run it any more")
        else:
            for weight, sentence in _entry(was[command_id], now[command_id]):
                yield Change(weight, about, sentence)


def _described(entry: CommandEntry) -> str:
    second = ", takes two people" if entry.takes_two_people else ""
    parameters = "".join(f"; {name}: {_rule(each)}" for name, each in entry.parameters.items())
    return (
        f"{entry.title!r} starts {_argv(entry.argv)} on {', '.join(entry.platforms)}; "
        f"{entry.risk} risk{second}; the person reads {entry.person_text!r}; at most {entry.timeout_s} s "
        f"and {entry.output_limit_bytes} bytes{parameters}"
    )


_Told = tuple[Weight, str]


def _entry(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    for name, tell in ENTRY_SENTENCES.items():
        if getattr(was, name) != getattr(now, name):
            yield from tell(was, now)


def _argv_changed(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    yield Weight.WIDER, f"starts something else: {_argv(now.argv)} (was: {_argv(was.argv)})"


def _risk_changed(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    is_lower = RISKS.index(now.risk) < RISKS.index(was.risk)
    weight, word = (Weight.WIDER, "lowered") if is_lower else (Weight.NARROWER, "raised")
    yield weight, f"its risk is {word} to {now.risk} (was: {was.risk})"
    if was.takes_two_people != now.takes_two_people and was.needs_second_person == now.needs_second_person:
        yield from _second_changed(was, now)


def _second_changed(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    if was.takes_two_people == now.takes_two_people:
        mark = "marked" if now.needs_second_person else "not marked any more"
        yield Weight.OTHER, f"is {mark} as taking two people; its high risk does so anyway"
    elif now.takes_two_people:
        yield Weight.NARROWER, "takes two people from now on (was: one)"
    else:
        yield Weight.WIDER, "one person alone can run it (was: two people)"


def _platforms_changed(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    weight = Weight.WIDER if set(now.platforms) - set(was.platforms) else Weight.NARROWER
    yield weight, f"is meant for {', '.join(now.platforms)} (was: {', '.join(was.platforms)})"


def _parameters_changed(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
    for name in sorted({*was.parameters, *now.parameters}):
        before, after = was.parameters.get(name), now.parameters.get(name)
        if before is None and after is not None:
            yield Weight.WIDER, f"takes a new value, {name}: {_rule(after)}"
        elif after is None:
            yield Weight.NARROWER, f"takes no {name} any more"
        elif before is not None and before != after:
            yield _parameter_weight(before, after), f"{name}: {_rule(after)} (was: {_rule(before)})"
    if list(was.parameters) != list(now.parameters) and was.parameters == now.parameters:
        yield Weight.OTHER, "its values stand in another order"


def _parameter_weight(was: Parameter, now: Parameter) -> Weight:
    match was, now:
        case IntegerParameter(), IntegerParameter():
            is_wider = now.minimum < was.minimum or now.maximum > was.maximum
            is_same = (now.minimum, now.maximum) == (was.minimum, was.maximum)
        case ChoiceParameter(), ChoiceParameter():
            is_wider = bool(set(now.choices) - set(was.choices))
            is_same = set(now.choices) == set(was.choices)
        case _:
            is_same = type(was) is type(now)
            is_wider = not is_same
    if is_same:
        return Weight.OTHER
    return Weight.WIDER if is_wider else Weight.NARROWER


def _number_changed(name: str, what: str, unit: str) -> "_Tell":
    def tell(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
        before, after = getattr(was, name), getattr(now, name)
        yield _grown(before, after), f"{what} {after} {unit} (was: {before})"

    return tell


def _text_changed(name: str, what: str) -> "_Tell":
    def tell(was: CommandEntry, now: CommandEntry) -> Iterator[_Told]:
        yield Weight.OTHER, f"{what} {getattr(now, name)!r} (was: {getattr(was, name)!r})"

    return tell


_Tell = Callable[[CommandEntry, CommandEntry], Iterator[_Told]]
ENTRY_SENTENCES: Final[Mapping[str, _Tell]] = {
    "argv": _argv_changed,
    "parameters": _parameters_changed,
    "risk": _risk_changed,
    "needs_second_person": _second_changed,
    "platforms": _platforms_changed,
    "timeout_s": _number_changed("timeout_s", "may take", "seconds"),
    "output_limit_bytes": _number_changed("output_limit_bytes", "may write", "bytes"),
    "title": _text_changed("title", "is called"),
    "person_text": _text_changed("person_text", "the person reads"),
}


def _grown(was: int, now: int) -> Weight:
    return Weight.WIDER if now > was else Weight.NARROWER


def _argv(argv: tuple[str, ...]) -> str:
    """Element by element, so that a space inside of one cannot be taken for the next."""
    return " ".join(
        repr(element) if not element or " " in element or "'" in element else element for element in argv
    )


def _rule(parameter: Parameter) -> str:
    match parameter:
        case IntegerParameter():
            rule = f"a whole number from {parameter.minimum} to {parameter.maximum}"
        case ChoiceParameter():
            rule = f"one of {', '.join(map(repr, parameter.choices))}"
        case _:
            rule = f"a {parameter.__struct_config__.tag}"
    default = "" if parameter.default is None else f", {parameter.default!r} when it is not given"
    return f"{rule}{default} ({parameter.description})"


def _plain(grantable: Grantable) -> str:
    return f"{PLAIN_WORDS[grantable]} ({grantable})"

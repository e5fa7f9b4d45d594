"""Whom the person blocked, in their language, and what comes after digits that did not match (pure)."""

from agent.desktop.block_messages import BlockRow
from agent.desktop.ipc_messages import Visit
from agent.desktop.language import Language
from agent.desktop.prompt_text import duration
from protocol.errors import ErrorCode

# security sentences among these are frozen by a test
BLOCKED_HERE = "{name}: blocked on this computer for another {length}, because the four digits did not match."
MAY_NOT_ASK = "{name}: may not ask you for another {length}."
LIFT_WHEN = "Lift it only after you have talked to them on a number that YOU know."
NOT_NOW = "Somebody is here, and could press for you. Lift it when nobody is."
HANG_UP = "Hang up. Then call your organisation on a number that YOU know."
NOW_BLOCKED = (
    "{name} is blocked on this computer for an hour. If that was a mistake, lift it under “{button}”."
)


def button_words(language: Language) -> str:
    """Of the button that leads to the list."""
    return language.say("Blocked")


def block_text(row: BlockRow, language: Language) -> str:
    """One block: who, what, and for how long yet."""
    sentence = BLOCKED_HERE if row.is_mismatch else MAY_NOT_ASK
    named = f"{row.name} ({row.technician_id})" if row.name else row.technician_id
    name = {"": language.say("Whoever is NOT VERIFIED"), "*": language.say("Everybody")}
    return language.say(
        sentence, name=name.get(row.technician_id, named), length=duration(max(60.0, row.left_s), language)
    )


def advice(row: BlockRow, language: Language) -> str:
    """What to think of before it is lifted, or who can; "" when there is nothing to be said."""
    if not row.may_lift:
        return language.say("Another user of this computer said so, and can lift it.")
    return language.say(LIFT_WHEN) if row.is_mismatch else ""


def after_mismatch(visit: Visit, language: Language) -> tuple[str, ...]:
    """What the card says after a session that ended because the digits did not match; else nothing."""
    if visit.cause != ErrorCode.E_READBACK_MISMATCH:
        return ()
    name = f"{visit.name} ({visit.technician_id})" if visit.name else language.say("Whoever is NOT VERIFIED")
    blocked = language.say(NOW_BLOCKED, name=name, button=button_words(language))
    return language.say(HANG_UP), blocked

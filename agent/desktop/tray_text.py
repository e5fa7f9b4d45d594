"""Every text of the tray and its windows, in one place for translators."""

from datetime import datetime, timedelta

from agent.desktop.ipc_messages import HelpNews, HelpOutcome, StandingRow, Status
from agent.desktop.tray_state import TrayState
from protocol.errors import SupportError, error_text
from protocol.grantables import PLAIN_WORDS, Grantable

TITLE = "Alongside"
HELP_TITLE = "Alongside: get help"
GET_HELP = "Get help"
ALLOWED_BEFORE = "What you allowed beforehand"
ABOUT = "About"
PAUSE = "Pause for an hour"
RESUME = "End the pause"
CLOSE = "Close"
COPY = "Copy the code"
COPIED = "Copied"
CANCEL = "Cancel"
NEW_CODE = "New code"
TAKE_BACK = "Take back"
NOTHING_ALLOWED = "Nothing is allowed beforehand: you are asked each time."
ASKING = "One moment …"
READ_ALOUD = "Read this code aloud, group by group, to the person whom YOU called for help."
NEVER_TO_CALLERS = "Never give it to somebody who called you."
NOTHING_YET = "Nothing is allowed yet; you are asked on your screen."

STATE_WORDS = {
    TrayState.OFFLINE: "Not connected",
    TrayState.PAUSED: "Paused",
    TrayState.READY: "Ready",
    TrayState.IN_SESSION: "Someone is here",
}
STATE_SENTENCES = {
    TrayState.OFFLINE: "Nobody can reach this computer for help right now.",
    TrayState.PAUSED: "Nobody can ask or connect until {until}.",
    TrayState.READY: "Nobody is connected. A technician can ask, and you decide.",
    TrayState.IN_SESSION: "The bar at the top of the screen says who it is and has Stop.",
}


def state_sentence(state: TrayState, paused_s: float) -> str:
    """What the state means for the person."""
    ends = datetime.now().astimezone() + timedelta(seconds=paused_s)
    return STATE_SENTENCES[state].format(until=f"{ends:%H:%M}")


def works_for(left_s: float) -> str:
    """The countdown of a code."""
    minutes, seconds = divmod(max(0, round(left_s)), 60)
    return f"It works once, for another {minutes}:{seconds:02}."


def news_text(news: HelpNews) -> str:
    """What came of a code."""
    if news.outcome is HelpOutcome.EXPIRED:
        return "The code has expired. Nothing was allowed."
    if news.outcome is HelpOutcome.WRONG:
        return "Someone tried a wrong code. Nothing was allowed, and this code is void."
    who = (
        f"{news.technician_name}, technician of {news.organisation_name}, is there."
        if news.organisation_name
        else "Somebody with your code is there. NOT VERIFIED: we can't tell who this is."
    )
    digits = " ".join(news.readback)
    return f"{who}\nAsk them to read four digits to you. They have to be: {digits}\n{NOTHING_YET}"


def fault_text(fault: SupportError) -> str:
    """Why something did not work, and what to do."""
    known = error_text(fault.code)
    return f"{known.sentence} {known.remedy} ({fault.code})"


def standing_text(row: StandingRow) -> str:
    """One permission that was given beforehand."""
    known = {grantable.value: PLAIN_WORDS[grantable] for grantable in Grantable}
    days = max(1, round(row.left_s / 86400))
    whom = f"{row.name} ({row.whom})" if row.name else row.whom
    return f"{whom} may, without asking you: {known.get(row.grantable, row.grantable)} ({days} d left)"


def about_lines(status: Status, version: str) -> list[tuple[str, str]]:
    """What the program is, and whom it belongs to: names and values."""
    return [
        ("Version", version),
        ("Organisation", status.organisation_name or "none"),
        ("Organisation's key (SHA-256)", grouped(status.organisation_id)),
        ("This computer", status.device_id),
        ("Group", status.group or "none"),
        ("Relay", status.relay_url),
        ("Policy version", str(status.policy_version)),
    ]


def grouped(fingerprint: str) -> str:
    """A fingerprint in groups of four, as it is read aloud."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4)) or "none"

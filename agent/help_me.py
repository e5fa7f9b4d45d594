"""`alongside-agent help-me`: tells the person the code, and what comes of it."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

from agent import render
from agent.desktop.ipc_messages import HelpCode, HelpNews, HelpOutcome
from agent.local_client import ask_for_help
from protocol.errors import ErrorCode, Refused


async def show_code(socket_path: Path, *, as_json: bool, is_portable: bool = False) -> None:
    """Show one code until a technician is there. Being cancelled makes it void.

    Raises:
        Refused: E_CODE_WRONG, somebody tried another code; E_CODE_EXPIRED; why none is shown.
        Unreachable: E_NOT_RUNNING; E_LINK_LOST, the agent ended, and the code with it.
    """
    async with aclosing(ask_for_help(socket_path)) as told:
        async for message in told:
            if isinstance(message, HelpCode):
                _result(_code_json(message), _code_text(message), as_json=as_json)
                continue
            if message.outcome is HelpOutcome.TECHNICIAN:
                _result(_news_json(message), _technician_text(message, is_portable), as_json=as_json)
                continue
            if as_json:
                render.result(_news_json(message), "", as_json=True)
            raise _failure(message.outcome)


def _result(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        render.remark(text)
    render.result(document, text, as_json=as_json)


def _code_json(shown: HelpCode) -> dict[str, Any]:
    return {"event": "code", "code": shown.code, "expires_in_s": round(shown.expires_in_s)}


def _code_text(shown: HelpCode) -> str:
    return (
        f"\n    {shown.code}\n\n"
        "Read this code to the person whom YOU called for help, and to nobody who called you.\n"
        f"It works once, within {round(shown.expires_in_s / 60)} minutes. Ctrl+C makes it void."
    )


def _news_json(news: HelpNews) -> dict[str, Any]:
    document: dict[str, Any] = {"event": news.outcome.value}
    if news.outcome is HelpOutcome.TECHNICIAN:
        document |= {
            "is_verified": bool(news.organisation_name),
            "name": news.technician_name,
            "organisation": news.organisation_name,
            "readback": news.readback,
            "session_id": news.session_id,
        }
    return document


def _technician_text(news: HelpNews, is_portable: bool) -> str:
    digits = " ".join(news.readback)
    who = (
        f"{news.technician_name}, technician of {news.organisation_name}, is there."
        if news.organisation_name
        else "Somebody with your code is there. NOT VERIFIED: we can't tell who this is."
    )
    last = "\nLeave this open: closing it ends the session." if is_portable else ""
    return (
        f"{who}\nAsk them to read four digits to you. They have to be: {digits}\n"
        f"Nothing is allowed yet; you are asked on your screen.{last}"
    )


def _failure(outcome: HelpOutcome) -> Refused:
    if outcome is HelpOutcome.EXPIRED:
        return Refused(code=ErrorCode.E_CODE_EXPIRED)
    return Refused("someone tried a wrong code; nothing was allowed", code=ErrorCode.E_CODE_WRONG)

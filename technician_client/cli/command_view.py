"""A running command as the technician sees it: output as it comes, then how it ended."""

import sys
from base64 import b64encode
from typing import BinaryIO, TextIO

from protocol.errors import ExitStatus, exit_status
from protocol.messages.commands import (
    CommandEnded,
    CommandOutcome,
    CommandOutput,
    CommandRefused,
    CommandStarted,
    FromAgent,
)
from protocol.names import shown_reason, shown_text
from technician_client.cli.output import Output, report_error
from technician_client.cli.terminal_text import TerminalText
from technician_client.refusals import refusal


class CommandView:
    """Prints each message; `exit_status` is ours for the command's end."""

    def __init__(self, output: Output) -> None:
        self.exit_status = int(ExitStatus.REMOTE_FAILED)
        self._output = output
        self._streams = {"stdout": ByteView(sys.stdout), "stderr": ByteView(sys.stderr)}

    def message(self, message: FromAgent) -> None:
        """Print one message of the agent.

        Raises:
            SupportError: the command was refused; the code says why.
        """
        if self._output.is_json:
            self._output.line(message_document(message))
        match message:
            case CommandStarted(_, argv):
                if not self._output.is_json:
                    self._output.remark(f"Running: {shown_reason(' '.join(argv))}")
            case CommandOutput(_, stream, chunk):
                if not self._output.is_json:
                    self._streams["stderr" if stream == "stderr" else "stdout"].write(chunk)
            case CommandEnded():
                self._ended(message)
            case CommandRefused(_, code, detail):
                raise refusal(code, detail)

    def _ended(self, ended: CommandEnded) -> None:
        for stream in self._streams.values():
            stream.flush()
        if ended.is_truncated:
            self._output.remark("The output was longer than the catalogue allows; the rest is missing.")
        if ended.code:
            failure = refusal(ended.code)
            self.exit_status = int(exit_status(failure.code))
            report_error(failure, is_json=False)
            return
        self.exit_status = int(ExitStatus.OK if ended.exit_status == 0 else ExitStatus.REMOTE_FAILED)
        self._output.remark(f"Ended with exit status {ended.exit_status} after {ended.took_s:.1f} s.")


def message_document(message: FromAgent) -> dict[str, object]:
    """One message as a JSON line; output is bytes, so it comes as base64 and as text."""
    match message:
        case CommandStarted(_, argv):
            return {"event": "started", "argv": argv}
        case CommandOutput(_, stream, chunk):
            text = chunk.decode("utf-8", "replace")
            return {"event": "output", "stream": stream, "text": text, "base64": b64encode(chunk).decode()}
        case CommandEnded():
            return {
                "event": "ended",
                "exit_status": message.exit_status,
                "is_truncated": message.is_truncated,
                "took_s": message.took_s,
                "code": message.code,
            }
        case CommandRefused(_, code, detail):
            return {"event": "refused", "code": code, "detail": detail}
        case CommandOutcome():
            return outcome_document(message)


def outcome_document(outcome: CommandOutcome) -> dict[str, object]:
    """What became of a request, as JSON."""
    return {
        "event": "outcome",
        "request_id": outcome.request_id,
        "state": shown_text(outcome.state, 32),
        "exit_status": outcome.exit_status,
        "code": shown_text(outcome.code, 48),
    }


def outcome_sentence(outcome: CommandOutcome) -> str:
    """The same for a person."""
    match outcome.state:
        case "ended" if not outcome.code:
            return f"It ended with exit status {outcome.exit_status}."
        case "ended" | "refused":
            word = "It was ended" if outcome.state == "ended" else "It was not run"
            return f"{word}: {refusal(outcome.code).text.sentence} ({shown_text(outcome.code, 48)})"
        case "started":
            return "It is running, or the device has not said yet how it ended."
        case "taken":
            return "It waits for its turn and has not started."
        case "not_run":
            return "It was not run, and never will be."
        case "not_taken":
            return "The device never had this request from you, so it was not run."
    return "Nobody knows whether or how it ended. Look at the device; it is never run again by itself."


class ByteView:
    """Remote bytes to our terminal, without control sequences; to a file or pipe, as they are."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._raw: BinaryIO | None = None if target.isatty() else getattr(target, "buffer", None)
        self._text = TerminalText()

    def write(self, chunk: bytes) -> None:
        """Print a piece, at once."""
        if self._raw is not None:
            self._raw.write(chunk)
            self._raw.flush()
        else:
            self._print(self._text.feed(chunk))

    def flush(self) -> None:
        """No more pieces will come."""
        self._print(self._text.end())

    def _print(self, text: str) -> None:
        if text:
            self._target.write(text)
            self._target.flush()

"""The words of *Verify*: four digits that the caller reads from their own screen (pure; THREATS.md 6.2)."""

from dataclasses import dataclass

from agent.desktop.language import Language
from protocol.names import shown_text
from protocol.readback import READBACK_DIGITS

NO_BREAK = "\N{NO-BREAK SPACE}"  # digits that are read aloud stay on one line
ASK_CALLER = (
    "Ask the person you are talking to for the four digits on their own screen. "
    "Do not read yours to them: let them read."
)
IF_OTHERWISE = (
    "If they read others or have none, you are talking to somebody else: press “They do not match”. "
    "Then the session is over, and this technician is blocked on this computer for an hour."
)


@dataclass(frozen=True, slots=True)
class VerifyText:
    """The step's texts in reading order; `done` is what the prompt says when they matched."""

    button: str
    ask: str
    want: str
    digits: str
    otherwise: str
    back: str
    mismatched: str
    matched: str
    done: str

    def lines(self) -> tuple[str, ...]:
        """What the person reads in the step, in order, and before it the button that leads there."""
        return (
            self.button,
            self.ask,
            self.otherwise,
            self.want,
            self.digits,
            self.back,
            self.mismatched,
            self.matched,
        )


def verify_text(readback: str, language: Language) -> VerifyText:
    """The words for these digits."""
    say = language.say
    return VerifyText(
        button=say("Verify who this is"),
        ask=say(ASK_CALLER),
        want=say("They have to be:"),
        digits=NO_BREAK.join(shown_text(readback, READBACK_DIGITS)),
        otherwise=say(IF_OTHERWISE),
        back=say("Back"),
        mismatched=say("They do not match"),
        matched=say("They match"),
        done=say("You compared the digits: they match."),
    )

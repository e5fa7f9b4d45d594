"""What the service would answer the person's window, at once and in the window's own thread."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.desktop import ipc_messages as ipc
from agent.desktop.block_messages import BlockList, BlockRow, BlocksAsked
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from agent.desktop.questions import Answer

CODE = "481 926 035 712"
STATUS = ipc.Status(
    device_id="front-desk-01",
    organisation_id="5f" * 32,
    organisation_name="Acme Ltd",
    group="office",
    relay_url="https://relay.example",
    link="connected",
    link_code="",
    policy_version=7,
    has_desktop=True,
    sessions=[ipc.SessionStatus("s1", "Dana Meyer", ["screen.view"], 1500.0, "0417")],
)
VISIT = ipc.Visit(
    session_id="s1",
    technician_id="dana",
    name="Dana Meyer",
    started_at_utc="2026-11-26T09:05:00Z",
    length_s=740.0,
    grantables=["screen.view", "input.control", "commands.run"],
    acts=["screen", "input"],
    commands=["restart-spooler: exit 0", "clear-queue: E_COMMAND_TIMEOUT"],
    commands_count=2,
    cause="technician_left",
    receipt="both",
)
STRANGER = ipc.Visit(
    session_id="s2",
    technician_id="visitor",
    name="",
    started_at_utc="2026-11-25T17:40:00Z",
    length_s=55.0,
    grantables=[],
    acts=[],
    commands=[],
    commands_count=0,
    cause="E_SESSION_STOPPED",
)
FINDINGS = [
    ipc.FindingRow("disk_low", "bad", {"place": "/home", "free": "1.2", "total": "119.2"}),
    ipc.FindingRow("long_up", "warn", {"days": "41"}),
    ipc.FindingRow("memory_fine", "ok", {}),
    ipc.FindingRow("help_reachable", "ok", {}),
]
ANSWERS: dict[type, Answer] = {
    ipc.StatusAsked: STATUS,
    ipc.VisitsAsked: ipc.VisitList([VISIT, STRANGER]),
    ipc.CheckAsked: ipc.FindingList(FINDINGS),
    ipc.StandingAsked: ipc.StandingList(
        [ipc.StandingRow("c-1", "dana", "Dana Meyer", "screen.view", 6 * 3600.0)]
    ),
    BlocksAsked: BlockList(
        [
            BlockRow("b-1", "dana", "Dana Meyer", True, True, 3500.0),
            BlockRow("b-2", "", "", False, True, 1200.0),
            BlockRow("b-3", "lee", "Lee Ng", True, False, 600.0),
        ]
    ),
    PauseOrdered: Paused(3600.0),
    ResumeOrdered: Paused(0.0),
}


class NoCall:
    """A code that nothing comes of."""

    def cancel(self) -> None:
        """Nothing to be done."""


@dataclass
class WindowAnswers:
    """Stands in for `agent.desktop.questions.Questions`; `asked` is kept in order."""

    answers: dict[type, Answer] = field(default_factory=lambda: dict(ANSWERS))
    asked: list[ipc.Hello] = field(default_factory=list)

    def ask(self, question: ipc.Hello, on_answer: Callable[[Answer], None]) -> None:
        """Answer at once."""
        self.asked.append(question)
        on_answer(self.answers[type(question)])

    def ask_for_help(self, on_answer: Callable[[Answer], None]) -> NoCall:
        """Show a code."""
        on_answer(ipc.HelpCode(CODE, 600.0))
        return NoCall()

"""What has to outlive the service and every exec worker: each request that was taken, and the policy floor.

    (none) --take--> TAKEN --begin--> STARTED --finish--> ENDED        service: take, refuse, finish, settle
                       |--refuse--> REFUSED  `--settle--> UNKNOWN      exec worker: begin
                       `--settle--> NOT_RUN

One SQLite file (`commands.db`): each step is one transaction, on the disk before it returns. A row never goes
back and a request id is never taken twice, so what it stands for is started at most once, whoever dies when.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protocol.errors import EnvironmentFault, ErrorCode, Refused
from protocol.ids import RequestId
from protocol.policy import Policy, PolicyMark, check_mark

if TYPE_CHECKING:
    from sqlite3 import Connection

REMEMBERED_LIMIT: Final = 20_000
LOCK_TIMEOUT_S: Final = 2.0
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS requests (position INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE, command_id TEXT NOT NULL, technician_id TEXT NOT NULL,
    state TEXT NOT NULL, exit_status INTEGER NOT NULL DEFAULT -1, code TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE IF NOT EXISTS policy_floor (organisation_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL, sha256 TEXT NOT NULL, generation INTEGER NOT NULL)""",
)


class RequestState(StrEnum):
    """How far a request has come. Permanent words: `commands.outcome` carries them."""

    TAKEN = "taken"
    STARTED = "started"
    ENDED = "ended"
    REFUSED = "refused"
    NOT_RUN = "not_run"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TakenRequest:
    """One row. `exit_status` and `code` say something once it has ended or was refused."""

    request_id: RequestId
    command_id: str
    technician_id: str
    state: RequestState
    exit_status: int = -1
    code: str = ""


class CommandBook:
    """The file at `path`; holds nothing open between calls.

    Every method raises EnvironmentFault (E_DATA_DISK) when the file cannot be read or written; then what it
    was to permit must not happen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, request_id: RequestId, command_id: str, technician_id: str) -> None:
        """Write a request down before anything is done for it. The newest `REMEMBERED_LIMIT` are kept.

        Raises:
            Refused: E_STATE, it was taken before.
        """
        row = (request_id, command_id, technician_id, RequestState.TAKEN.value)
        with self._transaction(is_owner=True) as connection:
            taken = connection.execute(
                "INSERT OR IGNORE INTO requests (request_id, command_id, technician_id, state)"
                " VALUES (?, ?, ?, ?)",
                row,
            )
            if taken.rowcount != 1:
                raise Refused("this request was taken before; it is not run twice", code=ErrorCode.E_STATE)
            connection.execute(
                "DELETE FROM requests WHERE position <= (SELECT max(position) FROM requests) - ?",
                (REMEMBERED_LIMIT,),
            )

    def begin(self, request_id: RequestId) -> None:
        """The worker's word that it starts the program now; nobody can give it a second time.

        Raises:
            Refused: E_STATE, the request is not one that was taken and not yet begun or given up.
        """
        if not self._move(request_id, RequestState.STARTED, RequestState.TAKEN):
            raise Refused("the request was begun or given up before", code=ErrorCode.E_STATE)

    def finish(self, request_id: RequestId, exit_status: int, code: str) -> None:
        """It ended, and how."""
        open_states = (RequestState.TAKEN, RequestState.STARTED)
        self._move(request_id, RequestState.ENDED, *open_states, exit_status=exit_status, code=code)

    def lose(self, request_id: RequestId) -> None:
        """Nobody knows whether or how it ended; one that was not begun can never be begun any more."""
        if not self._move(request_id, RequestState.NOT_RUN, RequestState.TAKEN):
            self._move(request_id, RequestState.UNKNOWN, RequestState.STARTED)

    def refuse(self, request_id: RequestId, code: str) -> None:
        """It is not run."""
        self._move(request_id, RequestState.REFUSED, RequestState.TAKEN, code=code)

    def settle(self) -> list[TakenRequest]:
        """For a service that starts: close what the one before it left open, and return that.

        A worker of that service that still lives finds its request given up and starts nothing.
        """
        if not self.path.exists():
            return []
        with self._transaction(is_owner=True) as connection:
            rows = connection.execute(
                "SELECT request_id, command_id, technician_id, state, exit_status, code FROM requests"
                " WHERE state IN (?, ?) ORDER BY position",
                (RequestState.TAKEN.value, RequestState.STARTED.value),
            ).fetchall()
            for now, before in _SETTLED.items():
                connection.execute("UPDATE requests SET state = ? WHERE state = ?", (now.value, before.value))
        settled = {before.value: now for now, before in _SETTLED.items()}
        return [_request((*row[:3], settled[row[3]], *row[4:])) for row in rows]

    def find(self, request_id: RequestId) -> TakenRequest | None:
        """What is known of a request; None when it was never taken, or so long ago that it is forgotten."""
        if not self.path.exists():
            return None
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT request_id, command_id, technician_id, state, exit_status, code FROM requests"
                " WHERE request_id = ?",
                (request_id,),
            ).fetchone()
        return _request(row) if row else None

    def raise_floor(self, policy: Policy) -> None:
        """Remember this policy as the newest of its organisation.

        Raises:
            DocumentRefused: E_POLICY_VERSION or E_POLICY_EQUIVOCATION, as `check_mark`.
        """
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT version, sha256, generation FROM policy_floor WHERE organisation_id = ?",
                (policy.organisation_id,),
            ).fetchone()
            check_mark(policy, PolicyMark(*row) if row else PolicyMark())
            connection.execute(
                "INSERT INTO policy_floor (organisation_id, version, sha256, generation)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (organisation_id)"
                " DO UPDATE SET version = excluded.version, sha256 = excluded.sha256,"
                " generation = excluded.generation",
                (policy.organisation_id, policy.version, policy.sha256, policy.generation),
            )

    def _move(
        self,
        request_id: RequestId,
        state: RequestState,
        *before: RequestState,
        exit_status: int = -1,
        code: str = "",
    ) -> bool:
        with self._transaction() as connection:
            moved = connection.execute(
                "UPDATE requests SET state = ?, exit_status = ?, code = ?"
                " WHERE request_id = ? AND state IN (?, ?)",
                (state.value, exit_status, code, request_id, before[0].value, before[-1].value),
            )
        return moved.rowcount == 1

    @contextmanager
    def _transaction(self, *, is_owner: bool = False) -> "Iterator[Connection]":
        """One write transaction. Only the service, the owner, makes the file; workers find it."""
        import sqlite3  # here: an agent that runs no command does not load it

        try:
            if is_owner:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
            address = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(
                sqlite3.connect(address, timeout=LOCK_TIMEOUT_S, isolation_level=None, uri=True)
            ) as connection:
                # EXTRA: the folder too is on the disk before a commit returns (sqlite.org/pragma.html)
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                with connection:  # commits, or rolls back on any exception
                    if is_owner:
                        for statement in _SCHEMA:
                            connection.execute(statement)
                        _add_generation(connection)
                    yield connection
        except (sqlite3.Error, OSError) as exc:
            raise EnvironmentFault(f"{self.path}: {exc}") from None


def _add_generation(connection: "Connection") -> None:
    """To a book of before successor roots: all it knows is of the first root."""
    columns = connection.execute("SELECT name FROM pragma_table_info('policy_floor')").fetchall()
    if ("generation",) not in columns:
        connection.execute("ALTER TABLE policy_floor ADD COLUMN generation INTEGER NOT NULL DEFAULT 0")


_SETTLED: Final = {
    RequestState.NOT_RUN: RequestState.TAKEN,
    RequestState.UNKNOWN: RequestState.STARTED,
}


def _request(row: tuple[str, str, str, str, int, str]) -> TakenRequest:
    request_id, command_id, technician_id, state, exit_status, code = row
    return TakenRequest(
        RequestId(request_id), command_id, technician_id, RequestState(state), exit_status, code
    )

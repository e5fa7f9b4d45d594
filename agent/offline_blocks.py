"""Lifting a block while no service runs: on one's own data folder, as without an organisation."""

import os

from agent.blocks import Blocks
from agent.blocks_desk import note_lifted
from agent.desktop.block_messages import BlockRow
from agent.state import DataDir, ServiceLock
from protocol.aio.audit_log import AuditLog


def lift_offline(data: DataDir, block_id: str) -> list[BlockRow] | None:
    """Lift one, or "all"; returns what was lifted, None where the folder is another user's.

    Raises:
        Refused: E_BLOCK_UNKNOWN. EnvironmentFault: E_ALREADY_RUNNING, E_DATA_DISK.
    """
    if not data.root.is_dir() or data.root.stat().st_uid != os.geteuid():
        return None  # what we would write there its service could not read
    with ServiceLock(data.lock):
        blocks = Blocks(data.blocks)
        blocks.load()
        return note_lifted(blocks.end(block_id), AuditLog(data.audit), "", os.geteuid())

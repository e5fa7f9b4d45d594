"""`alongside-agent consents` and `blocks`: what the person allowed beforehand, and whom they blocked."""

import asyncio
from typing import Annotated

import typer

from agent import render
from agent.cli_options import DataOption, JsonOption
from agent.config import default_data
from agent.state import DataDir
from protocol.errors import Unreachable

consents = typer.Typer(
    help="What you allowed technicians beforehand: shown, and taken back. It is given in the prompt alone.",
    no_args_is_help=True,
)

blocks = typer.Typer(
    help="Technicians whom you blocked for an hour: shown, and lifted. It is done in the prompt alone.",
    no_args_is_help=True,
)


@consents.command("list")
def list_consents(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show what technicians may do without asking you again, and for how long."""
    from agent.local_client import ask_standing

    rows = asyncio.run(ask_standing(DataDir(data or default_data()).socket))
    render.result(render.consents_json(rows), render.consents_text(rows), as_json=as_json)


@consents.command("revoke")
def revoke_consent(
    standing_id: Annotated[
        str, typer.Argument(metavar="ID", help='As `consents list` shows it; "all" takes everything back.')
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what you allowed beforehand. A session that rests on it loses it at once."""
    from agent.local_client import revoke_standing

    rows = asyncio.run(revoke_standing(DataDir(data or default_data()).socket, standing_id))
    text = f"Taken back: {len(rows)}. You are asked again from now on."
    render.result({"revoked": [row.standing_id for row in rows]}, text, as_json=as_json)


@blocks.command("list")
def list_blocks(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show who may not ask you for a while, or not come at all, and for how long."""
    from agent.local_client import ask_blocks

    rows = asyncio.run(ask_blocks(DataDir(data or default_data()).socket))
    render.result(render.blocks_json(rows), render.blocks_text(rows), as_json=as_json)


@blocks.command("lift")
def lift_block(
    block_id: Annotated[
        str, typer.Argument(metavar="ID", help='As `blocks list` shows it; "all" lifts all.')
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a block before its hour is over. Not while somebody is here, who could do it for you."""
    from agent.local_client import lift_block
    from agent.offline_blocks import lift_offline

    folder = DataDir(data or default_data())
    try:
        rows = asyncio.run(lift_block(folder.socket, block_id))
    except Unreachable:
        lifted = lift_offline(folder, block_id)
        if lifted is None:
            raise
        rows = lifted
    text = f"Lifted: {len(rows)}. They can ask again, and you decide."
    render.result({"lifted": [row.block_id for row in rows]}, text, as_json=as_json)

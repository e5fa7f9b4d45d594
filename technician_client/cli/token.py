"""`alongside fleet token`: what a device needs to join."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from protocol.audit import AuditKind
from protocol.errors import ErrorCode, UsageError
from protocol.join_token import TokenTerms, make_token, read_token
from protocol.messages.control import TokenRow
from protocol.platforms import PLATFORMS, Platform
from protocol.succession import root_fingerprint
from technician_client.admin_audit import AdminAudit
from technician_client.admin_requests import AdminRequests
from technician_client.app import admin_link
from technician_client.cli.options import DataOption, JsonOption, PassphraseOption
from technician_client.cli.output import Output
from technician_client.cli.passphrase import read_passphrase
from technician_client.cli.running import run_async
from technician_client.cli.tables import table, utc_text
from technician_client.config import TechnicianConfig, load_config
from technician_client.files import write_private
from technician_client.install_lines import InstallLines, install_lines
from technician_client.issued import IssuedToken, match_serial, note_token, tokens
from technician_client.organisation import OrganisationFolder
from technician_client.published_folder import published_folder
from technician_client.relay_address import read_relay

app = typer.Typer(help="Join tokens for devices.", no_args_is_help=True)

ANY_NUMBER = 0


@dataclass(frozen=True, slots=True)
class TokenState:
    """One token: what was issued here, and what the relay counted."""

    serial: str
    group: str
    uses_limit: int | None
    uses: int
    join_until_utc: str
    is_bulk: bool
    is_revoked: bool


@app.command()
def create(
    data: DataOption = None,
    is_json: JsonOption = False,
    group: Annotated[str, typer.Option("--group", help="The group the device will be in.")] = "default",
    uses: Annotated[
        int | None,
        typer.Option("--uses", min=0, help="How many devices may join; 0 is any number. Default: 1."),
    ] = None,
    hours: Annotated[int, typer.Option("--hours", min=1, max=24 * 365, help="How long it can be used.")] = 24,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="For install scripts: any number of uses, each device is approved.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the token there (0600), not to the screen."),
    ] = None,
    release: Annotated[
        Path | None,
        typer.Option(
            "--release", metavar="DIR", help="Folder of the release to install. Default: org/release."
        ),
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a join token, and say how a new device gets the agent.

    Whoever holds the token can join a device: treat it as a secret.
    """
    config, output = load_config(data), Output(is_json=is_json)
    folder = OrganisationFolder(config.organisation_folder)
    folder.root_certificate()
    relay = read_relay(config)
    if not relay.relay_id:
        raise UsageError(
            f"the relay {relay.url} was not claimed yet; see: alongside org claim", code=ErrorCode.E_CONFIG
        )
    now = datetime.now(UTC)
    limit = uses if uses is not None else (ANY_NUMBER if bulk else 1)
    terms = TokenTerms(relay.url, relay.relay_id, group, now + timedelta(hours=hours), limit, bulk)
    root = folder.unlock(read_passphrase(passphrase_file))
    text = make_token(root.certificate, root.key, terms, now=now)
    noted = IssuedToken(
        serial=read_token(text, now=now).serial,
        group=group,
        uses_limit=limit,
        is_bulk=bulk,
        issued_at_utc=utc_text(now),
        join_until_utc=utc_text(terms.join_until),
    )
    note_token(folder, noted)
    AdminAudit(config).note(
        AuditKind.TOKEN_MADE, serial=noted.serial, group=group, uses_limit=limit, is_bulk=int(bulk)
    )
    _tell(noted, text, out, output, _lines(folder, release, relay.url))


def _lines(
    folder: OrganisationFolder, release: Path | None, relay_url: str
) -> Mapping[Platform, InstallLines]:
    """For the newest release; none while there is no release."""
    from technician_client.release_bundle import read_published

    published = published_folder(folder, release)
    if release is None and not published.exists():
        return {}
    return install_lines(relay_url, root_fingerprint(folder.roots().newest), read_published(published))


def _tell(
    noted: IssuedToken, text: str, out: Path | None, output: Output, lines: Mapping[Platform, InstallLines]
) -> None:
    document: dict[str, object] = {
        "serial": noted.serial,
        "group": noted.group,
        "join_until_utc": noted.join_until_utc,
        "install": {system: asdict(each) for system, each in lines.items()},
    }
    if not lines:
        output.remark("There is no release to install from yet; see: alongside release create")
    elif missing := [each for each in PLATFORMS if each not in lines]:
        output.remark(
            f"This release has no install script for {' and '.join(missing)}; "
            "see: alongside release create --platform"
        )
    for system, each in lines.items():
        output.remark(f"A new device ({system}), step by step; the last step asks for the token:")
        output.remark("\n".join(f"  {step}" for step in each.steps))
        output.remark(f"The same in one line:\n  {each.one_line}")
    if out is None:
        output.remark(
            f"For group {noted.group}, until {noted.join_until_utc}. "
            "On the device: alongside-agent join (it asks for the token; paste it there)"
        )
        output.result(document | {"token": text}, Text(text, no_wrap=True, overflow="ignore"))
    else:
        write_private(out.absolute(), text.encode() + b"\n")
        told = f"The token is in {out}, until {noted.join_until_utc}."
        how = "On the device: alongside-agent join --token-file FILE"
        output.result(document | {"file": str(out)}, Text(f"{told}\n{how}"))


@app.command("list")
def list_tokens(data: DataOption = None, is_json: JsonOption = False) -> None:
    """List the join tokens: those made here, and those the relay has seen."""
    config, output = load_config(data), Output(is_json=is_json)
    states = run_async(_states(config, output))
    documents = [{name: getattr(state, name) for name in TokenState.__slots__} for state in states]
    rows = [
        (state.serial[:12], state.group, _uses(state), state.join_until_utc, _standing(state))
        for state in states
    ]
    output.result({"tokens": documents}, table(("SERIAL", "GROUP", "USED", "UNTIL (UTC)", "STATE"), rows))


@app.command()
def revoke(
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="The token's serial, or a unique start.")],
    data: DataOption = None,
    is_json: JsonOption = False,
) -> None:
    """Let no further device join with this token. Devices that joined stay; see fleet remove."""
    config, output = load_config(data), Output(is_json=is_json)
    whole = run_async(_revoke(config, serial, output))
    output.result({"serial": whole, "is_revoked": True}, Text(f"Token {whole[:12]} is revoked."))


async def _revoke(config: TechnicianConfig, serial: str, output: Output) -> str:
    whole = match_serial(serial, [state.serial for state in await _states(config, output)])
    async with admin_link(config) as link:
        with output.working("Revoking …"):
            await AdminRequests(link).revoke_token(whole)
    AdminAudit(config).note(AuditKind.TOKEN_REVOKED, serial=whole)
    return whole


async def _states(config: TechnicianConfig, output: Output) -> list[TokenState]:
    async with admin_link(config) as link:
        with output.working("Asking the relay …"):
            seen = await AdminRequests(link).tokens()
    return merged_tokens(tokens(OrganisationFolder(config.organisation_folder)), seen)


def merged_tokens(issued: list[IssuedToken], seen: list[TokenRow]) -> list[TokenState]:
    """What was issued here with what the relay counted; a token of another admin's computer comes last."""
    by_serial = {row.enroller_serial: row for row in seen}
    unused = TokenRow("", 0, False)
    states = [
        TokenState(
            serial=token.serial,
            group=token.group,
            uses_limit=token.uses_limit,
            uses=by_serial.get(token.serial, unused).uses,
            join_until_utc=token.join_until_utc,
            is_bulk=token.is_bulk,
            is_revoked=by_serial.get(token.serial, unused).is_revoked,
        )
        for token in issued
    ]
    known = {token.serial for token in issued}
    states += [
        TokenState(row.enroller_serial, "?", None, row.uses, "?", False, row.is_revoked)
        for row in seen
        if row.enroller_serial not in known
    ]
    return states


def _uses(state: TokenState) -> str:
    if state.uses_limit is None:
        return str(state.uses)
    return f"{state.uses} of {state.uses_limit or 'any number'}"


def _standing(state: TokenState) -> str:
    if state.is_revoked:
        return "revoked"
    if state.join_until_utc < utc_text(datetime.now(UTC)) and state.uses_limit is not None:
        return "over"
    is_spent = bool(state.uses_limit) and state.uses >= (state.uses_limit or 0)
    return "used up" if is_spent else "good"

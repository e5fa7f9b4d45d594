"""What the console's JSON answers hold; no key, no certificate, no secret is among it."""

from collections.abc import Iterable

import msgspec

from protocol.catalogue import Catalogue, ChoiceParameter, CommandEntry, IntegerParameter, Parameter
from protocol.messages.presence import DeviceRow
from protocol.names import shown_name, shown_reason, shown_text
from technician_client.console.backend import LinkState, Myself
from technician_client.console.page_messages import Problem, problem


class LinkView(msgspec.Struct, frozen=True, tag="link"):
    """The relay link."""

    is_connected: bool
    relay_url: str
    problem: Problem | None


class MeView(msgspec.Struct, frozen=True):
    """GET /api/me."""

    technician: str
    technician_id: str
    organisation: str
    organisation_id: str
    certificate_days_left: float
    link: LinkView


class DeviceView(msgspec.Struct, frozen=True, tag="device"):
    """One device, its texts fit to be shown."""

    device_id: str
    name: str
    group: str
    platform: str
    status: str
    is_present: bool
    first_seen_at_utc: str
    last_seen_at_utc: str


class DevicesView(msgspec.Struct, frozen=True):
    """GET /api/devices."""

    devices: list[DeviceView]


class ParameterView(msgspec.Struct, frozen=True):
    """One typed parameter; what a type does not have is None or empty."""

    name: str
    type: str
    description: str
    default: str | None
    minimum: int | None
    maximum: int | None
    choices: list[str]


class CommandView(msgspec.Struct, frozen=True):
    """One entry of the verified catalogue."""

    command_id: str
    title: str
    person_text: str
    risk: str
    platforms: list[str]
    timeout_s: float
    sha256: str
    argv: list[str]
    parameters: list[ParameterView]


class CatalogueView(msgspec.Struct, frozen=True):
    """GET /api/catalogue."""

    entries: list[CommandView]


def link_view(state: LinkState) -> LinkView:
    """The link for the page."""
    why = problem(state.code) if state.code else None
    return LinkView(state.is_connected, shown_text(state.relay_url, 200), why)


def me_view(me: Myself, link: LinkState) -> MeView:
    """Who is at the console."""
    return MeView(
        technician=shown_name(me.technician),
        technician_id=me.technician_id,
        organisation=shown_name(me.organisation),
        organisation_id=me.organisation_id,
        certificate_days_left=round(me.certificate_days_left, 2),
        link=link_view(link),
    )


def device_view(row: DeviceRow) -> DeviceView:
    """One device for the page."""
    return DeviceView(
        device_id=shown_name(row.device_id),
        name=shown_name(row.name),
        group=shown_text(row.group, 64),
        platform=shown_text(row.platform, 64),
        status=shown_text(row.status, 64),
        is_present=row.is_present,
        first_seen_at_utc=shown_text(row.first_seen_at_utc, 64),
        last_seen_at_utc=shown_text(row.last_seen_at_utc, 64),
    )


def devices_view(rows: Iterable[DeviceRow]) -> DevicesView:
    """All devices for the page, by name."""
    views = [device_view(row) for row in rows if row.status != "removed"]
    return DevicesView(sorted(views, key=lambda view: (view.name.casefold(), view.device_id)))


def catalogue_view(catalogue: Catalogue) -> CatalogueView:
    """The catalogue for the page, in its own order."""
    return CatalogueView([_command_view(entry) for entry in catalogue.entries])


def _command_view(entry: CommandEntry) -> CommandView:
    return CommandView(
        command_id=entry.command_id,
        title=shown_reason(entry.title),
        person_text=shown_reason(entry.person_text),
        risk=entry.risk,
        platforms=list(entry.platforms),
        timeout_s=entry.timeout_s,
        sha256=entry.sha256,
        argv=[shown_reason(part) for part in entry.argv],
        parameters=[_parameter_view(name, parameter) for name, parameter in entry.parameters.items()],
    )


def _parameter_view(name: str, parameter: Parameter) -> ParameterView:
    return ParameterView(
        name=name,
        type=str(parameter.__struct_config__.tag),
        description=shown_reason(parameter.description),
        default=parameter.default,
        minimum=parameter.minimum if isinstance(parameter, IntegerParameter) else None,
        maximum=parameter.maximum if isinstance(parameter, IntegerParameter) else None,
        choices=list(parameter.choices) if isinstance(parameter, ChoiceParameter) else [],
    )

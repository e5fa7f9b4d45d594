"""Carries out what a logged-in client asks for."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from protocol.certificates import Role
from protocol.errors import EnvironmentFault, ErrorCode, Refused, SupportError
from protocol.ids import OrganisationId
from protocol.limits import CONTROL_MESSAGE_LIMIT_BYTES, NAME_LIMIT_CHARS
from protocol.messages.control import (
    AnchorList,
    AnchorRow,
    DeviceFacts,
    Done,
    FromClient,
    HoldNameplate,
    KeepAnchor,
    ListAnchors,
    ListDevices,
    ListTokens,
    OpenCodeSession,
    OpenSession,
    Ping,
    PolicyPublished,
    Pong,
    PublishPolicy,
    PublishStatus,
    ReleaseNameplate,
    RevokeToken,
    SessionDeclined,
    SetDeviceStatus,
    StatusPublished,
    SuccessorsPublished,
    TokenList,
    TokenRow,
)
from protocol.messages.presence import DeviceList, DeviceRow, PresenceChanged
from protocol.names import shown_name, shown_text
from relay.access import POLICY_READERS, STATUS_READERS, require_access
from relay.enrollment import APPROVED, PENDING, QUARANTINED, REMOVED
from relay.instances import Instances
from relay.links import Link
from relay.nameplates import Nameplates
from relay.presence import Presence
from relay.ratelimit import (
    ANCHOR_RATE,
    FACTS_RATE,
    LIST_RATE,
    OPEN_SESSION_RATE,
    ORGANISATION_LIST_RATE,
    RateLimit,
)
from relay.rendezvous import Rendezvous
from relay.store.interface import (
    AnchorRecord,
    DeviceChange,
    DeviceRecord,
    DocumentKind,
    DocumentRecord,
    PolicyRecord,
    Store,
)
from relay.turns import Turns

_LOG = structlog.get_logger()
_SERIAL = re.compile(r"[0-9a-f]{1,64}")
_VERSION_LIMIT = 2**31 - 1
_INSTANCES_LIMIT = 200_000  # devices; about 500 bytes each
_LIST_LIMIT_BYTES = CONTROL_MESSAGE_LIMIT_BYTES - 4096


class RequestDesk:
    """Answers requests, and tells the others what changed."""

    def __init__(self, store: Store, presence: Presence, rendezvous: Rendezvous) -> None:
        self._store = store
        self._presence = presence
        self._rendezvous = rendezvous
        self._nameplates = Nameplates(_alarm)
        self._opening_rate = RateLimit(OPEN_SESSION_RATE)
        self._list_rate = RateLimit(LIST_RATE)
        self._organisation_list_rate = RateLimit(ORGANISATION_LIST_RATE)
        self._facts_rate = RateLimit(FACTS_RATE)
        self._anchor_rate = RateLimit(ANCHOR_RATE)
        self._instances = Instances(_INSTANCES_LIMIT)
        self._turns = Turns()
        self._handlers: dict[type[FromClient], Callable[[Link, Any], Awaitable[None]]] = {
            DeviceFacts: self._note_facts,
            SessionDeclined: self._pass_decline,
            OpenSession: self._open_session,
            OpenCodeSession: self._open_code_session,
            HoldNameplate: self._hold_nameplate,
            ReleaseNameplate: self._release_nameplate,
            ListDevices: self._list_devices,
            SetDeviceStatus: self._set_status,
            RevokeToken: self._revoke_token,
            ListTokens: self._list_tokens,
            PublishPolicy: self._publish_policy,
            KeepAnchor: self._keep_anchor,
            ListAnchors: self._list_anchors,
            PublishStatus: self._publish_status,
            Ping: self._answer_ping,
            Pong: self._note_pong,
        }

    async def handle(self, link: Link, message: FromClient) -> None:
        """Carry out one message; a refusal goes to the link, the others do not notice."""
        request_no: int = getattr(message, "request_no", 0)
        try:
            require_access(link.role, type(message), is_visitor=link.is_visitor)
            if isinstance(message, Ping | Pong):
                await self._handlers[type(message)](link, message)
                return
            async with self._turns.one_of(link.organisation_id):
                await self._handlers[type(message)](link, message)
        except SupportError as exc:
            _LOG.warning(
                "request.refused",
                subject=link.subject_id,
                role=link.role.value,
                message=type(message).__name__,
                code=exc.code.value,
                detail=exc.detail,
            )
            if request_no or not isinstance(exc, EnvironmentFault):
                link.refuse(request_no, exc.code)

    async def welcome(self, link: Link) -> None:
        """The link was admitted: hand over the newest documents, tell the people of its organisation."""
        if link.is_visitor:
            return
        successors = await self._store.newest_document(link.organisation_id, DocumentKind.SUCCESSORS)
        if successors is not None:
            link.post(_successors(successors))
        if link.role in STATUS_READERS:
            status = await self._store.newest_document(link.organisation_id, DocumentKind.STATUS)
            if status is not None:
                link.post(StatusPublished(status.version, status.envelope))
        if link.role in POLICY_READERS:
            policy = await self._store.newest_policy(link.organisation_id)
            if policy is not None:
                link.post(PolicyPublished(policy.version, policy.envelope))
        if link.role is Role.DEVICE:
            await self._announce(link)

    def gone(self, link: Link) -> None:
        """This link is gone; nobody waits behind it any more."""
        self._nameplates.forget(link)

    async def tell_successors(self, organisation_id: OrganisationId) -> None:
        """A successor root came: everybody hears it, and people log in again, by its certificates."""
        successors = await self._store.newest_document(organisation_id, DocumentKind.SUCCESSORS)
        if successors is None:
            return
        for link in self._presence.everybody():
            if link.organisation_id == organisation_id:
                link.post(_successors(successors))
                if link.role is not Role.DEVICE:
                    link.end()

    async def farewell(self, link: Link) -> None:
        """A device's last link is gone."""
        change = DeviceChange(last_seen_at_utc=datetime.now(UTC))
        device = await self._store.update_device(link.organisation_id, link.subject_id, change)
        self._tell(device)

    async def _announce(self, link: Link) -> None:
        self._tell(await self._store.device(link.organisation_id, link.subject_id))

    async def _note_facts(self, link: Link, message: DeviceFacts) -> None:
        if self._instances.is_cloned(_key(link), message.instance_id):
            await self._quarantine(link)
            return
        if not self._facts_rate.take(_key(link), time.monotonic()):
            return  # decoration: no reason to end the link of a device that comes and goes
        change = DeviceChange(
            name=shown_name(message.name), platform=shown_text(message.platform, NAME_LIMIT_CHARS)
        )
        self._tell(await self._store.update_device(link.organisation_id, link.subject_id, change))

    async def _quarantine(self, link: Link) -> None:
        """Two computers have this device's key; nobody here can tell which of them is the right one."""
        device = await self._store.device(link.organisation_id, link.subject_id)
        if device is not None and device.status != REMOVED:
            change = DeviceChange(status=QUARANTINED)
            self._tell(await self._store.update_device(link.organisation_id, link.subject_id, change))
            _LOG.error("device.quarantined", organisation_id=link.organisation_id, device_id=link.subject_id)
        link.refuse(0, ErrorCode.E_DEVICE_CLONED)

    async def _pass_decline(self, link: Link, message: SessionDeclined) -> None:
        self._rendezvous.declined(link, message, time.time())

    async def _open_session(self, link: Link, message: OpenSession) -> None:
        if not self._opening_rate.take(_key(link), time.monotonic()):
            raise Refused(link.subject_id, code=ErrorCode.E_RATE)
        device = await self._store.device(link.organisation_id, message.device_id)
        if device is None or device.status == REMOVED:
            raise Refused(message.device_id, code=ErrorCode.E_DEVICE_UNKNOWN)
        if device.status == PENDING:
            raise Refused(message.device_id, code=ErrorCode.E_DEVICE_PENDING)
        if device.status == QUARANTINED:
            raise Refused(message.device_id, code=ErrorCode.E_DEVICE_CLONED)
        device_link = self._presence.device(link.organisation_id, message.device_id)
        if device_link is None:
            raise Refused(message.device_id, code=ErrorCode.E_DEVICE_AWAY)
        session_id = self._rendezvous.open(link, device_link, message.request_no, time.time())
        _LOG.info(
            "session.offered",
            session_id=session_id,
            device_id=message.device_id,
            technician=link.subject_id,
            organisation_id=link.organisation_id,
        )

    async def _hold_nameplate(self, link: Link, message: HoldNameplate) -> None:
        if not link.is_visitor:
            device = await self._store.device(link.organisation_id, link.subject_id)
            if device is None or device.status != APPROVED:
                raise Refused(link.subject_id, code=ErrorCode.E_DEVICE_PENDING)
        self._nameplates.hold(link, message.nameplate, message.holder, time.monotonic())
        link.post(Done(message.request_no))

    async def _release_nameplate(self, link: Link, message: ReleaseNameplate) -> None:
        self._nameplates.release(link, message.nameplate)

    async def _open_code_session(self, link: Link, message: OpenCodeSession) -> None:
        device_link = self._nameplates.find(link, message.nameplate, time.monotonic())
        session_id = self._rendezvous.open(
            link, device_link, message.request_no, time.time(), nameplate=message.nameplate
        )
        _LOG.info(
            "session.offered",
            session_id=session_id,
            device_id=device_link.subject_id,
            technician=link.subject_id,
            organisation_id=link.organisation_id,
            by="code",
        )

    async def _list_devices(self, link: Link, message: ListDevices) -> None:
        self._count_list(link)
        rows: list[DeviceRow] = []
        size_bytes = 0
        for device in await self._store.devices(link.organisation_id):
            row = self._row(device)
            size_bytes += len(msgspec.msgpack.encode(row))
            if size_bytes > _LIST_LIMIT_BYTES:
                break
            rows.append(row)
        link.post(DeviceList(message.request_no, rows))

    def _count_list(self, link: Link) -> None:
        now_s = time.monotonic()
        if not self._list_rate.take(_key(link), now_s):
            raise Refused(link.subject_id, code=ErrorCode.E_RATE)
        if not self._organisation_list_rate.take(link.organisation_id, now_s):
            raise Refused(link.organisation_id, code=ErrorCode.E_RATE)

    async def _set_status(self, link: Link, message: SetDeviceStatus) -> None:
        if message.status not in (APPROVED, REMOVED):
            raise Refused(message.status, code=ErrorCode.E_MESSAGE_FORMAT)
        change = DeviceChange(status=message.status)
        device = await self._store.update_device(link.organisation_id, message.device_id, change)
        if device is None:
            raise Refused(message.device_id, code=ErrorCode.E_DEVICE_UNKNOWN)
        device_link = self._presence.device(link.organisation_id, message.device_id)
        if device.status == REMOVED and device_link is not None:
            device_link.refuse(0, ErrorCode.E_DEVICE_REMOVED)
        self._instances.forget(f"{link.organisation_id}/{Role.DEVICE.value}/{message.device_id}")
        _LOG.info(
            "device.status_set", device_id=device.device_id, status=device.status, admin=link.subject_id
        )
        link.post(Done(message.request_no))
        self._tell(device)

    async def _revoke_token(self, link: Link, message: RevokeToken) -> None:
        serial = message.enroller_serial.lower()
        if not _SERIAL.fullmatch(serial):
            raise Refused("not a serial", code=ErrorCode.E_MESSAGE_FORMAT)
        await self._store.revoke_enroller(link.organisation_id, serial)
        _LOG.info("token.revoked", enroller_serial=serial, admin=link.subject_id)
        link.post(Done(message.request_no))

    async def _list_tokens(self, link: Link, message: ListTokens) -> None:
        enrollers = await self._store.enrollers(link.organisation_id)
        rows = [TokenRow(one.serial, one.uses, one.is_revoked) for one in enrollers]
        link.post(TokenList(message.request_no, rows))

    async def _publish_policy(self, link: Link, message: PublishPolicy) -> None:
        if not 1 <= message.version <= _VERSION_LIMIT:
            raise Refused(f"version {message.version}", code=ErrorCode.E_MESSAGE_FORMAT)
        policy = PolicyRecord(message.version, bytes(message.envelope))
        if not await self._store.publish_policy(link.organisation_id, policy):
            raise Refused(f"version {message.version}", code=ErrorCode.E_POLICY_VERSION)
        _LOG.info("policy.published", version=policy.version, admin=link.subject_id)
        link.post(Done(message.request_no))
        news = PolicyPublished(policy.version, policy.envelope)
        self._presence.tell_roles(link.organisation_id, POLICY_READERS, news)

    async def _publish_status(self, link: Link, message: PublishStatus) -> None:
        if not 1 <= message.version <= _VERSION_LIMIT:
            raise Refused(f"version {message.version}", code=ErrorCode.E_MESSAGE_FORMAT)
        status = DocumentRecord(message.version, bytes(message.envelope))
        if not await self._store.publish_document(link.organisation_id, DocumentKind.STATUS, status):
            raise Refused(f"version {message.version}", code=ErrorCode.E_STATUS_VERSION)
        _LOG.info("status.published", version=status.version, admin=link.subject_id)
        link.post(Done(message.request_no))
        news = StatusPublished(status.version, status.envelope)
        self._presence.tell_roles(link.organisation_id, STATUS_READERS, news)

    async def _keep_anchor(self, link: Link, message: KeepAnchor) -> None:
        if not self._anchor_rate.take(_key(link), time.monotonic()):
            raise Refused(link.subject_id, code=ErrorCode.E_RATE)
        record = AnchorRecord(bytes(message.anchor), datetime.now(UTC))
        if not await self._store.keep_anchor(link.organisation_id, link.subject_id, record):
            raise Refused("so many anchors in a day", code=ErrorCode.E_RATE)
        link.post(Done(message.request_no))

    async def _list_anchors(self, link: Link, message: ListAnchors) -> None:
        self._count_list(link)
        kept = await self._store.anchors(link.organisation_id, message.device_id)
        rows = [AnchorRow(_moment(one.kept_at_utc), one.anchor) for one in kept]
        link.post(AnchorList(message.request_no, rows))

    async def _answer_ping(self, link: Link, message: Ping) -> None:
        link.post(Pong(message.ping_no))

    async def _note_pong(self, link: Link, message: Pong) -> None:
        """Any message shows that the link lives; the number is not looked at."""

    def _tell(self, device: DeviceRecord | None) -> None:
        if device is not None:
            self._presence.tell_people(device.organisation_id, PresenceChanged(self._row(device)))

    def _row(self, device: DeviceRecord) -> DeviceRow:
        is_present = self._presence.device(device.organisation_id, device.device_id) is not None
        return DeviceRow(
            device_id=device.device_id,
            name=device.name,
            group=device.group,
            platform=device.platform,
            status=device.status,
            is_present=is_present,
            first_seen_at_utc=_moment(device.first_seen_at_utc),
            last_seen_at_utc=_moment(device.last_seen_at_utc),
        )


def _alarm(misses: int) -> None:
    """Somebody, or many together, try nameplates in a row; the devices see nothing of it."""
    _LOG.error("nameplates.tried", misses=misses)


def _successors(document: DocumentRecord) -> SuccessorsPublished:
    return SuccessorsPublished(msgspec.msgpack.decode(document.envelope, type=list[bytes]))


def _key(link: Link) -> str:
    return f"{link.organisation_id}/{link.role.value}/{link.subject_id}"


def _moment(at_utc: datetime) -> str:
    return at_utc.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

"""The link between the relay and an agent, a technician or an admin (WebSocket `/v1/control`).

relay → client   control.challenge
client → relay   control.log_in              (or control.claim, once in a relay's life; or control.visit)
relay → client   control.welcome             (or control.refused, then the socket closes)
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Finite, Message
from protocol.limits import (
    ANCHOR_LIMIT_BYTES,
    ANCHORS_PER_DEVICE_LIMIT,
    CERTIFICATE_LIMIT_BYTES,
    CHAIN_LIMIT_CERTIFICATES,
    CONTROL_MESSAGE_LIMIT_BYTES,
    NAMEPLATE_HOLDER_BYTES,
    NONCE_BYTES,
    POLICY_LIMIT_BYTES,
    PRE_LOGIN_MESSAGE_LIMIT_BYTES,
    SUCCESSOR_LIMIT_BYTES,
    SUCCESSORS_LIMIT,
    TICKET_LIMIT_BYTES,
)
from protocol.messages.presence import DeviceList, PresenceChanged, ShortText

Certificate = Annotated[bytes, Meta(max_length=CERTIFICATE_LIMIT_BYTES)]
Chain = Annotated[list[Certificate], Meta(min_length=1, max_length=CHAIN_LIMIT_CERTIFICATES)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Signature = Annotated[bytes, Meta(max_length=256)]
SessionTicket = Annotated[bytes, Meta(max_length=TICKET_LIMIT_BYTES)]
DocumentBytes = Annotated[bytes, Meta(max_length=POLICY_LIMIT_BYTES * 2)]
AnchorBytes = Annotated[bytes, Meta(min_length=1, max_length=ANCHOR_LIMIT_BYTES)]
Steps = Annotated[
    list[Annotated[bytes, Meta(max_length=SUCCESSOR_LIMIT_BYTES)]],
    Meta(min_length=1, max_length=SUCCESSORS_LIMIT),
]
LongText = Annotated[str, Meta(max_length=512)]
Nameplate = Annotated[str, Meta(pattern=r"^[0-9]{4}\Z")]
NameplateHolder = Annotated[bytes, Meta(min_length=NAMEPLATE_HOLDER_BYTES, max_length=NAMEPLATE_HOLDER_BYTES)]


class Challenge(Message, frozen=True, tag="control.challenge"):
    """First message of the relay. `relay_id` is the one that tokens and identities pin."""

    version: int
    nonce: Nonce
    relay_id: ShortText


class LogIn(Message, frozen=True, tag="control.log_in"):
    """Who is there. `chain` is DER, leaf first, without the root.

    `signature` is ECDSA P-256 with SHA-256 over `login_transcript(nonce, relay_id)`.
    """

    version: int
    chain: Chain
    signature: Signature


class Claim(Message, frozen=True, tag="control.claim"):
    """Binds the relay to this organisation, once. `secret` is what the relay wrote to its claim file.

    `signature` is by the admin's key over `claim_transcript(nonce, relay_id, secret)`; `root` is the
    organisation's root certificate (DER).
    """

    version: int
    secret: ShortText
    root: Certificate
    chain: Chain
    signature: Signature


class Visit(Message, frozen=True, tag="control.visit"):
    """Instead of a log-in, where the relay takes visitors: an end without an organisation.

    `role` is "device" or "technician". Nothing is proved by it; the code and the tunnel have to.
    """

    version: int
    role: Literal["device", "technician"]


class Succeed(Message, frozen=True, tag="control.succeed"):
    """Brings the relay the steps to the organisation's newest root, and logs its admin in.

    `steps` are envelopes of `protocol.succession`, oldest first; `signature` is by the admin's key, which
    the newest root certified, over `succession_transcript(nonce, relay_id)`.
    """

    version: int
    steps: Steps
    chain: Chain
    signature: Signature


class Welcome(Message, frozen=True, tag="control.welcome"):
    """Logged in (or claimed). `status` is the device's standing: "approved" or "pending"; "" for people."""

    organisation_id: ShortText
    subject_id: ShortText
    role: ShortText
    heartbeat_s: Finite
    status: ShortText


class Refused(Message, frozen=True, tag="control.refused"):
    """A refusal with its code; `request_no` 0 refuses the link itself, which then closes."""

    request_no: int
    code: ShortText


class Done(Message, frozen=True, tag="control.done"):
    """A request without another answer was carried out."""

    request_no: int


class DeviceFacts(Message, frozen=True, tag="control.device_facts"):
    """Agent to relay after `welcome`: how the device calls itself. Shown, never trusted.

    `instance_id` is drawn anew by every run of the agent; two that take turns show a copied key.
    """

    name: ShortText
    platform: ShortText
    agent_version: ShortText
    instance_id: ShortText = ""


class ListDevices(Message, frozen=True, tag="control.list_devices"):
    """Technician or admin to relay."""

    request_no: int


class SetDeviceStatus(Message, frozen=True, tag="control.set_device_status"):
    """Admin to relay: `status` "approved" or "removed"."""

    request_no: int
    device_id: ShortText
    status: ShortText


class RevokeToken(Message, frozen=True, tag="control.revoke_token"):
    """Admin to relay: no further device joins under the enroller with this serial (hex)."""

    request_no: int
    enroller_serial: ShortText


class TokenRow(Message, frozen=True, tag="control.token"):
    """An enroller the relay has seen: how often it was used, and whether it was revoked."""

    enroller_serial: ShortText
    uses: int
    is_revoked: bool


class ListTokens(Message, frozen=True, tag="control.list_tokens"):
    """Admin to relay."""

    request_no: int


class TokenList(Message, frozen=True, tag="control.token_list"):
    """Answer to `control.list_tokens`."""

    request_no: int
    tokens: Annotated[list[TokenRow], Meta(max_length=2000)]


class PublishPolicy(Message, frozen=True, tag="control.publish_policy"):
    """Admin to relay: the signed policy bundle, which the relay hands to agents and technicians unread."""

    request_no: int
    version: int
    envelope: DocumentBytes


class PolicyPublished(Message, frozen=True, tag="control.policy"):
    """Relay to agents and technicians after `welcome` and after each publication."""

    version: int
    envelope: DocumentBytes


class PublishStatus(Message, frozen=True, tag="control.publish_status"):
    """Admin to relay: the signed list of revoked certificates, which the relay hands on unread."""

    request_no: int
    version: int
    envelope: DocumentBytes


class StatusPublished(Message, frozen=True, tag="control.status"):
    """Relay to agents, technicians and admins after `welcome` and after each publication."""

    version: int
    envelope: DocumentBytes


class KeepAnchor(Message, frozen=True, tag="control.keep_anchor"):
    """Agent to relay: keep this. It is opaque; a signature by the device over its audit log's head."""

    request_no: int
    anchor: AnchorBytes


class ListAnchors(Message, frozen=True, tag="control.list_anchors"):
    """Technician or admin to relay: what this device left to be kept."""

    request_no: int
    device_id: ShortText


class AnchorRow(Message, frozen=True, tag="control.anchor"):
    """One anchor, and when the relay got it."""

    kept_at_utc: ShortText
    anchor: AnchorBytes


class AnchorList(Message, frozen=True, tag="control.anchor_list"):
    """Answer to `control.list_anchors`, oldest first."""

    request_no: int
    anchors: Annotated[list[AnchorRow], Meta(max_length=ANCHORS_PER_DEVICE_LIMIT)]


class SuccessorsPublished(Message, frozen=True, tag="control.successors"):
    """Relay to everybody after `welcome`, if there are any, and when one came: all steps, oldest first."""

    steps: Steps


class OpenSession(Message, frozen=True, tag="control.open_session"):
    """Technician to relay: I want to talk to this device."""

    request_no: int
    device_id: ShortText


class HoldNameplate(Message, frozen=True, tag="control.hold_nameplate"):
    """Agent to relay: whoever asks for this nameplate is to be offered to me, for CODE_LIFETIME_S.

    `holder` is random and the same in every message about one code: after a new link it shows that the
    nameplate is still ours. Neither has anything to do with the code's secret.
    """

    request_no: int
    nameplate: Nameplate
    holder: NameplateHolder


class ReleaseNameplate(Message, frozen=True, tag="control.release_nameplate"):
    """Agent to relay: the code is used up, or nobody waits any more."""

    nameplate: Nameplate


class OpenCodeSession(Message, frozen=True, tag="control.open_code_session"):
    """Technician to relay: I want to talk to the device that holds this nameplate."""

    request_no: int
    nameplate: Nameplate


class SessionRoute(Message, frozen=True, tag="control.session_route"):
    """Where to open the session socket: same host as the control link; port 0 means the same port."""

    port: Annotated[int, Meta(ge=0, le=65535)]
    path: ShortText


class SessionOpened(Message, frozen=True, tag="control.session_opened"):
    """Relay to technician: connect to `route` and send `ticket` as the first message.

    `is_visitor`: one of the two ends has no organisation, so both bring a fresh certificate.
    """

    request_no: int
    session_id: ShortText
    route: SessionRoute
    ticket: SessionTicket
    is_visitor: bool = False


class SessionOffered(Message, frozen=True, tag="control.session_offered"):
    """Relay to agent: somebody wants to talk to you. Who it is, only the tunnel can prove.

    `nameplate` is the one that was asked for, "" when the device was asked for by its id.
    """

    session_id: ShortText
    route: SessionRoute
    ticket: SessionTicket
    nameplate: Annotated[str, Meta(pattern=r"^([0-9]{4})?\Z")] = ""


class SessionDeclined(Message, frozen=True, tag="control.session_declined"):
    """Agent to relay, relay to technician: no socket will be opened for this session."""

    session_id: ShortText
    code: ShortText


class Ping(Message, frozen=True, tag="control.ping"):
    """Either side; answered at once by `control.pong` with the same number."""

    ping_no: int


class Pong(Message, frozen=True, tag="control.pong"):
    """Answer to `control.ping`."""

    ping_no: int


class Paired(Message, frozen=True, tag="control.paired"):
    """First message of the relay on a session socket: the other end is there; from now on all is opaque."""

    session_id: ShortText


PreLogin: TypeAlias = LogIn | Claim | Visit | Succeed
FromClient: TypeAlias = (
    DeviceFacts
    | KeepAnchor
    | ListAnchors
    | ListDevices
    | SetDeviceStatus
    | RevokeToken
    | ListTokens
    | PublishPolicy
    | PublishStatus
    | OpenSession
    | OpenCodeSession
    | HoldNameplate
    | ReleaseNameplate
    | SessionDeclined
    | Ping
    | Pong
)
FromRelay: TypeAlias = (
    Challenge
    | Welcome
    | Refused
    | Done
    | DeviceList
    | PresenceChanged
    | TokenList
    | AnchorList
    | PolicyPublished
    | StatusPublished
    | SuccessorsPublished
    | SessionOpened
    | SessionOffered
    | SessionDeclined
    | Ping
    | Pong
)
FromWorker: TypeAlias = Paired | Refused

PRE_LOGIN_CODEC: Codec[PreLogin] = Codec(PreLogin, PRE_LOGIN_MESSAGE_LIMIT_BYTES)
FROM_CLIENT_CODEC: Codec[FromClient] = Codec(FromClient, CONTROL_MESSAGE_LIMIT_BYTES)
FROM_RELAY_CODEC: Codec[FromRelay] = Codec(FromRelay, CONTROL_MESSAGE_LIMIT_BYTES)
FROM_WORKER_CODEC: Codec[FromWorker] = Codec(FromWorker, TICKET_LIMIT_BYTES)


def login_transcript(nonce: bytes, relay_id: str) -> bytes:
    """What a log-in signs: a fixed label, the relay's nonce, the relay the client means to talk to."""
    return b"alongside relay log-in v1\0" + nonce + relay_id.encode()


def claim_transcript(nonce: bytes, relay_id: str, secret: str) -> bytes:
    """What a claim signs; the label keeps it apart from a log-in."""
    return b"alongside relay claim v1\0" + nonce + relay_id.encode() + b"\0" + secret.encode()


def succession_transcript(nonce: bytes, relay_id: str) -> bytes:
    """What bringing a successor root signs; the label keeps it apart from a log-in."""
    return b"alongside relay succession v1\0" + nonce + relay_id.encode()

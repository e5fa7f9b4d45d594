"""Signed documents: DSSE envelopes that carry the signer's chain.

Source: https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md of version 1.0.2. Exactly
one signature; its entry has one more member, `chain` (DER, leaf first, without the root). The payload is
handed out only after signature and chain held, as the exact bytes that were signed.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated

import msgspec

from protocol.certificates import Role, VerifiedPeer
from protocol.dsse import pre_authentication_encoding as pre_authentication_encoding
from protocol.errors import DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.limits import CERTIFICATE_LIMIT_BYTES, CHAIN_LIMIT_CERTIFICATES, POLICY_LIMIT_BYTES
from protocol.trust import Trust

ENVELOPE_LIMIT_BYTES = POLICY_LIMIT_BYTES * 2


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: Annotated[str, msgspec.Meta(max_length=128)]
    sig: Annotated[bytes, msgspec.Meta(max_length=256)]
    chain: Annotated[
        list[Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT_BYTES)]],
        msgspec.Meta(min_length=1, max_length=CHAIN_LIMIT_CERTIFICATES),
    ]


class _Envelope(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"payload_type": "payloadType"}
):
    payload: Annotated[bytes, msgspec.Meta(max_length=POLICY_LIMIT_BYTES)]
    payload_type: Annotated[str, msgspec.Meta(max_length=128)]
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=1)]


_DECODER = msgspec.json.Decoder(_Envelope, strict=True)


def sign_envelope(payload_type: str, payload: bytes, signer: Identity) -> bytes:
    """The payload, signed by this identity, as a JSON envelope.

    Raises:
        DocumentRefused: E_POLICY_FORMAT, the payload is larger than POLICY_LIMIT_BYTES.
    """
    if len(payload) > POLICY_LIMIT_BYTES:
        raise DocumentRefused(
            f"{len(payload)} bytes, limit is {POLICY_LIMIT_BYTES}", code=ErrorCode.E_POLICY_FORMAT
        )
    signature = signer.sign(pre_authentication_encoding(payload_type, payload))
    entry = _Signature(keyid=signer.subject_id, sig=signature, chain=list(signer.chain))
    return msgspec.json.encode(_Envelope(payload, payload_type, [entry]))


def carried_payload(envelope: bytes) -> bytes:
    """What an envelope carries, nothing of it verified: for files that this program wrote itself.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, it is no envelope.
    """
    return _read(envelope).payload


def open_envelope(
    envelope: bytes, payload_type: str, trust: Trust | bytes, *, roles: Collection[Role], now: datetime
) -> tuple[bytes, VerifiedPeer]:
    """The payload that was signed, and by whom. `keyid` is a hint that nothing depends on.

    `trust` may be the root alone (DER) where no status list is at hand.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE; not an envelope, another type, or a wrong signature.
        CertificateRefused: the signer's chain is not acceptable for these roles.
    """
    read = _read(envelope)
    if read.payload_type != payload_type:
        raise DocumentRefused(f"an envelope of {read.payload_type[:60]!r}, not of {payload_type!r}")
    entry = read.signatures[0]
    believed = trust if isinstance(trust, Trust) else Trust(trust)
    signer = believed.verify(entry.chain, roles=roles, now=now)
    if not signer.verify_signature(entry.sig, pre_authentication_encoding(payload_type, read.payload)):
        raise DocumentRefused(f"the signature is not by {signer.subject_id}")
    return read.payload, signer


def _read(envelope: bytes) -> _Envelope:
    if len(envelope) > ENVELOPE_LIMIT_BYTES:
        raise DocumentRefused(f"{len(envelope)} bytes, limit is {ENVELOPE_LIMIT_BYTES}")
    try:
        return _DECODER.decode(envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DocumentRefused(f"not an envelope: {exc}"[:200]) from None

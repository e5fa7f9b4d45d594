"""What a signature of a signed document is over.

Source: https://github.com/secure-systems-lab/dsse, protocol.md of version 1.0.2.
"""


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: PAE of DSSE, protocol.md, "Signature Definition"."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)

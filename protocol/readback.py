"""Four digits that both ends of a tunnel have in common, to be read aloud (pure)."""

from typing import Final

READBACK_DIGITS: Final = 4
_INFO: Final = b"alongside read-back v1"


def readback_digits(exporter: bytes) -> str:
    """The digits of the tunnel with this exporter value (HKDF, RFC 5869; 64 bits, modulo 10 000)."""
    # the desktop process needs the number of digits alone, and not the 9 MiB that cryptography takes
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(SHA256(), 8, salt=None, info=_INFO).derive(exporter)
    return f"{int.from_bytes(derived, 'big') % 10**READBACK_DIGITS:0{READBACK_DIGITS}d}"

"""Whether a packet can be decoded without one before it, from its first bytes."""

from __future__ import annotations

H264_START = b"\0\0\1"
H264_IDR = 5
VP9_MARKER = 0b10


def is_keyframe(codec: str, packet: bytes) -> bool:
    """`codec` is a WebCodecs name of H.264 (Annex B), VP8 or VP9.

    Sources: ITU-T H.264, table 7-1 (NAL unit types); RFC 6386, section 9.1 (VP8); VP9 Bitstream Specification
    0.6, section 6.2 (uncompressed header).
    """
    if codec.startswith("avc1"):
        return _has_idr(packet)
    if not packet:
        return False
    if codec == "vp8":
        return packet[0] & 1 == 0
    first = packet[0]
    profile = (first >> 5 & 1) | (first >> 4 & 1) << 1
    # show_existing_frame and frame_type follow the profile, and a reserved bit in profile 3
    shift = 2 if profile == 3 else 3
    return first >> 6 == VP9_MARKER and first >> shift & 1 == 0 and first >> (shift - 1) & 1 == 0


def _has_idr(packet: bytes) -> bool:
    at = packet.find(H264_START)
    while at >= 0 and at + 3 < len(packet):
        kind = packet[at + 3] & 0x1F
        if kind == H264_IDR:
            return True
        if kind < H264_IDR:
            # a slice of a picture that refers to others
            return False
        at = packet.find(H264_START, at + 3)
    return False

"""What a shaped link is: round trip, bandwidth, loss and the buffer at its narrowest place."""

import re
from dataclasses import dataclass

DEFAULT_BUFFER_BYTES = 256 * 1024
_UNITS = {"kbit": 1e3, "mbit": 1e6}


class BadLink(Exception):
    """A link's terms cannot be read."""


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """`round_trip_s` is shared evenly by both directions; each has the bandwidth for itself.

    `has_packets`: done to IP packets by TUN devices (`packet_link.py`), not to a TCP stream by a proxy.
    """

    round_trip_s: float
    bits_per_s: float
    loss: float = 0.0
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    has_packets: bool = False

    @property
    def one_way_s(self) -> float:
        """Delay of one direction."""
        return self.round_trip_s / 2

    def __str__(self) -> str:
        loss = f"/{self.loss * 100:g}%" if self.loss else ""
        packets = "/packets" if self.has_packets else ""
        return f"{self.round_trip_s * 1000:g}ms/{self.bits_per_s / 1e6:g}mbit{loss}{packets}"


def parse_link(text: str) -> LinkTerms:
    """ROUND-TRIP/BANDWIDTH[/LOSS][/BUFFER][/packets], such as 150ms/5mbit/1%/256kb.

    Raises:
        BadLink: with what could not be read.
    """
    round_trip, bandwidth, *rest = text.lower().replace(" ", "").split("/") + [""] * (text.count("/") < 1)
    loss, buffer_bytes = 0.0, DEFAULT_BUFFER_BYTES
    has_packets = "packets" in rest
    rest = [word for word in rest if word != "packets"]
    for word in filter(None, rest):
        if match := re.fullmatch(r"([\d.]+)%", word):
            loss = float(match[1]) / 100
        elif match := re.fullmatch(r"(\d+)kb", word):
            buffer_bytes = int(match[1]) * 1024
        else:
            raise BadLink(f"{text!r}: {word!r} is neither a loss (1%) nor a buffer (256kb)")
    delay = re.fullmatch(r"([\d.]+)ms", round_trip)
    rate = re.fullmatch(r"([\d.]+)(kbit|mbit)", bandwidth)
    if delay is None or rate is None:
        raise BadLink(f"{text!r} is not like 40ms/20mbit")
    return LinkTerms(
        float(delay[1]) / 1000, float(rate[1]) * _UNITS[rate[2]], loss, buffer_bytes, has_packets
    )

"""The one protocol version this build speaks; a peer of another version is refused, never guessed at."""

PROTOCOL_VERSION = 1
TUNNEL_ALPN = b"alongside/1"
PRODUCT_VERSION = "0.1.0"

"""Messages to bytes and back: MessagePack of tagged `msgspec` structs. Bound first, then parse."""

from typing import Annotated, Any, Generic, TypeVar

import msgspec

from protocol.errors import ErrorCode, PeerViolation

M = TypeVar("M")

Finite = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
"""A number of a peer's: never infinite and never NaN, which no comparison and no rounding stands."""


class Message(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """Base of everything on a wire of ours: frozen, tagged by `type`, unknown fields refused."""


class Codec(Generic[M]):
    """Encodes and decodes one closed family of messages.

    `family` is a union of `Message` classes; `limit_bytes` holds for an encoded message.
    """

    def __init__(self, family: Any, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(family, strict=True)

    def encode(self, message: M) -> bytes:
        """The message as bytes.

        Raises:
            ValueError: our own message is larger than the limit.
        """
        encoded = self._encoder.encode(message)
        if len(encoded) > self.limit_bytes:
            raise ValueError(
                f"{type(message).__name__} has {len(encoded)} bytes, limit is {self.limit_bytes}"
            )
        return encoded

    def decode(self, encoded: bytes | bytearray | memoryview) -> M:
        """The message in these bytes.

        Raises:
            PeerViolation: E_MESSAGE_SIZE, E_MESSAGE_UNKNOWN (the type is not of this family) or
                E_MESSAGE_FORMAT.
        """
        if len(encoded) > self.limit_bytes:
            raise PeerViolation(
                f"{len(encoded)} bytes, limit is {self.limit_bytes}", code=ErrorCode.E_MESSAGE_SIZE
            )
        try:
            return self._decoder.decode(encoded)
        except msgspec.ValidationError as exc:
            unknown = "$.type" in str(exc) or ("Invalid value" in str(exc) and "type" in str(exc))
            code = ErrorCode.E_MESSAGE_UNKNOWN if unknown else ErrorCode.E_MESSAGE_FORMAT
            raise PeerViolation(str(exc)[:200], code=code) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise PeerViolation(str(exc)[:200], code=ErrorCode.E_MESSAGE_FORMAT) from None

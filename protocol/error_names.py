"""The permanent error codes by name. What each says to a person is in `protocol.error_codes`."""

from enum import StrEnum, auto


class ErrorCode(StrEnum):
    """Permanent; the value equals the name. The families follow PROTOCOL.md, "Error codes"."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name

    E_INTERNAL = auto()
    E_USAGE = auto()
    E_CONFIG = auto()
    # what a peer sends
    E_PROTOCOL = auto()
    E_VERSION = auto()
    E_STATE = auto()
    E_HANDSHAKE = auto()
    E_SEQ = auto()
    E_TUNNEL_SPENT = auto()
    E_MESSAGE_FORMAT = auto()
    E_MESSAGE_SIZE = auto()
    E_MESSAGE_UNKNOWN = auto()
    E_CHANNEL_UNKNOWN = auto()
    E_CHANNEL_CREDIT = auto()
    E_PEER_SILENT = auto()
    # certificates and identity
    E_CERT_FORMAT = auto()
    E_CERT_CHAIN = auto()
    E_CERT_EXPIRED = auto()
    E_CERT_NOT_YET = auto()
    E_CERT_LIFETIME = auto()
    E_CERT_ROLE = auto()
    E_CERT_ORG = auto()
    E_CERT_SUBJECT = auto()
    E_CERT_SCOPE = auto()
    E_CERT_REVOKED = auto()
    E_IDENTITY_MISSING = auto()
    E_IDENTITY_OWNER = auto()
    E_PASSPHRASE = auto()
    # relay
    E_LOGIN_SIGNATURE = auto()
    E_RELAY_ID = auto()
    E_RELAY_TLS = auto()
    E_RELAY_UNREACHABLE = auto()
    E_LINK_LOST = auto()
    E_ORG_UNKNOWN = auto()
    E_ORG_CLAIMED = auto()
    E_CLAIM_SECRET = auto()
    E_DEVICE_UNKNOWN = auto()
    E_DEVICE_AWAY = auto()
    E_DEVICE_PENDING = auto()
    E_DEVICE_REMOVED = auto()
    E_TICKET = auto()
    E_RATE = auto()
    E_BUSY = auto()
    # joining
    E_TOKEN_FORMAT = auto()
    E_TOKEN_EXPIRED = auto()
    E_TOKEN_USED = auto()
    E_TOKEN_REVOKED = auto()
    E_ALREADY_JOINED = auto()
    # support codes
    E_CODE_FORMAT = auto()
    E_CODE_WRONG = auto()
    E_CODE_UNKNOWN = auto()
    E_CODE_USED = auto()
    E_CODE_EXPIRED = auto()
    E_CODE_TAKEN = auto()
    E_CODE_POLICY = auto()
    E_CODE_VISITOR = auto()
    # policy and catalogue
    E_POLICY_SIGNATURE = auto()
    E_POLICY_FORMAT = auto()
    E_POLICY_VERSION = auto()
    E_POLICY_EXPIRED = auto()
    E_POLICY_CAPABILITY = auto()
    E_POLICY_MISSING = auto()
    # status lists
    E_STATUS_FORMAT = auto()
    E_STATUS_VERSION = auto()
    E_STATUS_FORK = auto()
    E_STATUS_EXPIRED = auto()
    # consent and grants
    E_CONSENT_DENIED = auto()
    E_CONSENT_TIMEOUT = auto()
    E_CONSENT_NOBODY = auto()
    E_CONSENT_AWAY = auto()
    E_CONSENT_BLOCKED = auto()
    E_CONSENT_UNKNOWN = auto()
    E_GRANT_NONE = auto()
    E_GRANT_ENDED = auto()
    E_SESSION_STOPPED = auto()
    # capabilities
    E_SCREEN_NONE = auto()
    E_SCREEN_FAILED = auto()
    E_SCREEN_PRIVATE = auto()
    E_SCREEN_DISPLAY = auto()
    E_SCREEN_TOGETHER = auto()
    E_SCREEN_POINTER = auto()
    E_INPUT_NONE = auto()
    E_INPUT_LATE = auto()
    E_INPUT_PAUSED = auto()
    E_COMMAND_UNKNOWN = auto()
    E_COMMAND_PARAMETER = auto()
    E_COMMAND_PLATFORM = auto()
    E_COMMAND_MISSING = auto()
    E_COMMAND_TIMEOUT = auto()
    E_COMMAND_FAILED = auto()
    # this machine
    E_DATA_DISK = auto()
    E_PORT_IN_USE = auto()
    E_LISTEN_PLAIN = auto()
    E_BROWSER_NONE = auto()
    E_NOT_RUNNING = auto()
    E_ALREADY_RUNNING = auto()
    # console
    E_CONSOLE_TOKEN = auto()
    E_CONSOLE_ORIGIN = auto()
    # audit
    E_AUDIT_CHAIN = auto()
    E_AUDIT_WRITE = auto()

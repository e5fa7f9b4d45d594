"""What the codes say that are about our own machine and records; part of `protocol.error_codes`."""

from protocol.error_names import ErrorCode

_C = ErrorCode

# code: (what happened, what to do next, exit status as in protocol.errors.ExitStatus)
LOCAL_TEXTS: dict[ErrorCode, tuple[str, str, int]] = {
    _C.E_DATA_DISK: (
        "The data folder cannot be written.",
        "Free some space, or check the folder's owner; then try again.",
        6,
    ),
    _C.E_STORE_DAMAGED: (
        "The relay's database is damaged, so the relay does not start with it.",
        "Put the newest backup in its place, without the files relay.sqlite-wal and -shm; then start again.",
        6,
    ),
    _C.E_STORE_VERSION: (
        "The relay's database was made by a newer version of Alongside.",
        "Start that version again, or put the backup from before the update in its place.",
        6,
    ),
    _C.E_PORT_IN_USE: (
        "The address is already in use by another program.",
        "Choose another port with --listen, or stop the other program.",
        6,
    ),
    _C.E_LISTEN_PLAIN: (
        "Without TLS the relay listens on loopback only.",
        "Give --tls-cert and --tls-key, or --behind-proxy if TLS ends in front of it.",
        2,
    ),
    _C.E_BROWSER_NONE: (
        "No browser could be opened.",
        "Open the address that was printed in a browser on this computer.",
        6,
    ),
    _C.E_NOT_RUNNING: ("The program is not running.", "Start it first.", 4),
    _C.E_ALREADY_RUNNING: (
        "The program is already running with this data folder.",
        "Use the running one, or stop it first.",
        6,
    ),
    _C.E_LOCAL_NONE: (
        "On this system the agent's processes cannot talk to each other yet.",
        "Use the agent on Linux.",
        6,
    ),
    _C.E_CONSOLE_TOKEN: (
        "This address was already used, or is too old.",
        "Run alongside console again for a new address.",
        3,
    ),
    _C.E_CONSOLE_ORIGIN: (
        "The request did not come from the console's own page.",
        "Open the console by its own address.",
        3,
    ),
    _C.E_AUDIT_CHAIN: (
        "The audit log was changed, cut or is damaged.",
        "Keep the file as evidence and tell the administrator.",
        5,
    ),
    _C.E_AUDIT_PEER: (
        "The other side's audit log is not the one that was known: it was cut, rolled back or made anew.",
        "Do not rely on that log; check it against the receipts and anchors with: alongside audit verify.",
        5,
    ),
    _C.E_RECEIPT: (
        "The receipt of a session does not fit, so it was not signed by both sides.",
        "Compare both sides' audit logs with: alongside audit verify.",
        5,
    ),
    _C.E_AUDIT_WRITE: (
        "The audit log cannot be written, so nothing is allowed.",
        "Free some space, or check the folder's owner.",
        6,
    ),
}

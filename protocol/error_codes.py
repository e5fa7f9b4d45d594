"""The registry of permanent error codes: sentence, remedy and exit status of each (`protocol.error_names`)."""

from protocol.error_names import ErrorCode as ErrorCode
from protocol.local_errors import LOCAL_TEXTS
from protocol.release_errors import RELEASE_TEXTS

_C = ErrorCode

# code: (what happened, what to do next, exit status as in protocol.errors.ExitStatus)
ERROR_TEXTS: dict[ErrorCode, tuple[str, str, int]] = {
    _C.E_INTERNAL: (
        "Something broke inside Alongside.",
        "Send the log to whoever looks after Alongside; then try again.",
        1,
    ),
    _C.E_USAGE: ("The command could not be understood.", "Run it again with --help.", 2),
    _C.E_CONFIG: ("A setting is wrong.", "Correct the setting that is named, then start again.", 2),
    _C.E_PROTOCOL: (
        "The other side broke the protocol, so the connection was closed.",
        "Update both sides; if it goes on, report it.",
        4,
    ),
    _C.E_VERSION: ("The two sides speak different protocol versions.", "Update the older one.", 4),
    _C.E_STATE: ("That is not possible at this point.", "Wait for the step before it, then try again.", 3),
    _C.E_HANDSHAKE: (
        "The encrypted connection could not be set up.",
        "Try again; if it goes on, someone may be interfering with the connection.",
        5,
    ),
    _C.E_SEQ: (
        "What came through the encrypted connection was changed, repeated, left out or out of order.",
        "Open the session again; if it goes on, someone may be interfering with the connection.",
        5,
    ),
    _C.E_TUNNEL_SPENT: (
        "This session has carried as much as one set of keys may protect.",
        "Open the session again.",
        4,
    ),
    _C.E_MESSAGE_FORMAT: (
        "A message was malformed, so the connection was closed.",
        "Update both sides; if it goes on, report it.",
        4,
    ),
    _C.E_MESSAGE_SIZE: (
        "A message was larger than allowed, so the connection was closed.",
        "Update both sides; if it goes on, report it.",
        4,
    ),
    _C.E_MESSAGE_UNKNOWN: (
        "A message of an unknown kind came, so the connection was closed.",
        "Update the older side.",
        4,
    ),
    _C.E_CHANNEL_UNKNOWN: ("A message came for a channel that is not open.", "Open the session again.", 4),
    _C.E_CHANNEL_CREDIT: (
        "The other side sent more than it was allowed to, so the connection was closed.",
        "Open the session again.",
        4,
    ),
    _C.E_PEER_SILENT: (
        "The other side stopped answering.",
        "Check its network connection, then try again.",
        4,
    ),
    _C.E_CERT_FORMAT: (
        "A certificate is malformed.",
        "Ask the organisation's administrator for a new one.",
        5,
    ),
    _C.E_CERT_CHAIN: (
        "A certificate was not issued by this organisation.",
        "Ask the organisation's administrator for a new one.",
        5,
    ),
    _C.E_CERT_EXPIRED: (
        "A certificate has expired.",
        "Ask the organisation's administrator to renew it, and check this computer's clock.",
        5,
    ),
    _C.E_CERT_NOT_YET: ("A certificate is not valid yet.", "Check the date and time of both computers.", 5),
    _C.E_CERT_LIFETIME: (
        "A technician certificate is valid for longer than the policy allows.",
        "Ask the administrator for one with a shorter life.",
        5,
    ),
    _C.E_CERT_ROLE: (
        "A certificate has the wrong role for this.",
        "Use the identity that was made for this task.",
        5,
    ),
    _C.E_CERT_ORG: (
        "A certificate belongs to another organisation.",
        "Check which organisation and which relay you are using.",
        5,
    ),
    _C.E_CERT_SUBJECT: (
        "The certificate names somebody else than was asked for.",
        "Do not go on; the relay may be misrouting. Tell the administrator.",
        5,
    ),
    _C.E_CERT_SCOPE: (
        "The certificate does not cover this device or action.",
        "Ask the administrator for a wider scope.",
        5,
    ),
    _C.E_CERT_REVOKED: (
        "The certificate was revoked by its organisation.",
        "Talk to the organisation's administrator; somebody new needs a new id.",
        5,
    ),
    _C.E_IDENTITY_MISSING: ("No identity was found on this computer.", "Join or enrol first; see --help.", 6),
    _C.E_IDENTITY_OWNER: (
        "The identity file can be read or changed by others, so it is not used.",
        "Make it readable by its owner alone (mode 0600), or join again if it may have been copied.",
        5,
    ),
    _C.E_PASSPHRASE: ("The passphrase is wrong.", "Try again with the right passphrase.", 5),
    _C.E_LOGIN_SIGNATURE: (
        "The relay did not accept the signature.",
        "Check the clock and the identity that is used.",
        5,
    ),
    _C.E_RELAY_ID: (
        "This is not the relay that was expected.",
        "Check the relay's address; do not go on if it has not been moved on purpose.",
        5,
    ),
    _C.E_RELAY_TLS: (
        "The relay's own certificate could not be verified.",
        "Check the relay's address and certificate.",
        5,
    ),
    _C.E_RELAY_UNREACHABLE: (
        "The relay cannot be reached.",
        "Check the address and the network; it is tried again by itself where a program keeps running.",
        4,
    ),
    _C.E_RELAY_NAME: (
        "The relay's name has no address at the moment.",
        "Check the network and its name server (DNS); it is tried again by itself where a program keeps running.",
        4,
    ),
    _C.E_RELAY_PROXY: (
        "The proxy on the way to the relay does not let the connection through.",
        "Check what it wants (the detail has its answer), and its address: HTTPS_PROXY or join --proxy-file.",
        4,
    ),
    _C.E_RELAY_STORE: (
        "The relay cannot use its database at the moment.",
        "Try again in a minute; if it goes on, whoever runs the relay finds the reason in its log.",
        4,
    ),
    _C.E_LINK_LOST: ("The connection was lost.", "Open the session again.", 4),
    _C.E_ORG_UNKNOWN: (
        "The relay does not serve this organisation.",
        "Claim the relay for it, or check the relay's address.",
        5,
    ),
    _C.E_ORG_CLAIMED: (
        "The relay was already claimed.",
        "Use the organisation that claimed it, or a new relay.",
        3,
    ),
    _C.E_CLAIM_SECRET: (
        "The claim secret is wrong.",
        "Read it from the file that the relay wrote at its first start.",
        3,
    ),
    _C.E_DEVICE_UNKNOWN: ("There is no such device.", "List the devices with: alongside fleet list.", 3),
    _C.E_DEVICE_AWAY: (
        "The device is not connected at the moment.",
        "Ask the person to switch it on, or try again later.",
        4,
    ),
    _C.E_DEVICE_PENDING: (
        "The device still waits for approval.",
        "Approve it with: alongside fleet approve.",
        3,
    ),
    _C.E_DEVICE_REMOVED: ("The device was removed from the fleet.", "Join it again with a new token.", 3),
    _C.E_DEVICE_CLONED: ("Two computers have this device's key.", "Let both leave, then join anew.", 3),
    _C.E_TICKET: (
        "The ticket for this session is not valid, or was used already.",
        "Open the session again.",
        3,
    ),
    _C.E_RATE: ("Too many tries in a short time.", "Wait a minute, then try again.", 3),
    _C.E_BUSY: (
        "The device or the relay is busy with as many sessions as it takes.",
        "Try again in a moment.",
        3,
    ),
    _C.E_TOKEN_FORMAT: ("The join token is damaged or incomplete.", "Copy the whole token again.", 2),
    _C.E_TOKEN_EXPIRED: ("The join token has expired.", "Ask the administrator for a new one.", 3),
    _C.E_TOKEN_USED: (
        "The join token was used as often as it may be.",
        "Ask the administrator for a new one.",
        3,
    ),
    _C.E_TOKEN_REVOKED: ("The join token was revoked.", "Ask the administrator for a new one.", 3),
    _C.E_TOKEN_SHOWN: (
        "A join token for more than one device was given where every user of this computer can read it.",
        "Revoke it, make a new one, and give that by --token-file FILE or on standard input.",
        2,
    ),
    _C.E_ALREADY_JOINED: (
        "This device already belongs to an organisation.",
        "Leave it first with: alongside-agent leave.",
        3,
    ),
    _C.E_CODE_FORMAT: (
        "That is not a whole support code.",
        "Compare the 15 digits with the person's; the code was not used up.",
        2,
    ),
    _C.E_CODE_WRONG: (
        "The support code did not match, so it is void now.",
        "Get a new one with alongside-agent help-me; if it happens again, someone may be in between.",
        3,
    ),
    _C.E_CODE_UNKNOWN: (
        "Nobody waits with this support code.",
        "Check that the person's code is still shown and is no older than ten minutes.",
        3,
    ),
    _C.E_CODE_USED: (
        "This support code was tried before, and each one works once.",
        "A new one comes from: alongside-agent help-me.",
        3,
    ),
    _C.E_CODE_EXPIRED: (
        "The time of this support code is over.",
        "A new one comes from: alongside-agent help-me.",
        3,
    ),
    _C.E_CODE_TAKEN: (
        "Another device waits with the same first digits at the moment.",
        "Run alongside-agent help-me again for another code.",
        3,
    ),
    _C.E_CODE_POLICY: (
        "The organisation does not allow support codes.",
        "Ask its technicians to connect to the device by its name.",
        3,
    ),
    _C.E_CODE_BLOCKED: (
        "The four digits did not match, so nobody who is not verified is let in for an hour.",
        "If it was a mistake, lift that with: alongside-agent blocks lift all.",
        3,
    ),
    _C.E_CODE_VISITOR: (
        "This relay serves its own organisation only.",
        "Use the relay of somebody who allows visitors: alongside-relay serve --visitors.",
        3,
    ),
    _C.E_POLICY_SIGNATURE: (
        "A signed document is not signed by this organisation.",
        "Sign it with the organisation's policy key.",
        5,
    ),
    _C.E_POLICY_FORMAT: (
        "The policy or its catalogue is not well formed.",
        "Correct the entry that is named, then sign again.",
        2,
    ),
    _C.E_POLICY_VERSION: (
        "The policy is older than the one already in force.",
        "Sign it again with a higher version.",
        5,
    ),
    _C.E_POLICY_EQUIVOCATION: (
        "Two different policies carry the same version.",
        "Tell the administrator at once: the policy key may be misused. A higher version, signed and published, ends the alarm.",
        5,
    ),
    _C.E_POLICY_EXPIRED: ("The policy has expired.", "Sign and publish a new one.", 5),
    _C.E_POLICY_CAPABILITY: (
        "The policy does not allow this role to do that.",
        "Ask the administrator to change the policy.",
        3,
    ),
    _C.E_POLICY_MISSING: (
        "The organisation has not published a policy yet.",
        "Sign one with: alongside policy sign, then publish it with: alongside policy publish.",
        3,
    ),
    _C.E_STATUS_FORMAT: (
        "The list of revoked certificates cannot be read.",
        "Publish it again with: alongside org status renew.",
        5,
    ),
    _C.E_STATUS_VERSION: (
        "The list of revoked certificates is older than the one in force, or takes a revocation back.",
        "Publish the newest one with: alongside org status renew.",
        5,
    ),
    _C.E_STATUS_FORK: (
        "Two different lists of revoked certificates carry one version.",
        "Somebody else signs for the organisation: find out who, and revoke the policy signer.",
        5,
    ),
    _C.E_STATUS_EXPIRED: (
        "The list of revoked certificates is out of date.",
        "Publish a fresh one with: alongside org status renew; if that was done, the relay withholds it.",
        5,
    ),
    _C.E_ROOT_SUCCESSOR: ("This root does not follow ours.", "Use the newest root's recovery kit.", 5),
    _C.E_ROOT_FORK: (
        "Two different successors of one root are signed by the organisation's recovery kit.",
        "Somebody else has the kit: tell every administrator, and let the devices join anew.",
        5,
    ),
    _C.E_CONSENT_DENIED: ("The person at the device said no.", "Talk to the person before you ask again.", 3),
    _C.E_CONSENT_TIMEOUT: ("Nobody at the device answered in time.", "Call the person, then ask again.", 3),
    _C.E_CONSENT_NOBODY: (
        "Nobody is logged in at the device who could be asked.",
        "Ask the person to log in, then try again.",
        3,
    ),
    _C.E_CONSENT_AWAY: (
        "The person's desktop was locked, left or put to sleep.",
        "Ask again when the person is back.",
        3,
    ),
    _C.E_CONSENT_BLOCKED: (
        "The person does not want to be asked by you for a while.",
        "Talk to the person, who can lift that; or ask again in an hour.",
        3,
    ),
    _C.E_CONSENT_UNKNOWN: (
        "There is no such standing permission.",
        "List them with: alongside-agent consents list.",
        3,
    ),
    _C.E_BLOCK_UNKNOWN: (
        "There is no such block that you may lift.",
        "List them with: alongside-agent blocks list.",
        3,
    ),
    _C.E_CONSENT_LATER: (
        "The person is asked for one thing at a time.",
        "Ask for it by itself, when you need it.",
        3,
    ),
    _C.E_CONSENT_PAUSED: ("The person paused remote help.", "Call them, or wait for the end of it.", 3),
    _C.E_READBACK_MISMATCH: (
        "The person compared the four digits with you, and they were not the same. You are blocked there.",
        "Call the person on a number that you know, and find out who talked to them. They can lift the block.",
        3,
    ),
    _C.E_READBACK_BLOCKED: (
        "You are blocked on that device for an hour: the person said that the four digits did not match.",
        "Call them on a number that you know: they can lift it, under Blocked in the window of Alongside.",
        3,
    ),
    _C.E_GRANT_NONE: ("This was not allowed by the person at the device.", "Ask for it in the session.", 3),
    _C.E_GRANT_ENDED: ("The permission for this has ended.", "Ask for it again in the session.", 3),
    _C.E_SESSION_STOPPED: (
        "The person at the device stopped the session.",
        "Talk to the person before you ask again.",
        3,
    ),
    _C.E_SCREEN_NONE: (
        "The device has no screen that can be shown.",
        "Run alongside-agent doctor on the device; it says what is missing.",
        6,
    ),
    _C.E_SCREEN_FAILED: (
        "Showing the screen failed on the device.",
        "Ask for a refresh; if it goes on, run alongside-agent doctor on the device.",
        7,
    ),
    _C.E_SCREEN_PRIVATE: (
        "The device has a list of private windows and cannot cover them, so its screen is not shown.",
        "Use an X11 session there; or have the list emptied: alongside-agent private-windows, and the policy.",
        6,
    ),
    _C.E_SCREEN_DISPLAY: (
        "The display that you chose is not there any more. Another one is shown.",
        "Choose one of the displays that are there.",
        3,
    ),
    _C.E_SCREEN_TOGETHER: (
        "All displays of this device cannot be shown as one picture.",
        "Choose one of the displays.",
        3,
    ),
    _C.E_SCREEN_POINTER: (
        "On this device nobody can tell which display the pointer is on.",
        "Choose one of the displays.",
        3,
    ),
    _C.E_INPUT_NONE: (
        "The device cannot be controlled.",
        "Run alongside-agent doctor on the device; it says what is missing.",
        6,
    ),
    _C.E_INPUT_LATE: (
        "What you did took more than two seconds to get there, so it was not carried out.",
        "Look at the screen as it is now, then do it again.",
        4,
    ),
    _C.E_INPUT_PAUSED: (
        "The person is being asked something or uses their own mouse or keyboard, so yours wait.",
        "Do it again once the person has answered or paused.",
        3,
    ),
    _C.E_COMMAND_UNKNOWN: (
        "There is no such command in the organisation's catalogue.",
        "List the commands with: alongside run DEVICE --list.",
        3,
    ),
    _C.E_COMMAND_PARAMETER: (
        "A value for the command is missing or not allowed.",
        "Correct the value that is named.",
        2,
    ),
    _C.E_COMMAND_PLATFORM: (
        "The command is not meant for that operating system.",
        "Choose another command.",
        3,
    ),
    _C.E_COMMAND_MISSING: (
        "The program that the command starts is not installed on the device.",
        "Install it there, or choose another command.",
        7,
    ),
    _C.E_COMMAND_TIMEOUT: (
        "The command took too long and was ended.",
        "Try again, or ask for a longer limit in the catalogue.",
        7,
    ),
    _C.E_COMMAND_FAILED: ("The command could not be run.", "See its output; then try again.", 7),
    _C.E_COMMAND_OUTCOME: (
        "It is not known whether the command ran, or how it ended.",
        "Look at the device before you run it again; Alongside never repeats it by itself.",
        7,
    ),
    _C.E_COMMAND_UNSAFE: (
        "Other users of the device could change the program, so it is not started.",
        "Let root alone own and write the program and the folders above it.",
        7,
    ),
    _C.E_COMMAND_LIMIT: (
        "The command started too many processes or wrote too much to the disk, and was ended.",
        "Look at what it left on the device; then choose another command.",
        7,
    ),
    _C.E_APPROVAL_MISSING: (
        "A second person has to approve this command.",
        "Write a request with --ask-approval FILE, have it signed with: alongside approve FILE; then run it with --approval.",
        3,
    ),
    _C.E_APPROVAL_REQUEST: (
        "The approval is for another request, device or technician.",
        "Ask the second person to approve exactly this request.",
        3,
    ),
    _C.E_APPROVAL_EXPIRED: (
        "The approval has run out.",
        "Ask the second person again; an approval is good for a few minutes.",
        3,
    ),
    _C.E_APPROVAL_PERSON: (
        "The approval is not by a second person who may give it.",
        "Ask another technician who may run commands on this device, or an administrator.",
        3,
    ),
    **LOCAL_TEXTS,
    **RELEASE_TEXTS,
}

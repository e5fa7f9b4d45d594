#!/usr/bin/env python3
"""Writes the profile for the privacy settings of Macs (PPPC), which a management server installs.

Source: Apple's device management schema, com.apple.TCC.configuration-profile-policy. It can allow control
(Accessibility, PostEvent). It cannot allow the screen: for ScreenCapture and ListenEvent a profile only lets
people who are no administrators tick the box themselves (AllowStandardUserToSetSystemService, from macOS 11).

The profile names an application by its signature, so it needs one that the organisation signed with its own
Developer ID. Python itself is refused: a profile for it would be one for every program in Python.
"""

import argparse
import plistlib
import re
import sys
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

IDENTIFIER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*\.)+[A-Za-z0-9-]+")
TEAM = re.compile(r"[A-Z0-9]{10}")
EVERYBODYS = ("org.python.", "com.apple.")
# an application with a Developer ID, of this team (code signing requirement language; Apple's TN3127)
REQUIREMENT = (
    'identifier "{identifier}" and anchor apple generic '
    "and certificate 1[field.1.2.840.113635.100.6.2.6] exists "
    'and certificate leaf[field.1.2.840.113635.100.6.1.13] exists and certificate leaf[subject.OU] = "{team}"'
)
SERVICES = {
    "Accessibility": "Allow",
    "PostEvent": "Allow",
    "ScreenCapture": "AllowStandardUserToSetSystemService",
    "ListenEvent": "AllowStandardUserToSetSystemService",
}


def profile(identifier: str, team: str, organisation: str) -> dict[str, object]:
    """The profile; the same words give the same one, so that a server replaces the former."""
    application = {
        "Identifier": identifier,
        "IdentifierType": "bundleID",
        "CodeRequirement": REQUIREMENT.format(identifier=identifier, team=team),
    }
    payload: dict[str, object] = {
        "PayloadType": "com.apple.TCC.configuration-profile-policy",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.privacy.policy",
        "PayloadUUID": str(uuid5(NAMESPACE_DNS, f"{team}.{identifier}.policy")).upper(),
        "PayloadDisplayName": "Alongside: control, and the screen on the person's word",
        "Services": {name: [application | {"Authorization": word}] for name, word in SERVICES.items()},
    }
    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadScope": "System",
        "PayloadIdentifier": f"{identifier}.privacy",
        "PayloadUUID": str(uuid5(NAMESPACE_DNS, f"{team}.{identifier}")).upper(),
        "PayloadDisplayName": "Alongside privacy settings",
        "PayloadOrganization": organisation,
        "PayloadContent": [payload],
    }


def main() -> int:
    """Write it to standard output or a file; 0, or 2 for wrong use."""
    parser = argparse.ArgumentParser(description="Write the privacy profile (PPPC) for Macs.")
    parser.add_argument("--identifier", required=True, help="bundle identifier of the signed application")
    parser.add_argument("--team", required=True, help="the ten characters of the Developer ID's team")
    parser.add_argument("--organisation", default="", help="shown in the profile")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    given = parser.parse_args()
    if not IDENTIFIER.fullmatch(given.identifier) or not TEAM.fullmatch(given.team):
        parser.error("--identifier is such as com.example.alongside, --team ten capital letters and digits")
    if given.identifier.startswith(EVERYBODYS):
        parser.error(f"{given.identifier} is not yours alone: every program that it runs would be allowed")
    written = plistlib.dumps(profile(given.identifier, given.team, given.organisation))
    if given.out:
        given.out.write_bytes(written)
    else:
        sys.stdout.buffer.write(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())

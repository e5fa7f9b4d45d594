"""Check audit logs, receipts and anchors offline: `python -I audit_check.py PATH...`, status 0 or 5.

A log's lines name the one before; a cut end shows against anchors and receipts (with their first root, PEM).
"""

import hashlib
import json
import sys
from base64 import b32encode, b64decode
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NO_PREVIOUS, SKEW = "0" * 64, timedelta(seconds=300)
RECEIPT_LABEL, ANCHOR_LABEL = b"alongside receipt v1\0", b"alongside anchor v1\0"
ODD = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)
FLAWS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
MALFORMED = (*FLAWS, *ODD, exceptions.InvalidSignature, exceptions.UnsupportedAlgorithm)
CA, NAMES, URI = x509.BasicConstraints, x509.SubjectAlternativeName, x509.UniformResourceIdentifier
OWN, ABOVE = x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier
SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
Roots = dict[tuple[str, bytes], x509.Certificate]  # by the organisation that was proved, and key identifier
Claim = tuple[str, str, str, str]  # whose log, a record of it, its session, the hash of that one's records


def _need(holds: object, why: str) -> None:
    if not holds:
        raise ValueError(why)


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Found:
    """One file, and what does not hold in it. `keepers`: whose log it is, as far as it says."""

    def __init__(self, path: str) -> None:
        self.path, self.kind = path, ""
        self.hashes: list[str] = []
        self.sessions: dict[str, list[str]] = {}  # their records from session.ready on
        self.keepers: set[str] = set()
        self.claims: list[Claim] = []
        self.faults: list[str] = []

    def take(self, record: dict[str, Any], line: bytes) -> None:
        """The next line of a log, which has to fit after those before it."""
        _need(_canonical(record) == line.removesuffix(b"\n"), "changed: not written as a record is")
        own = _canonical({name: value for name, value in record.items() if name != "sha256"})
        _need(record["sha256"] == hashlib.sha256(own).hexdigest(), "changed: its hash does not fit")
        _need(record["seq"] == len(self.hashes) + 1, "one was taken out, put in or moved before it")
        _need(record["previous"] == (self.hashes or [NO_PREVIOUS])[-1], "does not follow the one before it")
        kind, session = str(record["kind"]), str(record["session_id"])
        if kind.startswith("agent.") or kind == "device.joined":
            self.keepers.add(str(record["device_id"]))
        elif kind == "session.ready" and "group_name" in record["facts"]:
            self.keepers.add(str(record["actor"]))
        self.hashes.append(record["sha256"])
        if kind == "session.ready" or session in self.sessions:
            self.sessions.setdefault(session, []).append(record["sha256"])

    def compare(self, others: "list[Found]", keeper: str = "") -> None:
        """Hold this log against receipts and anchors; without `keeper` its records say whose it is."""
        mine = {keeper} if keeper else self.keepers
        for subject, digest, session, records_sha256 in (claim for one in others for claim in one.claims):
            records = self.sessions.get(session, []) if session else self.hashes
            upto = "".join(records[: records.index(digest) + 1]).encode() if digest in records else b""
            is_there = upto and (not session or hashlib.sha256(upto).hexdigest() == records_sha256)
            if not is_there and (subject in mine or not mine):
                self.faults.append(f"{session or 'an anchor'}: a record is gone: cut, rolled back, made anew")


def statement(role: str, mark: dict[str, Any], body: bytes) -> bytes:
    """What one end signs: its role, where its own log stood, and the receipt's exact body."""
    return RECEIPT_LABEL + _canonical({"role": role, "log": mark, "body": hashlib.sha256(body).hexdigest()})


def check_receipt(document: dict[str, Any], roots: Roots) -> list[Claim]:
    """What the ends that signed this receipt say of their logs; each signature holds."""
    body, claims = b64decode(document["body"], validate=True), []
    facts = json.loads(body)
    org, at = facts["organisation_id"], datetime.fromisoformat(facts["ended_at_utc"])
    for half in document["signatures"]:
        role, mark = half["role"], half["log"]
        chain: Any = [x509.load_der_x509_certificate(b64decode(der)) for der in half["chain"]]
        _need(len(chain) == {"device": 2, "technician": 1}[role], f"no chain of a {role}")
        root: Any = roots.get((org, chain[-1].extensions.get_extension_for_class(ABOVE).value.key_identifier))
        _need(root and root.issuer == root.subject, f"the root certificate of {org} is not given")
        for one, issuer in zip(chain, [*chain[1:], root], strict=True):
            one.verify_directly_issued_by(issuer)
            _need(issuer.extensions.get_extension_for_class(CA).value.ca, "its issuer may not issue")
            _need(one.not_valid_before_utc - SKEW <= at <= one.not_valid_after_utc + SKEW, "not valid then")
        uris = chain[0].extensions.get_extension_for_class(NAMES).value.get_values_for_type(URI)
        subject, key = facts[f"{role}_id"], chain[0].public_key()
        _need(uris == [f"alongside://{org}/{role}/{subject}"], f"not the {role} of this session")
        key.verify(b64decode(half["signature"]), statement(role, mark, body), ec.ECDSA(hashes.SHA256()))
        claims.append((subject, mark["sha256"], facts["session_id"], mark["session_sha256"]))
    return claims


def check_anchor(device_id: str, anchor: bytes) -> list[Claim]:
    """The record that this device signed: its public key (91 bytes), the hash (32 bytes), the signature."""
    key: Any = serialization.load_der_public_key(anchor[:91])
    named = b32encode(hashlib.sha256(anchor[:91]).digest()).decode().lower()
    _need(device_id == f"d-{named[:20]}", "an anchor of another device")
    key.verify(anchor[123:], ANCHOR_LABEL + anchor[91:123], ec.ECDSA(hashes.SHA256()))
    return [(device_id, anchor[91:123].hex(), "", "")]


def read(path: Path, roots: Roots) -> Found:
    """One file of JSON lines: a log, receipts or anchors, as far as its lines hold."""
    found = Found(str(path))
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            item = json.loads(line)
            found.kind = found.kind or next((kind for kind in ("body", "anchor") if kind in item), "log")
            if found.kind == "log":
                found.take(item, line)
            elif found.kind == "body":
                found.claims += check_receipt(item, roots)
            else:
                found.claims += check_anchor(item["device_id"], b64decode(item["anchor"]))
        except MALFORMED as exc:
            found.faults.append(f"record {number}: {exc!s:.200} ({type(exc).__name__})")
            break
    return found


def main(paths: list[Path]) -> int:
    """Check these files together; says what each is, and returns the exit status."""
    pems = [path for path in paths if path.read_bytes()[:10] == b"-----BEGIN"]
    roots: Roots = {}
    for one in [one for pem in pems for one in x509.load_pem_x509_certificates(pem.read_bytes())]:
        org = hashlib.sha256(one.public_key().public_bytes(*SPKI)).hexdigest()
        roots[org, one.extensions.get_extension_for_class(OWN).value.digest] = one
    files = [read(path, roots) for path in paths if path not in pems]
    for log in [file for file in files if file.kind in ("", "log")]:
        log.compare(files)
    for file in files:
        print(f"{file.path}: {len(file.hashes)} records of {sorted(file.keepers)}: {file.faults or 'holds'}")
    return 5 if any(file.faults for file in files) else 0


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))

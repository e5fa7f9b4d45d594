"""Which files `alongside audit verify` looks at, and what `protocol.audit_check` finds in them together."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.audit_check import OWN, Found, Roots, read
from protocol.certificate_profile import read_certificate
from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.identity import load_chain
from protocol.receipt import Receipt, read_receipt
from protocol.succession import RootLine, root_fingerprint
from protocol.trust import Trust
from protocol.trust_store import SUCCESSORS_FILE, TrustStore
from technician_client.config import TechnicianConfig

KINDS = {"": "log", "log": "log", "body": "receipts", "anchor": "anchors"}
_PEM = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class AuditFiles:
    """`logs` have to be logs, whatever they hold; `others` say themselves what they are."""

    logs: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    keeper: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file. `one_sided`: sessions that only these roles signed."""

    path: str
    kind: str
    records: int
    head: str
    keepers: list[str]
    claims: int
    faults: list[str]
    one_sided: dict[str, list[str]] = field(default_factory=dict)


def own_files(config: TechnicianConfig) -> AuditFiles:
    """The log and the receipts of this data folder. A log that is not there is an empty one."""
    files = _of_folder(config.data)
    keeper = _holder(config.identity_file) if config.identity_file.exists() else ""
    return AuditFiles(files.logs, files.others, keeper)


def _holder(identity_file: Path) -> str:
    """Whose identity this is, by its certificate: the key is not needed, nor its passphrase."""
    return read_certificate(load_chain(identity_file)[0][0]).subject_id or ""


def files_at(paths: Sequence[Path]) -> AuditFiles:
    """What is named: files as they are, of a folder its log and receipts; what proves roots is left out.

    Raises:
        UsageError: one cannot be read.
    """
    logs: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = _of_folder(path)
            logs += found.logs
            others += found.others
        elif path.name == "audit.jsonl":
            logs.append(path)
        elif path.name != SUCCESSORS_FILE and not _start_of(path).startswith(_PEM):
            others.append(path)
    return AuditFiles(tuple(logs), tuple(others))


def roots_for(config: TechnicianConfig, paths: Sequence[Path]) -> Roots:
    """The roots among these files; without any, our organisation's. Those of their line are with them.

    A root that is given has to be the first of its organisation (its key is the organisation's id), one of
    our own, or proved by the steps in a `successors.json` among the files: what a root says of itself is
    what whoever made it wants.

    Raises:
        UsageError: a file holds no certificate or no steps, or they are of several organisations.
        CertificateRefused: a certificate is no root of ours.
        DocumentRefused: E_ROOT_SUCCESSOR, nothing proves whose root it is; E_ROOT_FORK.
    """
    given, ours = _roots_in(paths), _own_roots(config)
    if not given:
        return named_roots(ours)
    known = {root for line in ours for root in line.all}
    steps = _steps_in(paths)
    lines = [_proved(root, steps, known) for root in given]
    wanted = lines[0].organisation_id
    return named_roots([*lines, *(line for line in ours if line.organisation_id == wanted)])


def _proved(root_der: bytes, steps: Sequence[bytes], known: Container[bytes]) -> RootLine:
    line = RootLine(root_der)
    line.take(steps)
    if root_der not in known and root_fingerprint(line.all[-1]) != line.organisation_id:
        detail = (
            f"a root says that it is of the organisation {line.organisation_id[:16]}… and nothing proves it; "
            f"name its {SUCCESSORS_FILE} too"
        )
        raise DocumentRefused(detail, code=ErrorCode.E_ROOT_SUCCESSOR)
    return line


def _steps_in(paths: Sequence[Path]) -> list[bytes]:
    for path in paths:
        if path.name == SUCCESSORS_FILE:
            try:
                return msgspec.json.decode(path.read_bytes(), type=list[bytes])
            except (OSError, msgspec.MsgspecError) as exc:
                raise UsageError(f"{path} holds no steps between roots: {exc}"[:300]) from None
    return []


def _own_roots(config: TechnicianConfig) -> list[RootLine]:
    roots: list[RootLine] = []
    for file, folder in (
        (config.identity_file, config.data),
        (config.root_file, config.organisation_folder),
    ):
        for pinned in _roots_in([file]):
            store = TrustStore(Trust(pinned), folder)
            store.load()
            roots.append(store.trust.roots)
    return roots


def _roots_in(paths: Sequence[Path]) -> list[bytes]:
    found: list[bytes] = []
    for path in paths:
        if not path.is_file() or not _start_of(path).startswith(_PEM):
            continue
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
        except ValueError as exc:
            raise UsageError(f"{path} holds no certificate: {exc}") from None
        for one in certificates:
            if one.issuer == one.subject:
                found.append(one.public_bytes(Encoding.DER))
    return found


def named_roots(lines: Iterable[RootLine]) -> Roots:
    """The roots of these lines, which are believed, as `protocol.audit_check` wants them.

    Raises:
        UsageError: they are of several organisations. CertificateRefused: one is no root of ours.
    """
    found: Roots = {}
    for line in lines:
        for root in map(x509.load_der_x509_certificate, line.all):
            found[line.organisation_id, root.extensions.get_extension_for_class(OWN).value.digest] = root
    if len({organisation_id for organisation_id, _ in found}) > 1:
        raise UsageError("give the root certificates of one organisation at a time")
    return found


def check_files(files: AuditFiles, roots: Roots, keeper: str) -> list[Checked]:
    """Check each file, and hold the logs among them against the receipts and anchors.

    Raises:
        UsageError: a file cannot be read.
    """
    found = [(_read(path, roots), path in files.logs) for path in dict.fromkeys([*files.logs, *files.others])]
    everything = [each for each, _ in found]
    for each, must_be_log in found:
        if must_be_log and KINDS[each.kind] != "log":
            each.faults.append("this is not an audit log")
        elif KINDS[each.kind] == "log":
            each.compare(everything, keeper)
    return [_checked(each) for each in everything]


def _read(path: Path, roots: Roots) -> Found:
    try:
        return read(path, roots)
    except FileNotFoundError as exc:
        if path.parent.is_dir() and path.name == "audit.jsonl":
            return Found(str(path))
        raise UsageError(f"cannot read {path}: {exc.strerror}") from None
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from None


def _checked(found: Found) -> Checked:
    return Checked(
        path=found.path,
        kind=KINDS[found.kind],
        records=len(found.hashes),
        head=found.hashes[-1] if found.hashes else "0" * 64,
        keepers=sorted(found.keepers),
        claims=len(found.claims),
        faults=found.faults,
        one_sided=_one_sided(Path(found.path)) if found.kind == "body" else {},
    )


def _one_sided(path: Path) -> dict[str, list[str]]:
    newest: dict[str, Receipt] = {}
    for line in path.read_bytes().splitlines():
        try:
            receipt = read_receipt(line)
            newest[receipt.facts().session_id] = receipt
        except DocumentRefused:
            continue  # the check names it
    return {session_id: each.roles for session_id, each in newest.items() if not each.is_complete}


def _of_folder(folder: Path) -> AuditFiles:
    return AuditFiles((folder / "audit.jsonl",), tuple(sorted((folder / "receipts").glob("*.jsonl"))))


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_PEM))
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror or exc}") from None

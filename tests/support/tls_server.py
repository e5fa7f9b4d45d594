"""Certificates of web servers for the outer TLS, good and bad ones, and a context that serves with them."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ServerFiles:
    """PEM files; `authority` is the one that a client has to trust."""

    certificate: Path
    key: Path
    authority: Path

    def context(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """A server that presents them and speaks this version at most."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1_2, version
        made.load_cert_chain(self.certificate, self.key)
        return made


def server_files(
    folder: Path,
    *,
    address: str = "127.0.0.1",
    name: str = "",
    from_now: timedelta = -HOUR,
    until: timedelta = HOUR,
) -> ServerFiles:
    """An authority of its own, and a certificate by it for this address (or name) and time."""
    folder.mkdir(exist_ok=True)
    now, authority_key, key = datetime.now(UTC), _new_key(), _new_key()
    authority_name = _name("An authority")
    authority = (
        _builder(authority_name, authority_name, authority_key, now - 1000 * HOUR, now + 1000 * HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.DNSName(name) if name else x509.IPAddress(ip_address(address))
    names = x509.SubjectAlternativeName([subject])
    leaf = (
        _builder(_name("A relay"), authority_name, key, now + from_now, now + until)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    files = ServerFiles(folder / "relay.pem", folder / "relay-key.pem", folder / "authority.pem")
    files.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    return files


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )

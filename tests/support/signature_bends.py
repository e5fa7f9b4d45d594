"""Ways to bend the key and the signature of one certificate."""

from functools import cache
from random import Random
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support import der
from tests.support.bent_certificates import CURVE_ORDER, Bent, fixed_key, signature_over
from tests.support.certificate_bends import bend_bytes
from tests.support.der import Node

ALGORITHMS = {
    "ecdsa-sha1": "1.2.840.10045.4.1",
    "ecdsa-sha224": "1.2.840.10045.4.3.1",
    "ecdsa-sha384": "1.2.840.10045.4.3.3",
    "ecdsa-sha512": "1.2.840.10045.4.3.4",
    "rsa-sha256": "1.2.840.113549.1.1.11",
    "ed25519": "1.3.101.112",
    "nonsense": "1.2.3.4",
}


class RsaKey:
    """A public key with a modulus of 2048 bits that nobody knows the factors of; it signs nothing."""

    def public_key(self) -> rsa.RSAPublicKey:
        """The key."""
        return rsa.RSAPublicNumbers(65537, 3**1291 | 1 << 2047).public_key()


@cache
def other_keys() -> dict[str, Any]:
    """Keys that are not P-256."""
    return {
        "p384": ec.derive_private_key(7**50, ec.SECP384R1()),
        "p521": ec.derive_private_key(7**50, ec.SECP521R1()),
        "k256": ec.derive_private_key(7**50, ec.SECP256K1()),
        "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
        "rsa": RsaKey(),
    }


def other_key(rng: Random, bent: Bent) -> str:
    name = rng.choice(sorted(other_keys()))
    bent.set_key(other_keys()[name])
    return f"key {name}"


def key_spelling(rng: Random, bent: Bent) -> str:
    point = fixed_key("another").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    packed = fixed_key("another").public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    x, y = point[1:33], point[33:]
    spellings = [
        packed, b"\0", b"", b"\x04" + x, b"\x04" + x + bytes(32), bytes((6 + (y[-1] & 1),)) + x + y,
        bytes((6 + (1 - (y[-1] & 1)),)) + x + y, b"\x04" + bytes(64), b"\x04" + b"\xff" * 64, point + b"\0",
        b"\x04" + y + x, b"\x05" + x + y,
    ]  # fmt: skip
    bent.members[6].parts[1] = Node(der.BIT_STRING, b"\0" + rng.choice(spellings))
    return "key's point"


def key_algorithm(rng: Random, bent: Bent) -> str:
    ec_key = der.oid("1.2.840.10045.2.1")
    choices = [
        [ec_key], [ec_key, Node(der.NULL)], [ec_key, der.oid("1.3.132.0.34")],
        [ec_key, der.oid("1.3.132.0.10")],
        [der.oid("1.3.132.1.12"), der.oid("1.2.840.10045.3.1.7")],
        [der.oid("1.2.840.113549.1.1.1"), Node(der.NULL)],
        [ec_key, der.oid("1.2.840.10045.3.1.7"), Node(der.NULL)], [der.oid("1.3.101.112")],
    ]  # fmt: skip
    bent.members[6].parts[0] = der.constructed(der.SEQUENCE, *rng.choice(choices))
    return "key's algorithm"


def signature_algorithm(rng: Random, bent: Bent) -> str:
    name = rng.choice(sorted(ALGORITHMS))
    algorithm = der.constructed(der.SEQUENCE, der.oid(ALGORITHMS[name]))
    if rng.random() < 0.4:
        algorithm = der.constructed(der.SEQUENCE, der.oid("1.2.840.10045.4.3.2"), Node(der.NULL))
    if rng.random() < 0.7:
        bent.members[2] = algorithm.copy()
    if rng.random() < 0.7:
        bent.tree.parts[1] = algorithm.copy()
    return "signature's algorithm"


def signed_with_another_hash(rng: Random, bent: Bent) -> str:
    name, algorithm = rng.choice(
        [
            ("ecdsa-sha384", hashes.SHA384()),
            ("ecdsa-sha512", hashes.SHA512()),
            ("ecdsa-sha224", hashes.SHA224()),
        ]
    )
    named = der.constructed(der.SEQUENCE, der.oid(ALGORITHMS[name]))
    bent.members[2], bent.tree.parts[1] = named.copy(), named.copy()
    signer = bent.signer
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        return "another hash named"
    scheme = ec.ECDSA(algorithm, deterministic_signing=True)
    bent.bend_signature.append(lambda _: signer.sign(bent.signed_part.encode(), scheme))
    return f"signed with {name}"


def _bent_numbers(rng: Random, signature: bytes) -> bytes:
    r, s = utils.decode_dss_signature(signature)
    kind = rng.randrange(8)
    if kind == 0:
        return utils.encode_dss_signature(r, CURVE_ORDER - s)
    if kind == 1:
        return utils.encode_dss_signature(*rng.choice([(0, s), (r, 0), (0, 0), (1, 1), (s, r)]))
    if kind == 2:
        pair = rng.choice([(-r, s), (r, -s), (r + CURVE_ORDER, s), (r, s + CURVE_ORDER)])
        return der.constructed(der.SEQUENCE, *map(der.integer, pair)).encode()
    numbers = der.read(signature)
    if kind == 3:
        rng.choice(numbers.parts).content = b"\0" + numbers.parts[0].content
        return numbers.encode()
    if kind == 4:
        rng.choice([numbers, *numbers.parts]).length_form = "long"
        return numbers.encode()
    if kind == 5:
        numbers.length_form = "indefinite"
        return numbers.encode()
    if kind == 6:
        return signature + b"\0"
    numbers.parts.append(der.integer(1))
    return numbers.encode()


def signature_spelling(rng: Random, bent: Bent) -> str:
    seed = rng.getrandbits(64)

    def change(signature: bytes) -> bytes:
        try:
            return _bent_numbers(Random(seed), signature)
        except (ValueError, IndexError):  # bent before, or not of ECDSA
            return signature[::-1]

    bent.bend_signature.append(change)
    return "signature's numbers"


def signature_bytes(rng: Random, bent: Bent) -> str:
    seed = rng.getrandbits(64)
    bent.bend_signature.append(lambda signature: bend_bytes(Random(seed), signature))
    return "signature's bytes"


def signed_by_another(rng: Random, bent: Bent) -> str:
    names = ["another", "acme device", "acme technician", "acme enroller", "twin root", "acme root"]
    bent.signer = fixed_key(rng.choice(names))
    return "another signer"


def signed_for_another(rng: Random, bent: Bent) -> str:
    """A right signature of the right key, over something else."""
    bent.signature = signature_over(bent.signer, rng.randbytes(64))
    return "signature of something else"

"""Ways to bend one certificate of a chain. Each takes a random source and the certificate."""

from collections.abc import Callable
from datetime import timedelta
from random import Random

from protocol.certificate_profile import ENROLLER_OID, ROLE_OIDS, ROOT_OID, SCOPE_OID, TLS_USAGES, utf8_string
from protocol.certificates import Role
from tests.support import der
from tests.support.bent_certificates import (
    AKI,
    BASIC,
    EKU,
    KEY_USAGE,
    NOW,
    SAN,
    SKI,
    Bent,
    company,
)
from tests.support.der import Node

Bend = Callable[[Random, Bent], str]

USAGES = [
    *(identifier.dotted_string for identifier in ROLE_OIDS.values()),
    *sorted({identifier.dotted_string for identifier in TLS_USAGES.values()}),
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.3",
    "1.3.6.1.5.5.7.3.9",
]
FOREIGN_EXTENSIONS = [
    "2.5.29.30", "2.5.29.32", "2.5.29.36", "2.5.29.54", "2.5.29.31", "2.5.29.18", "2.5.29.9", "2.5.29.99",
    "1.3.6.1.5.5.7.1.14", "1.3.6.1.5.5.7.1.7", "1.3.6.1.5.5.7.1.8", "1.3.6.1.5.5.7.1.1",
    "1.3.6.1.5.5.7.1.24", "1.3.6.1.5.5.7.48.1.5", "2.16.840.1.113730.1.1", "1.3.6.1.4.1.99999.1",
    "1.3.6.1.4.1.11129.2.4.3", SCOPE_OID.dotted_string, ENROLLER_OID.dotted_string,
]  # fmt: skip
DAYS_S = 86_400
SHIFTS_S = [0, 1, 60, 299, 300, 301, 3600, DAYS_S, 30 * DAYS_S, 400 * DAYS_S, 5000 * DAYS_S]


# bytes


def bend_bytes(rng: Random, content: bytes) -> bytes:
    if not content:
        return b"\0"
    place = rng.randrange(len(content))
    kind = rng.randrange(7)
    if kind == 0:
        return content[:place] + bytes((content[place] ^ (1 << rng.randrange(8)),)) + content[place + 1 :]
    if kind == 1:
        return content[:place] + bytes((rng.randrange(256),)) + content[place + 1 :]
    if kind == 2:
        return content[:place] + content[place + 1 :]
    if kind == 3:
        return content[:place] + rng.randbytes(rng.randint(1, 4)) + content[place:]
    if kind == 4:
        other = rng.randrange(len(content))
        swapped = bytearray(content)
        swapped[place], swapped[other] = swapped[other], swapped[place]
        return bytes(swapped)
    if kind == 5:
        return content[:place]
    return content + rng.randbytes(rng.randint(1, 3))


def bytes_unsigned(rng: Random, bent: Bent) -> str:
    seed = rng.getrandbits(64)
    bent.after_signing.append(lambda encoded: bend_bytes(Random(seed), encoded))
    return "bytes"


def bytes_signed(rng: Random, bent: Bent) -> str:
    """The signature is right over bytes that were changed: what a holder of the issuer's key could make."""
    seed = rng.getrandbits(64)
    bent.in_signed_part.append(lambda encoded: bend_bytes(Random(seed), encoded))
    return "bytes under a right signature"


def value_bytes(rng: Random, bent: Bent) -> str:
    """One primitive value of the signed part changed, all lengths right again."""
    leaves = [node for node in bent.signed_part.walk() if not node.is_constructed and node.content]
    node = rng.choice(leaves)
    node.content = bend_bytes(rng, node.content)
    return "value"


def other_tag(rng: Random, bent: Bent) -> str:
    node = rng.choice([node for node in bent.signed_part.walk() if not node.is_constructed])
    node.tag = rng.choice(
        [1, 2, 3, 4, 5, 6, 10, 12, 18, 19, 20, 22, 23, 24, 26, 28, 30, 0x80, 0x82, 0x86, 0x87]
    )
    return "tag"


def drop_node(rng: Random, bent: Bent) -> str:
    holder = rng.choice([node for node in bent.signed_part.walk() if node.parts])
    del holder.parts[rng.randrange(len(holder.parts))]
    return "a part left out"


def repeat_node(rng: Random, bent: Bent) -> str:
    holder = rng.choice([node for node in bent.signed_part.walk() if node.parts])
    place = rng.randrange(len(holder.parts))
    holder.parts.insert(place, holder.parts[place].copy())
    return "a part twice"


def swap_nodes(rng: Random, bent: Bent) -> str:
    holder = rng.choice([node for node in bent.signed_part.walk() if len(node.parts) > 1])
    one, other = rng.sample(range(len(holder.parts)), 2)
    holder.parts[one], holder.parts[other] = holder.parts[other], holder.parts[one]
    return "parts swapped"


# encodings that BER allows and DER does not


def ber(rng: Random, bent: Bent) -> str:
    nodes = list(bent.signed_part.walk())
    kind = rng.randrange(6)
    if kind == 0:
        rng.choice([*nodes, bent.tree]).length_form = "long"
        return "long length"
    if kind == 1:
        rng.choice([*(node for node in nodes if node.is_constructed), bent.tree]).length_form = "indefinite"
        return "indefinite length"
    if kind == 2:
        flags = [node for node in nodes if node.tag == der.BOOLEAN]
        rng.choice(flags).content = rng.choice([b"\x01", b"\x00", b"\xff\xff", b""])
        return "boolean"
    if kind == 3:
        node = rng.choice([node for node in nodes if node.tag == der.INTEGER])
        node.content = b"\0" + node.content
        return "longer integer"
    if kind == 4:
        node = rng.choice([node for node in nodes if node.tag in (der.OCTET_STRING, der.BIT_STRING)])
        inner = Node(node.tag, node.content)
        node.tag, node.parts = node.tag | der.CONSTRUCTED, [inner]
        return "string in pieces"
    node = rng.choice([node for node in nodes if node.tag == der.BIT_STRING])
    node.content = bytes((rng.randint(1, 9),)) + node.content[1:]
    return "unused bits"


def default_false(rng: Random, bent: Bent) -> str:
    """DER leaves a DEFAULT out; here it is written."""
    flag = Node(der.BOOLEAN, b"\0")
    if rng.random() < 0.5 and bent.extensions:
        plain = [one for one in bent.extensions if len(one.parts) == 2]
        if plain:
            rng.choice(plain).parts.insert(1, flag)
        return "critical FALSE written"
    bent.set_extension(BASIC, der.constructed(der.SEQUENCE, flag).encode())
    return "cA FALSE written"


# fields


def _time(rng: Random, at_s: float, *, kind: str) -> Node:
    moment = NOW + timedelta(seconds=at_s)
    short, full = moment.strftime("%y%m%d%H%M%S"), moment.strftime("%Y%m%d%H%M%S")
    if kind == "right":
        is_short = 1950 <= moment.year < 2050
        return Node(
            der.UTC_TIME if is_short else der.GENERAL_TIME, f"{short if is_short else full}Z".encode()
        )
    texts = [
        (der.GENERAL_TIME, f"{full}Z"), (der.UTC_TIME, f"{short[:10]}Z"), (der.UTC_TIME, f"{short}+0100"),
        (der.UTC_TIME, short), (der.UTC_TIME, f"{short}z"), (der.GENERAL_TIME, f"{full}.5Z"),
        (der.GENERAL_TIME, f"{full}+0000"), (der.UTC_TIME, "260230120000Z"), (der.UTC_TIME, "261301120000Z"),
        (der.UTC_TIME, "260304056060Z"), (der.UTC_TIME, "260304050660Z"), (der.UTC_TIME, "260304240000Z"),
        (der.GENERAL_TIME, "00000101000000Z"), (der.GENERAL_TIME, "99991231235959Z"), (der.UTC_TIME, ""),
        (der.GENERAL_TIME, "20380119031408Z"), (der.UTC_TIME, "500101000000Z"),
        (der.UTC_TIME, "491231235959Z"),
        (der.GENERAL_TIME, "20500101000000Z"), (der.UTC_TIME, " 60304050607Z"),
    ]  # fmt: skip
    tag, text = rng.choice(texts)
    return Node(tag, text.encode())


def dates(rng: Random, bent: Bent) -> str:
    kind = rng.choice(["right", "right", "odd"])
    place = rng.randrange(2)
    shift_s = rng.choice(SHIFTS_S) * rng.choice([-1, 1])
    bent.members[4].parts[place] = _time(rng, shift_s, kind=kind)
    if rng.random() < 0.1:
        bent.members[4].parts.reverse()
    return f"dates {kind}"


def serial(rng: Random, bent: Bent) -> str:
    if rng.random() < 0.3:
        bent.members[1].content = rng.choice(
            [b"", b"\0", b"\0\0\x01", b"\xff\xff\x80", b"\x80", rng.randbytes(200)]
        )
        return "serial bytes"
    numbers = [0, 1, -1, -(2**100), 2**63, 2**64, 2**158, 2**159 - 1, 2**159, 2**160, 2**167, 2**168, 2**2000]
    bent.members[1] = der.integer(rng.choice(numbers))
    return "serial"


def version(rng: Random, bent: Bent) -> str:
    if rng.random() < 0.3:
        del bent.members[0]
        return "version left out"
    bent.members[0].parts[0] = der.integer(rng.choice([0, 1, 3, 4, -1, 2**40]))
    return "version"


NAME_TEXTS = [
    b"", b"Ada", b"ada\0.evil", b"*", b"*.example", b"A" * 64, b"A" * 65, b"A" * 1000, b"Acme",
    b"Ada\r\nX: y",
    b"127.0.0.1", b"\xff\xfe", "ädä".encode(), "\u202egnp.exe".encode(), b"<img src=x>", b"root",
]  # fmt: skip


def _name(rng: Random) -> Node:
    def attribute() -> Node:
        kind = rng.choice(
            [der.UTF8, der.UTF8, der.PRINTABLE, der.T61, der.BMP, der.IA5, 28, der.OCTET_STRING]
        )
        identifier = rng.choice(["2.5.4.3", "2.5.4.3", "2.5.4.10", "2.5.4.45", "1.2.840.113549.1.9.1"])
        value = Node(kind, rng.choice(NAME_TEXTS))
        return der.constructed(der.SEQUENCE, der.oid(identifier), value)

    sets = [
        der.constructed(der.SET, *(attribute() for _ in range(rng.choice([1, 1, 1, 2]))))
        for _ in range(rng.choice([0, 1, 1, 2]))
    ]
    return der.constructed(der.SEQUENCE, *sets)


def subject(rng: Random, bent: Bent) -> str:
    bent.members[5] = _name(rng)
    return "subject"


def issuer(rng: Random, bent: Bent) -> str:
    bent.members[3] = _name(rng)
    return "issuer's name"


def unique_identifiers(rng: Random, bent: Bent) -> str:
    bent.members.insert(7, Node(rng.choice([0x81, 0x82]), b"\0" + rng.randbytes(4)))
    return "unique identifier"


# extensions


def _random_uri(rng: Random) -> bytes:
    ours, theirs = company().person(Role.ADMIN), company("twin").person(Role.ADMIN)
    prefixes = [_uri_of(case.chain[0]).rpartition(b"/")[0].rpartition(b"/")[0] for case in (ours, theirs)]
    prefixes += [prefixes[0].upper(), prefixes[0] + b"0", prefixes[0][:-1], b"https://example.com"]
    roles = [role.encode() for role in Role] + [b"superuser", b"", b"Technician"]
    subjects = [b"ada", b"e-1", b"ada\0.evil", b"*", b"Ada", b"ada/more", b"ada\n", b"a" * 64, b"a" * 65, b"",
                b"..", b"d-aaaaaaaaaaaaaaaaaaaa", "ад".encode(), b"ada?x", b"%61da"]  # fmt: skip
    return b"/".join([rng.choice(prefixes[:1] * 6 + prefixes), rng.choice(roles), rng.choice(subjects)])


def _uri_of(bent: Bent) -> bytes:
    found = bent.extension(SAN)
    assert found is not None
    return der.read(found.parts[-1].content).parts[0].content


def alternative_name(rng: Random, bent: Bent) -> str:
    def entry() -> Node:
        uri = Node(0x86, _random_uri(rng))
        others = [Node(0x82, b"ada.example"), Node(0x82, b"*.example"), Node(0x87, b"\x7f\0\0\x01"),
                  Node(0x81, b"a@b.example"), Node(0x87, b"\x7f"), Node(0x88, b"\x2a\x03")]  # fmt: skip
        return rng.choice([uri, uri, uri, *others])

    has_own = bent.extension(SAN) is not None
    entries = [Node(0x86, _uri_of(bent))] if has_own and rng.random() < 0.4 else []
    entries += [entry() for _ in range(rng.choice([0, 1, 1, 2]))]
    critical = rng.choice([None, None, True])
    bent.set_extension(SAN, der.constructed(der.SEQUENCE, *entries).encode(), is_critical=critical)
    return "alternative name"


def usages(rng: Random, bent: Bent) -> str:
    chosen = [der.oid(rng.choice(USAGES)) for _ in range(rng.randrange(5))]
    if rng.random() < 0.3:
        there = bent.extension(EKU)
        chosen = der.read(there.parts[-1].content).parts + chosen if there else chosen
    rng.shuffle(chosen)
    bent.set_extension(
        EKU, der.constructed(der.SEQUENCE, *chosen).encode(), is_critical=rng.choice([None, True])
    )
    return "extended key usage"


def key_usage(rng: Random, bent: Bent) -> str:
    bits = rng.choice([0, 0x80, 0x06, 0x04, 0x86, rng.randrange(256)])
    unused = (bits & -bits).bit_length() - 1 if bits else rng.choice([0, 7])
    content = bytes((unused, bits)) if rng.random() < 0.9 else bytes((7, bits, 0x80))
    is_critical = rng.choice([True, True, True, False])
    bent.set_extension(KEY_USAGE, Node(der.BIT_STRING, content).encode(), is_critical=is_critical)
    return "key usage"


def constraints(rng: Random, bent: Bent) -> str:
    parts = [Node(der.BOOLEAN, b"\xff")] if rng.random() < 0.7 else []
    if rng.random() < 0.7:
        parts.append(der.integer(rng.choice([0, 0, 1, 2, 5, 255, -1, 2**31, 2**70])))
    is_critical = rng.choice([True, True, True, False])
    bent.set_extension(BASIC, der.constructed(der.SEQUENCE, *parts).encode(), is_critical=is_critical)
    return "basic constraints"


def extension_missing(rng: Random, bent: Bent) -> str:
    bent.drop_extension(rng.choice([BASIC, KEY_USAGE, EKU, SAN, SKI, AKI]))
    return "extension left out"


def extension_twice(rng: Random, bent: Bent) -> str:
    twin = rng.choice(bent.extensions).copy()
    bent.extensions.insert(rng.randrange(len(bent.extensions) + 1), twin)
    if rng.random() < 0.5:
        twin.parts[-1].content = bend_bytes(rng, twin.parts[-1].content)
    return "extension twice"


def extension_added(rng: Random, bent: Bent) -> str:
    identifier = rng.choice(FOREIGN_EXTENSIONS)
    values = [b"\x05\0", b"\x30\0", b"", b"\x04\0", rng.randbytes(5),
              bytes.fromhex("3006a00482026162"),
              utf8_string(b'{"grantables":["*"],"groups":["*"]}'), bytes.fromhex("02017f")]  # fmt: skip
    bent.set_extension(identifier, rng.choice(values), is_critical=rng.random() < 0.4)
    return f"extension {identifier} added"


def criticality(rng: Random, bent: Bent) -> str:
    one = rng.choice(bent.extensions)
    flag = [] if len(one.parts) == 3 else [Node(der.BOOLEAN, b"\xff")]
    one.parts = [one.parts[0], *flag, one.parts[-1]]
    return "criticality turned"


def extension_order(rng: Random, bent: Bent) -> str:
    rng.shuffle(bent.extensions)
    return "extensions in another order"


def extension_value(rng: Random, bent: Bent) -> str:
    one = rng.choice(bent.extensions)
    one.parts[-1].content = bend_bytes(rng, one.parts[-1].content or b"\0")
    return "extension's value"


def key_identifiers(rng: Random, bent: Bent) -> str:
    twenty = rng.randbytes(20)
    values = [
        (SKI, b"\x04\x14" + twenty), (SKI, b"\x04\0"), (SKI, b"\x04\x01a"),
        (AKI, b"\x30\x16\x80\x14" + twenty),
        (AKI, b"\x30\0"), (AKI, b"\x30\x03\x82\x01\x05"), (AKI, b"\x30\x06\x80\x01a\x82\x01\x05"),
        (AKI, b"\x30\x02\x80\0"),
    ]  # fmt: skip
    identifier, value = rng.choice(values)
    bent.set_extension(identifier, value, is_critical=rng.choice([None, None, True]))
    return "key identifier"


TERMS = [
    b'{"grantables":["screen.view"],"groups":["servers"]}', b'{"grantables":["*"],"groups":["*"]}',
    b'{"grantables":[], "groups":[]}', b'{"groups":[],"grantables":[]}', b"{}", b"[]", b"null", b"\xff", b"",
    b'{"group":"front-desk","is_bulk":false,"join_until_s":1772600767,"uses_limit":5}',
    b'{"group":"servers","is_bulk":true,"join_until_s":4000000000,"uses_limit":0}',
    b'{"group":"servers","is_bulk":true,"join_until_s":0,"uses_limit":0}',
    b'{"group":"servers","is_bulk":1,"join_until_s":4000000000,"uses_limit":0}',
    b'{"group":"../x","is_bulk":true,"join_until_s":4000000000,"uses_limit":0}',
    b'{"group":"a","group":"b","is_bulk":true,"join_until_s":4000000000,"uses_limit":0}',
    b'{"group":"a","is_bulk":true,"join_until_s":1e9,"uses_limit":0}',
    b'{"group":"a","is_bulk":true,"join_until_s":-1,"uses_limit":0}',
    b'{"group":"a","is_bulk":true,"join_until_s":253402300800,"uses_limit":0}',
    b'{"group":"a","is_bulk":true,"join_until_s":4000000000,"uses_limit":1000001}',
    b'{"generation":0,"organisation_id":"","previous_sha256":"","recovery_sha256":"%s"}' % (b"0" * 64),
    b'{"generation":1,"organisation_id":"","previous_sha256":"","recovery_sha256":"%s"}' % (b"0" * 64),
    b'{"generation":9,"organisation_id":"","previous_sha256":"","recovery_sha256":""}',
    b'{"generation":1,"organisation_id":"%s","previous_sha256":"%s","recovery_sha256":"%s"}'
    % (b"a" * 64, b"b" * 64, b"c" * 64),
]  # fmt: skip


def terms(rng: Random, bent: Bent) -> str:
    identifier = rng.choice([SCOPE_OID, ENROLLER_OID, ROOT_OID]).dotted_string
    content = utf8_string(rng.choice(TERMS))
    if rng.random() < 0.15:
        content = bytes((rng.choice([0x13, 0x04, 0x2C]),)) + content[1:]
    bent.set_extension(identifier, content, is_critical=rng.choice([None, True]))
    return "terms"

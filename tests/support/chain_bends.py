"""Ways to bend a whole chain, and the corpus: so many cases from one seed (THREATS.md, CRT-18)."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random

from protocol.certificate_profile import SCOPE_OID, utf8_string
from protocol.certificates import Role
from tests.support import certificate_bends as bends
from tests.support import signature_bends as signatures
from tests.support.bent_certificates import FIRST, LATER, TWIN, Bent, Case, company, fixed_key, fresh_case

CHAIN_SHARE = 0.22
COMPANIES = (FIRST, LATER, TWIN)
ChainBend = Callable[[Random, Case], str]

OF_ONE: list[bends.Bend] = [
    bends.bytes_unsigned, bends.bytes_signed, bends.bytes_signed, bends.value_bytes, bends.value_bytes,
    bends.other_tag, bends.drop_node, bends.repeat_node, bends.swap_nodes, bends.ber, bends.ber,
    bends.default_false, bends.dates, bends.dates, bends.serial, bends.version, bends.subject, bends.issuer,
    bends.unique_identifiers, bends.alternative_name, bends.alternative_name, bends.usages, bends.usages,
    bends.key_usage, bends.constraints, bends.extension_missing, bends.extension_twice, bends.extension_added,
    bends.extension_added, bends.criticality, bends.extension_order, bends.extension_value,
    bends.key_identifiers, bends.terms, signatures.other_key, signatures.key_spelling,
    signatures.key_algorithm,
    signatures.signature_algorithm, signatures.signed_with_another_hash, signatures.signature_spelling,
    signatures.signature_bytes, signatures.signed_by_another, signatures.signed_for_another,
]  # fmt: skip


def order(rng: Random, case: Case) -> str:
    case.rendered = lambda chain: rng.sample(chain, len(chain)) if len(chain) > 1 else chain * 2
    return "order"


def root_beside(rng: Random, case: Case) -> str:
    case.chain.append(case.root.copy())
    return "root in the chain"


def twice(rng: Random, case: Case) -> str:
    case.chain.insert(rng.randrange(len(case.chain) + 1), rng.choice(case.chain).copy())
    return "a certificate twice"


def without_issuer(rng: Random, case: Case) -> str:
    del case.chain[rng.randrange(len(case.chain)) :]
    return "chain cut"


def unrelated_beside(rng: Random, case: Case) -> str:
    other = company(rng.choice(COMPANIES))
    extra = rng.choice([other.enroller(), other.person(Role.TECHNICIAN).chain[0], other.device().chain[0]])
    case.chain.append(extra)
    return "a stranger beside"


def other_root(rng: Random, case: Case) -> str:
    """Of an organisation of the same display name, or the other one of the line."""
    case.root = company(rng.choice(COMPANIES)).root.copy()
    return "another root"


def other_issuer(rng: Random, case: Case) -> str:
    """Our chain, but its top is signed by another root: a cross-signature."""
    other = company(rng.choice(COMPANIES))
    case.chain[-1].signer = other.root_key
    if rng.random() < 0.5:
        case.root = other.root.copy()
    return "cross-signed"


def stranger_enroller(rng: Random, case: Case) -> str:
    if len(case.chain) < 2:
        return other_issuer(rng, case)
    case.chain[1] = company(rng.choice(COMPANIES)).enroller()
    case.chain[0].signer = case.chain[1].key
    return "another root's enroller"


def issued_by_a_leaf(rng: Random, case: Case) -> str:
    """A person or a device as the authority, its name and key right, its certificate not a CA's."""
    authority = rng.choice([company().person(Role.ADMIN).chain[0], company().device().chain[0]])
    _put_below(case, authority)
    return "issued by a leaf"


def longer(rng: Random, case: Case) -> str:
    """Real CAs, one under the other: each an enroller's copy with a key of its own."""
    count = rng.choice([1, 1, 2, 3, 5, 10, 99])
    for number in range(count):
        authority = company().enroller()
        authority.set_key(fixed_key(f"authority {number}"))
        if rng.random() < 0.5:  # a path of five instead of none
            authority.set_extension("2.5.29.19", bytes.fromhex("30060101ff020105"))
        _put_below(case, authority)
    return f"{count} more authorities"


def loop(rng: Random, case: Case) -> str:
    """Two authorities that signed each other, the leaf below one of them."""
    one, other = company().enroller(), company().enroller()
    other.set_key(fixed_key("loop"))
    one.signer, other.signer = other.key, one.key
    one.members[3], other.members[3] = other.members[5].copy(), one.members[5].copy()
    case.chain[0].signer = one.key
    case.chain[0].members[3] = one.members[5].copy()
    case.chain[1:] = [one, other, one.copy(), other.copy()][: rng.choice([2, 3, 4])]
    return "loop"


def one_key(rng: Random, case: Case) -> str:
    """The leaf has its issuer's key: one key in two roles."""
    above = case.parts()[1]
    case.chain[0].set_key(above.key)
    return "one key in two roles"


def own_key(rng: Random, case: Case) -> str:
    """A fresh P-256 key, rightly signed: a person may have it, a device's id belongs to its key."""
    case.chain[0].set_key(fixed_key(f"fresh {rng.randrange(4)}"))
    return "another key"


def own_scope(rng: Random, case: Case) -> str:
    """The leaf gives itself everything, in the one right spelling."""
    content = utf8_string(b'{"grantables":["*"],"groups":["*"]}')
    case.chain[0].set_extension(SCOPE_OID.dotted_string, content, is_critical=False)
    return "a scope of everything"


def other_time(rng: Random, case: Case) -> str:
    days = rng.choice([0, 1, 7, 8, 30, 365, 729, 731, 800, 7000, 8000, 60_000])
    case.now += timedelta(
        days=days * rng.choice([-1, 1]), seconds=rng.choice([0, 1, -1, 299, 300, 301, -301])
    )
    return "time"


def other_role(rng: Random, case: Case) -> str:
    case.role = rng.choice(list(Role))
    return "role asked for"


def moved_usages(rng: Random, case: Case) -> str:
    """Name and usages of another role, all signed rightly by whoever signed before."""
    donor = rng.choice([company().person(Role.ADMIN), company().device(), company().person(Role.TECHNICIAN)])
    for dotted in rng.sample(["2.5.29.17", "2.5.29.37", "2.5.29.15", "2.5.29.19"], rng.randint(1, 4)):
        found = donor.chain[0].extension(dotted)
        if found is not None:
            case.chain[0].set_extension(dotted, found.parts[-1].content, is_critical=len(found.parts) == 3)
    case.role = rng.choice([case.role, donor.role])
    return "another role's name and usages"


def _put_below(case: Case, authority: Bent) -> None:
    leaf = case.chain[0]
    leaf.signer = authority.key
    leaf.members[3] = authority.members[5].copy()
    found = authority.extension("2.5.29.14")
    if found is not None:
        leaf.set_extension("2.5.29.35", b"\x30\x16\x80\x14" + found.parts[-1].content[2:])
    case.chain.insert(1, authority)


OF_CHAIN: list[ChainBend] = [
    order, root_beside, twice, without_issuer, unrelated_beside, other_root, other_issuer, stranger_enroller,
    issued_by_a_leaf,
    longer, loop, one_key, own_key, own_scope, other_time, other_time, other_role,
    moved_usages, moved_usages,
]  # fmt: skip


def corpus(count: int, seed: int) -> Iterator[Case]:
    """So many bent chains, the same ones for the same seed; one in fifty is left as it was."""
    rng = Random(seed)
    for number in range(count):
        case = fresh_case(rng)
        if number % 50:
            for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 3])):
                _bend(rng, case)
        yield case


def _bend(rng: Random, case: Case) -> None:
    parts = case.parts()
    place = rng.choices(range(len(parts)), [4, *([2] * (len(parts) - 2)), 1][: len(parts)])[0]
    where = "leaf" if place == 0 else "root" if place == len(parts) - 1 else "authority"
    try:
        if rng.random() < CHAIN_SHARE:
            case.labels.append(rng.choice(OF_CHAIN)(rng, case))
        else:
            case.labels.append(f"{where}: {rng.choice(OF_ONE)(rng, parts[place])}")
    except (IndexError, AttributeError, ValueError):
        case.labels.append("(an earlier bend left nothing there to bend)")

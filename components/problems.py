"""What is wrong with a stack file, told to a person: the value, the rule, the remedy, and never a secret."""

from __future__ import annotations

import copy
import difflib
import ipaddress
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from components.matrix import ServerKind, StoreKind
from secretops.printable import printable


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what and where, the rule it breaks, the remedy."""

    what: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        what, rule, remedy = (printable(text) for text in (self.what, self.rule, self.remedy))
        return "\n".join([_wrapped(what, ""), _wrapped(rule, "    "), _wrapped(remedy, "    -> ")])


WIDTH = 76
"""Columns of a refusal's lines: the engine puts four before them. No word is cut: a longer ARN stays whole."""


def _wrapped(text: str, begin: str) -> str:
    return textwrap.fill(
        text,
        WIDTH if begin else WIDTH - 2,  # what is wrong comes after two more
        initial_indent=begin,
        subsequent_indent=" " * (len(begin) or 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


_SAYS_SECRET = re.compile(
    r"passw|pass(phrase)?s?$|pwd|secret|token|credential|connection[_-]?string"
    r"|(api|private|client|access|agent|shared)[_-]?keys?$",
    re.IGNORECASE,
)
"""A key whose entry is a value, whatever the entry looks like."""

_IS_SECRET = re.compile(
    r"-----BEGIN "  # PEM
    r"|(?<!\S)(?>\S*?[a-z0-9+.-]://)\S*@"  # somebody's name and password before a host; of a long text looked for once
    r"|\b(do[opr]_v1_|gh[pousr]_|hv[sb]\.|AKIA[0-9A-Z]{12}|eyJ[\w-]{8,4096}\.)",  # tokens by their makers' prefixes
    re.IGNORECASE,
)
"""Text that is a value, wherever it stands."""

_IS_LOGIN = re.compile(r"^[^\s/:@]+:\S+@(?!sha256:)")
"""Somebody's name and password before a host; an image and its digest are not."""

_USERS = "store.operators."
"""Below it a user of the cluster is called oidc:alice@example.com, which reads like a login."""

_SECRET_OF = (
    (re.compile(r"admin", re.IGNORECASE), "broker-admin"),
    (re.compile(r"api|agent|token", re.IGNORECASE), "agent-key"),
    (re.compile(r"private|client|cert|pem", re.IGNORECASE), "client-cert"),
    (re.compile(r"broker|mqtt|pass", re.IGNORECASE), "mqtt"),
)

_OPENS_VAULT = (
    (
        re.compile(r"^store\.(approle|jwt)\."),
        "lay the new one where server or rotator looks for it, as the stack's output next says",
    ),
    (re.compile(r"^store\."), "log in with the new one: bao login or vault login, or VAULT_TOKEN"),
)
"""Where what opens a Vault goes. None of it is a secret of the stack: `secretops put` would hand it to a server."""


_NAMES = frozenset({"pull_secrets"})
"""Keys that say secret, and whose entries are names."""


def says_secret(key: str) -> bool:
    """Whether what stands at `key` is a secret's value by the name of the key alone."""
    return key not in _NAMES and bool(_SAYS_SECRET.search(key))


def values_in(where: str, entry: Any, *, secret: bool = False, kind: object = None) -> Iterator[Problem]:
    """A problem for each entry below `where` that looks like a secret's value. What it says is never repeated.

    `secret` is what the key above says of it, and `kind` what the whole section is of.
    """
    if isinstance(entry, Mapping):
        kind = kind or entry.get("kind")
        for name, inner in entry.items():
            yield from values_in(f"{where}.{name}", inner, secret=says_secret(name), kind=kind)
    elif isinstance(entry, list):
        for at, inner in enumerate(entry):
            yield from values_in(f"{where}.{at}", inner, secret=secret, kind=kind)
    elif entry not in (None, "") and (
        (secret and not _measures(where, entry)) or (isinstance(entry, str) and _looks_secret(where, entry))
    ):
        yield _value(where, "what looks like a secret's value (not shown)", pem="-----BEGIN " in str(entry), kind=kind)


def _looks_secret(where: str, text: str) -> bool:
    return bool(_IS_SECRET.search(text) or (_IS_LOGIN.search(text) and not where.startswith(_USERS)))


_MEASURE = re.compile(r"_(days|hours|minutes|seconds)$")


def _measures(where: str, entry: Any) -> bool:
    """A number of days is none of a secret, whatever its key calls them: password_days."""
    return isinstance(entry, int) and not isinstance(entry, bool) and bool(_MEASURE.search(where))


def encrypted(section: str) -> Problem:
    """A section with a `secure:` entry."""
    return _value(section, "a secure: entry")


def _value(where: str, found: str, *, pem: bool = False, kind: object = None) -> Problem:
    goes = next((way for pattern, way in _OPENS_VAULT if kind == "vault" and pattern.search(where)), None)
    if goes and pem:
        goes = "name the file that has the new one"
    match where.split("."):
        case ["secrets", declared, _, *_]:
            name = declared
        case _:
            hints = "pem" if pem else where
            name = next((secret for pattern, secret in _SECRET_OF if pattern.search(hints)), "NAME")
    return Problem(
        f"{where}: {found}",
        "no value is configuration, encrypted or not: Pulumi would keep it in its state",
        "take it out, change it if it was ever committed, and "
        + (goes or f"give the new one to: secretops put {name}"),
    )


def place_of(problem: Problem) -> str:
    """Where in the stack file, for example broker.port."""
    return problem.what.partition(": ")[0]


def matching(
    pattern: str, rule: str, remedy: str, *, meant: Callable[[str], str | None] = lambda _: None
) -> AfterValidator:
    """For a setting's type: text that `pattern` describes to a machine, and `rule` to a person.

    `meant` is the remedy for a text that is wrong in a way that many get it wrong.
    """

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": meant(text) or remedy})
        return text

    return AfterValidator(check)


def no_number(rule: str, remedy: str) -> BeforeValidator:
    """For a setting's type: digits that are text. What YAML made of them without quotes is not what the file says."""

    def check(entry: Any) -> Any:
        if isinstance(entry, int | float) and not isinstance(entry, bool):
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy, "shown": "a number"})
        return entry

    return BeforeValidator(check)


def between(low: int, high: int, unit: str) -> AfterValidator:
    """For a setting's type: a number of `unit` from `low` to `high`, both included."""

    def check(number: int) -> int:
        if not low <= number <= high:
            rule = f"from {low} to {high} {unit}".rstrip()
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "name a number in that range"})
        return number

    return AfterValidator(check)


def one_of(numbers: Sequence[int], unit: str) -> AfterValidator:
    """For a setting's type: one of `numbers`, of `unit`, which rise. The remedy never names less than was asked."""

    def check(number: int) -> int:
        if number not in numbers:
            rule = f"one of {', '.join(map(str, numbers))} {unit}"
            remedy = f"write {next((known for known in numbers if known > number), numbers[-1])}"
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy})
        return number

    return AfterValidator(check)


def network(text: str) -> str:
    """For a setting's type: a network in CIDR notation, its host bits zero."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        rule = "a network in CIDR notation, its host bits zero"
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "write it like 10.20.0.0/16"}) from None
    return text


_LARGEST_OF_CLIENTS = 8
"""Prefix: whoever has so many addresses owns all of them."""


def network_of_clients(text: str) -> str:
    """For a setting's type: a network as above, which is not everybody's. Two halves of all addresses are all."""
    rule = "a network in CIDR notation, its host bits zero, and not everybody's: from /8 on"
    try:
        everybody = ipaddress.ip_network(text).prefixlen < _LARGEST_OF_CLIENTS
    except ValueError:
        everybody = True
    if everybody:
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "write it like 10.20.0.0/16"})
    return text


_PRIVATE = tuple(ipaddress.IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918."""

_LARGEST, _SMALLEST, _ONE = 8, 30, 32
"""Prefixes: of the networks that Azure's firewalls take, and of an address (Azure Storage, IP network rules)."""


def public_addresses(text: str) -> str:
    """For a setting's type: an IPv4 address of the internet, or a network of them, its host bits zero."""
    rule, remedy = (
        "a public IPv4 address, or a network of them from /8 to /30",
        "write it like 203.0.113.7 or 203.0.113.0/28",
    )
    try:
        given = ipaddress.IPv4Network(text)
    except ValueError:
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy}) from None
    if any(given.subnet_of(one) for one in _PRIVATE):
        rule, remedy = (
            "an address of the internet, and this one is a private network's",
            "name a subnet, or a private endpoint",
        )
    elif _LARGEST <= given.prefixlen <= _SMALLEST or (given.prefixlen == _ONE and "/" not in text):
        return text
    raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy})


def distinct(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """For a setting's type: a list that names nothing twice."""
    twice = next((entry for at, entry in enumerate(entries) if entry in entries[:at]), None)
    if twice is not None:
        context = {
            "rule": "each entry once",
            "remedy": "take out what is there twice",
            "shown": f"{_shown(twice)} twice",
        }
        raise PydanticCustomError("told", "{rule}", context)
    return entries


A_SECTION = "a section: keys, each with its entry"

Keys = Mapping[str, Iterable[str]]
"""kind -> the keys of a section of that kind; the kind is "" for a section that has none. kind.key: of one within."""


def explain(section: str, error: ValidationError, keys: Keys, *, told: Iterable[str] = ()) -> Iterator[Problem]:
    """Each thing that pydantic found wrong with a section. What is missing at a place in `told` was taken out."""
    details = error.errors(include_url=False)
    for detail in details:
        place = detail["loc"]
        kind = str(place[0]) if place and place[0] in keys else ""
        where = ".".join([section, *(str(part) for part in place[1 if kind else 0 :] if part != "[key]")])
        follows = detail["type"] == "too_short" and any(
            other["loc"][: len(place)] == place and other is not detail for other in details
        )
        hidden = detail["type"] == "missing" and any(f"{was}.".startswith(f"{where}.") for was in told)
        if not follows and not hidden:
            yield _explained(where, detail, section, keys, kind)


def without_unknown(section: Any, error: ValidationError, keys: Keys) -> Any:
    """The section less its unknown keys, or None where anything else is wrong with it.

    For what is to be told at once and needs the rest: no entry of it is guessed.
    """
    rest = copy.deepcopy(section)
    for detail in error.errors(include_url=False):
        place = detail["loc"]
        if detail["type"] != "extra_forbidden":
            return None
        *above, key = place[1:] if place[0] in keys else place
        inner = rest
        for part in above:
            inner = inner[part]
        del inner[key]
    return rest


def _explained(where: str, detail: ErrorDetails, section: str, keys: Keys, kind: str) -> Problem:
    """What is wrong with a section's shape: what is missing, unknown, or of no known kind."""
    key = where.rpartition(".")[2]
    kinds = [name for name in keys if "." not in name]
    match detail["type"]:
        case "union_tag_not_found":
            return Problem(f"{where}.kind: missing", "it has no default", f"add kind: one of {', '.join(kinds)}")
        case "union_tag_invalid":
            return _unknown_kind(section, detail["input"]["kind"], kinds)
        case "json_invalid":
            rule = "Unicode, and no more than a hundred sections within one another"
            return Problem(f"{where}: text", rule, f"write {key} as the files in examples/ have it")
        case "missing":
            return Problem(f"{where}: missing", "it has no default", f"add {_written(kind, key)}")
        case "extra_forbidden":
            article = "an" if section[0] in "aeiou" else "a"
            one = {"secrets": "a declared secret"}.get(section, section)
            of = f"{article} {section} of kind {kind}" if kind else one
            within = ".".join(map(str, detail["loc"][:-1]))
            if "." in within and within in keys:
                kind, of = within, within.rpartition(".")[2]
            known = list(keys[kind])
            inner = next((name for name in keys if name.startswith(f"{kind}.") and key in keys[name]), None)
            remedy = (
                f"did you mean {section}.{inner.partition('.')[2]}.{key}?"
                if inner
                else did_you_mean(key, known, otherwise=_by_its_secret(key, known))
            )
            return Problem(f"{where}: unknown key", f"{of} has {', '.join(known)}", remedy)
        case _:
            return _wrong_entry(where, detail, kind)


def _by_its_secret(key: str, known: Iterable[str]) -> str:
    """The remedy for a key that calls a secret otherwise than here: password_days is mqtt_days."""
    called, _, measure = key.rpartition("_")
    secret = next((name for pattern, name in _SECRET_OF if called and pattern.search(called)), "")
    meant = f"{secret.replace('-', '_')}_{measure}"
    return f"did you mean {meant}?" if meant in known else "take it out"


def _written(kind: str, key: str) -> str:
    """The key, and how its entry is written where that is not to be guessed."""
    return f"{key}: {_FORMS[kind, key]}" if (kind, key) in _FORMS else key


_FORMS = {
    ("vault", "address"): "https://vault.example.com:8200",
    ("vault", "operators"): "[userpass/alice]",
    ("vault", "pki"): "{}",
    ("vault", "approle"): "{}",
    ("vault", "kubernetes"): "{}",
    ("vault", "audit_files"): "[]",
}
"""Of a section's kind and its key."""


def _wrong_entry(where: str, detail: ErrorDetails, kind: str) -> Problem:
    entry, context = detail["input"], detail.get("ctx", {})
    key = where.rpartition(".")[2]
    shown = "its name" if detail["loc"][-1:] == ("[key]",) else _shown(entry)
    match detail["type"]:
        case "told":
            rule, remedy, shown = context["rule"], context["remedy"], context.get("shown", shown)
        case "literal_error" | "enum":
            known = re.findall(r"'([^']+)'", context["expected"])
            rule, remedy = f"one of {', '.join(known)}", did_you_mean(str(entry), known, otherwise="write one of them")
            if str(entry) in known:  # a number where text belongs
                remedy = f'write it in quotes: "{entry}"'
        case "model_type" | "model_attributes_type" | "dict_type":
            shown = "text" if isinstance(entry, str) else shown  # not what it says: nobody knows what that is
            rule, remedy = A_SECTION, f"put keys below {key}:"
            if (kind, key) in _FORMS:
                remedy = f"write {_written(kind, key)}, or {remedy}"
        case "bool_type":
            rule, remedy = "true or false", "write true or false, without quotes"
        case "int_type" | "int_from_float":
            rule, remedy = "a whole number", "write digits alone, without quotes"
        case "string_type":
            rule, remedy = "text", "write one text" if isinstance(entry, Mapping | list) else _IN_QUOTES
        case "tuple_type":
            rule, remedy = "a list", f"write it as a list: {key}: [...]"
            if entry is False and _FORMS.get((kind, key)) == "[]":
                remedy += f"; for none {_written(kind, key)}"
        case "too_short":
            form = _FORMS.get((kind, key))
            shown, rule = "an empty list", "at least one entry"
            remedy = f"add one: {key}: {form}" if form else "add one"
        case _:
            rule, remedy = detail["msg"][0].lower() + detail["msg"][1:], "correct it"
    return Problem(f"{where}: {shown}", rule, _FILL_IN if detail["type"] in _TYPES and entry is None else remedy)


_IN_QUOTES, _FILL_IN = "if it is meant, put it in quotes", "fill it in, or take it out"
_TYPES = ("string_type", "int_type", "bool_type")


def _unknown_kind(section: str, kind: Any, known: list[str]) -> Problem:
    axes: dict[str, type[StoreKind] | type[ServerKind]] = {"store": StoreKind, "server": ServerKind}
    where, rule = f"{section}.kind", f"one of {', '.join(known)}"
    for axis, kinds in axes.items() if isinstance(kind, str) and section in axes else ():
        if kind in set(kinds) and kind not in set(axes[section]):
            return Problem(f"{where}: {kind} is a {axis}, not a {section}", rule, "name one of them")
    return Problem(f"{where}: {_shown(kind)}", rule, did_you_mean(str(kind), known, otherwise="name one of them"))


def unknown_section(name: str, known: Iterable[str], keys: Mapping[str, Keys]) -> Problem:
    """A section that no stack file has. It may be a key of one that there is: `keys` has those."""
    key = name.rpartition(".")[2]
    above = next(
        (section for section, kinds in keys.items() if key in {one for each in kinds.values() for one in each}), ""
    )
    remedy = f"put {key} below {above}:" if above else did_you_mean(name, known)
    return Problem(f"{name}: unknown section", f"one of {', '.join(known)}", remedy)


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "take it out") -> str:
    """The nearest word there is, as a remedy."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = [name for name in folded if word and name.startswith(word.casefold())]
    near += difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return f"did you mean {folded[near[0]]}?{_foreign(word)}" if near else otherwise


def _foreign(text: str) -> str:
    """Which of its letters are none of English's: some look as if they were, and others don't show at all."""
    found = dict.fromkeys(letter for letter in text if not letter.isascii())
    return f" (it has U+{', U+'.join(f'{ord(letter):04X}' for letter in [*found][:3])})" if found else ""


def _shown(entry: Any) -> str:
    match entry:
        case None:
            return "nothing"
        case Mapping():
            return "a section"
        case list() | tuple():
            return "a list"
    text = json.dumps(entry, ensure_ascii=False)
    half = (_WIDEST - 5) // 2
    return (text if len(text) <= _WIDEST else f"{text[:half]} ... {text[-half:]}") + _foreign(text)


_WIDEST = 120
"""Characters of an entry that a message repeats; an ARN has about 90. A longer one is cut in its middle."""

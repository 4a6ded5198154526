"""Rule files become a RuleSet: a tree of descriptors for each domain.

Every problem of every file is gathered (see fields.py); a RuleSet exists only without any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chassis.errors import ConfigError
from ratelimit_service.core.bucket import Bucket
from ratelimit_service.core.fields import Fields, suggestion
from ratelimit_service.core.limit import Limit, OnStoreFailure, Unit
from ratelimit_service.core.source import Mapping, Node, Place, Scalar, kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chassis.errors import Problem

MAX_DEPTH = 32  # levels of descriptors; Envoy's own configurations stay below ten
_FILE_KEYS = ("domain", "descriptors")
_DESCRIPTOR_KEYS = ("key", "value", "rate_limit", "descriptors", "on_store_failure")
_LIMIT_KEYS = ("unit", "requests_per_unit", "unlimited", "name", "burst")
# What envoyproxy/ratelimit would read and this limiter does not yet: refused by name, because a
# rule that is silently weaker than written is worse than a service that does not start.
_NOT_BUILT = frozenset(
    {"replaces", "shadow_mode", "quota_mode", "detailed_metric", "value_to_metric"}
    | {"share_threshold", "metadata"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a matched descriptor may do. `limit` None: unlimited. No `bucket`: nothing passes."""

    limit: Limit | None = None
    bucket: Bucket | None = None
    on_store_failure: OnStoreFailure = OnStoreFailure.ERROR

    @staticmethod
    def of(limit: Limit, on_store_failure: OnStoreFailure = OnStoreFailure.ERROR) -> Rule:
        """Return the rule that `limit` makes."""
        bucket = Bucket.of(limit) if limit.requests_per_unit else None
        return Rule(limit=limit, bucket=bucket, on_store_failure=on_store_failure)


UNLIMITED = Rule()


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A level of the tree: its rule, if it has one, and what is below by (key, value or None).

    `path` is its name for people: `domain.key_value.key`.
    """

    path: str
    place: Place
    rule: Rule | None = None
    children: dict[tuple[str, str | None], Branch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All domains. An empty one limits nothing."""

    domains: dict[str, Branch] = field(default_factory=dict)

    def limited(self) -> list[Branch]:
        """Return every branch with a rule, in the order of the files."""
        found: list[Branch] = []
        waiting = list(reversed(self.domains.values()))
        while waiting:
            branch = waiting.pop()
            if branch.rule is not None:
                found.append(branch)
            waiting.extend(reversed(branch.children.values()))
        return found


def build(files: Iterable[Node]) -> RuleSet:
    """Build the rules of `files`, one document each; raise ConfigError naming every problem."""
    problems: list[Problem] = []
    domains: dict[str, Branch] = {}
    for document in files:
        _read_file(document, domains, problems)
    if problems:
        raise ConfigError(problems)
    return RuleSet(domains)


def _read_file(document: Node, domains: dict[str, Branch], problems: list[Problem]) -> None:
    if not isinstance(document, Mapping):
        problems.append(
            document.place.problem(
                f"a rule file is a map with 'domain' and 'descriptors', not {kind(document)}"
            )
        )
        return
    fields = Fields(document, known=_FILE_KEYS, what="a rule file", problems=problems)
    domain = fields.text("domain")
    if not domain:
        fields.note(
            fields.where("domain"),
            "config file cannot have empty domain; write 'domain: NAME', the name Envoy's "
            "rate-limit filter sends",
        )
    elif domain in domains:
        first = domains[domain].place
        fields.note(
            fields.where("domain"),
            f"duplicate domain '{domain}' in config file; {first.file}:{first.line} has it "
            "already: move the descriptors there",
        )
    root = Branch(path=domain, place=fields.where("domain"))
    if domain:
        domains.setdefault(domain, root)
    _read_level(fields, root, problems, depth=1)


def _read_level(fields: Fields, parent: Branch, problems: list[Problem], *, depth: int) -> None:
    for item in fields.maps("descriptors"):
        if depth > MAX_DEPTH:
            problems.append(item.place.problem(f"descriptors nest deeper than {MAX_DEPTH} levels"))
            return
        _read_descriptor(item, parent, problems, depth=depth)


def _read_descriptor(item: Mapping, parent: Branch, problems: list[Problem], *, depth: int) -> None:
    item = _refuse_unbuilt(item, problems)
    fields = Fields(item, known=_DESCRIPTOR_KEYS, what="a descriptor", problems=problems)
    key, value = fields.text("key"), fields.text("value") or None
    if not key:
        fields.note(fields.where("key"), "descriptor has empty key; write 'key: NAME'")
    for name, text in (("key", key), ("value", value)):
        if text and "*" in text:
            fields.note(fields.where(name), f"'{text}': wildcards are not supported; write it out")
    path = f"{parent.path}.{key}" + (f"_{value}" if value else "")
    branch = Branch(path=path, place=fields.place, rule=_read_rule(fields, problems))
    if (key, value) in parent.children:
        first = parent.children[key, value].place
        fields.note(
            fields.place,
            f"duplicate descriptor composite key '{path}'; line {first.line} has it already",
        )
    elif key:
        parent.children[key, value] = branch
    _read_level(fields, branch, problems, depth=depth + 1)


def _refuse_unbuilt(item: Mapping, problems: list[Problem]) -> Mapping:
    """Note the keys of the reference that are not built, and return the map without them."""
    kept = []
    for key, value in item.pairs:
        if isinstance(key, Scalar) and key.text in _NOT_BUILT:
            problems.append(
                key.place.problem(f"'{key.text}' is not supported yet; remove it to start")
            )
        else:
            kept.append((key, value))
    return Mapping(place=item.place, pairs=tuple(kept))


def _read_rule(fields: Fields, problems: list[Problem]) -> Rule | None:
    mapping = fields.mapping("rate_limit")
    failure = fields.choice("on_store_failure", OnStoreFailure, OnStoreFailure.ERROR)
    if mapping is None:
        if failure is not OnStoreFailure.ERROR:
            fields.note(
                fields.where("on_store_failure"),
                "'on_store_failure' stands beside a 'rate_limit'; there is none here",
            )
        return None
    mapping = _refuse_unbuilt(mapping, problems)
    inner = Fields(mapping, known=_LIMIT_KEYS, what="a rate_limit", problems=problems)
    if inner.flag("unlimited"):
        for name in ("unit", "requests_per_unit", "burst"):
            if inner.has(name):
                inner.note(
                    inner.where(name),
                    f"should not specify rate limit {name} when unlimited; remove one of the two",
                )
        return UNLIMITED
    return Rule.of(_read_limit(inner), failure)


def _read_limit(fields: Fields) -> Limit:
    unit = _read_unit(fields)
    requests = fields.uint32("requests_per_unit")
    if requests is None:
        if not fields.has("requests_per_unit"):
            fields.note(
                fields.place,
                "rate_limit has no 'requests_per_unit'; write how many requests a unit allows "
                "(0 blocks everything)",
            )
        requests = 1
    burst = fields.uint32("burst")
    if burst == 0 and requests:
        fields.note(
            fields.where("burst"), "'burst' is 0, so nothing could ever pass; write 1 or more"
        )
    name = fields.text("name")
    if any(character in '"\\' or not character.isprintable() for character in name):
        # Envoy copies the name into x-ratelimit-limit unescaped.
        fields.note(fields.where("name"), "'name' goes into a header: no quotes or backslashes")
    return Limit(requests_per_unit=requests, unit=unit, burst=burst, name=name)


def _read_unit(fields: Fields) -> Unit:
    text = fields.text("unit")
    if text.upper() in Unit.__members__:
        return Unit[text.upper()]
    names = [unit.name.lower() for unit in Unit]
    hint = suggestion(text.lower(), names) or f"; write one of {', '.join(names)}"
    fields.note(fields.where("unit"), f"invalid rate limit unit '{text}'{hint}")
    return Unit.SECOND

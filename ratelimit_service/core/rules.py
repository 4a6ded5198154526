"""Rule files become a RuleSet: a tree of descriptors for each domain.

Every problem of every file is gathered (see fields.py); a RuleSet exists only without any. What is
not wrong but hardly meant becomes a warning of the RuleSet: envoyproxy/ratelimit lets it pass, so
we do, but say it (see doubts.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from chassis.errors import ConfigError
from ratelimit_service.core.allowances import DEFAULT_KEYS, read_allowances
from ratelimit_service.core.doubts import doubts
from ratelimit_service.core.fields import Fields, Findings, suggestion
from ratelimit_service.core.limit import Algorithm, Limit, OnStoreFailure
from ratelimit_service.core.rule import Allowance, Branch, Lease, Rule, RuleSet
from ratelimit_service.core.source import Mapping, Node, kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

MAX_DEPTH = 32  # levels of descriptors; Envoy's own configurations stay below ten
_MAX_LEASE_MS = 60_000  # a replica that dies takes what it leased along for that long
_MAX_METADATA_BYTES = 65_536
_FILE_KEYS = ("domain", "descriptors")
# Of what stands beside a limit: the reference's say nothing without one and are let pass, as there.
_LIMIT_FLAGS: Final = ("shadow_mode", "quota_mode", "detailed_metric", "metadata")
_OUR_KEYS: Final = ("postpaid", "on_store_failure", "lease", "shard_by", *DEFAULT_KEYS)
_DESCRIPTOR_KEYS = (
    *("key", "value", "rate_limit", "limits", "descriptors"),
    *("value_to_metric", "share_threshold"),
    *_LIMIT_FLAGS,
    *_OUR_KEYS,
)

_ANY: Final = Limit()


def build(files: Iterable[Node], *, merge_domains: bool = False) -> RuleSet:
    """Build the rules of `files`, one document each; raise ConfigError naming every problem.

    `merge_domains`: files of one domain are read as one file, in the order given; else a second
    file of a domain is a problem.
    """
    findings = Findings()
    domains: dict[str, Branch] = {}
    for document in files:
        _read_file(document, domains, findings, merge_domains=merge_domains)
    if findings.problems:
        raise ConfigError(findings.problems)
    rules = RuleSet(domains)
    return RuleSet(
        domains,
        warnings=tuple(sorted([*findings.warnings, *doubts(rules)])),
        timed=_timed(rules.rules()),
    )


def _timed(rules: Iterable[Rule]) -> tuple[Allowance, ...]:
    """Return one allowance for each set of hours: thousands of rules share a handful of them."""
    found: dict[Hashable, Allowance] = {}
    for rule in rules:
        for allowance in rule.allowances:
            limit, shifts = allowance.limit, allowance.shifts
            if shifts or limit.time_zone:
                unit = limit.unit if limit.time_zone else None
                hours = tuple(replace(shift, limit=_ANY) for shift in shifts)
                found.setdefault((hours, limit.time_zone, unit), allowance)
    return tuple(found.values())


def _read_file(
    document: Node, domains: dict[str, Branch], findings: Findings, *, merge_domains: bool
) -> None:
    if not isinstance(document, Mapping):
        what = f"a rule file is a map with 'domain' and 'descriptors', not {kind(document)}"
        findings.problems.append(document.place.problem(what))
        return
    fields = Fields(document, known=_FILE_KEYS, what="a rule file", findings=findings)
    domain = fields.text("domain")
    root = Branch(path=domain, place=fields.where("domain"))
    if not domain:
        fields.note(
            fields.where("domain"),
            "config file cannot have empty domain; write 'domain: NAME', the name Envoy's "
            "rate-limit filter sends",
        )
    elif domain in domains and merge_domains:
        root = domains[domain]
    elif domain in domains:
        fields.note(
            fields.where("domain"),
            f"duplicate domain '{domain}' in config file; "
            f"{domains[domain].place.seen_from(fields.place)} has it already: move the "
            "descriptors there, or set MERGE_DOMAIN_CONFIG=true",
        )
    else:
        domains[domain] = root
    _read_level(fields, _Level(branch=root))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """Where descriptors hang: a branch, the keys that lead there, and whether it is in `varies`."""

    branch: Branch
    keys: tuple[str, ...] = ()
    varies: bool = False

    def below(self, branch: Branch) -> _Level:
        varies = self.varies or branch.share_threshold or branch.value_to_metric
        return _Level(branch=branch, keys=(*self.keys, branch.key), varies=varies)


def _read_level(fields: Fields, level: _Level) -> None:
    for item in fields.maps("descriptors"):
        if len(level.keys) == MAX_DEPTH:
            fields.note(item.place, f"descriptors nest deeper than {MAX_DEPTH} levels")
            return
        _read_descriptor(
            Fields(item, known=_DESCRIPTOR_KEYS, what="a descriptor", findings=fields.findings),
            level,
        )


def _read_descriptor(fields: Fields, level: _Level) -> None:
    key, value = fields.text("key"), fields.text("value") or None
    if not key:
        fields.note(fields.where("key"), "descriptor has empty key; write 'key: NAME'")
    parent = level.branch
    path = f"{parent.path}.{key}" + (f"_{value}" if value else "")
    rule = _read_rule(fields, path, (*level.keys, key))
    share, by_value = fields.flag("share_threshold"), fields.flag("value_to_metric")
    varies = share or by_value or (rule is not None and rule.detailed_metric)
    branch = Branch(
        path=path,
        place=fields.place,
        key=key,
        value=value,
        rule=rule,
        share_threshold=share,
        value_to_metric=by_value,
        varies=level.varies or varies,
    )
    if share and not branch.is_wildcard:
        fields.note(
            fields.where("share_threshold"),
            "share_threshold can only be used with wildcard values (containing '*'), but found "
            f"key '{branch.pattern}'; remove it, or end the value with '*'",
        )
    if key:
        _hang(fields, parent, branch)
    _read_level(fields, level.below(branch))


def _hang(fields: Fields, parent: Branch, branch: Branch) -> None:
    at = (branch.key, branch.value)
    if at in parent.children:
        first = parent.children[at].place.seen_from(fields.place)
        fields.note(
            fields.place,
            f"duplicate descriptor composite key '{branch.path}'; {first} has it already",
        )
        return
    parent.children[at] = branch
    if branch.is_wildcard:
        parent.wildcards.add(branch)


def _read_rule(fields: Fields, path: str, keys: tuple[str, ...]) -> Rule | None:
    allowances = read_allowances(fields)
    if not allowances:
        _refuse_without_limit(fields)
        return None
    rule = Rule(
        path=path,
        place=fields.place,
        allowances=allowances,
        shadow_mode=fields.flag("shadow_mode"),
        quota_mode=fields.flag("quota_mode"),
        postpaid=fields.flag("postpaid"),
        detailed_metric=fields.flag("detailed_metric"),
        on_store_failure=fields.choice("on_store_failure", OnStoreFailure, OnStoreFailure.ERROR),
        lease=_read_lease(fields, allowances),
        shard_by=_read_shard_by(fields, keys),
        metadata=_read_metadata(fields),
    )
    if rule.unlimited:
        for name in _OUR_KEYS:
            if fields.has(name):
                fields.warn(
                    fields.where(name), f"'{name}' has no effect: nothing is counted when unlimited"
                )
    return rule


def _refuse_without_limit(fields: Fields) -> None:
    if fields.has("rate_limit") or fields.has("limits"):
        return  # what is wrong with it has been noted
    for name in _OUR_KEYS:
        if fields.has(name):
            fields.note(
                fields.where(name), f"'{name}' stands beside a 'rate_limit'; there is none here"
            )
    for name in _LIMIT_FLAGS:
        if fields.has(name):
            fields.warn(
                fields.where(name), f"'{name}' has no effect: there is no 'rate_limit' beside it"
            )


def _read_metadata(fields: Fields) -> dict[str, Any] | None:
    metadata = fields.tree("metadata")
    if metadata is not None and len(json.dumps(metadata)) > _MAX_METADATA_BYTES:
        fields.note(
            fields.where("metadata"),
            f"'metadata' goes into every answer; write less than {_MAX_METADATA_BYTES} bytes",
        )
    return metadata


def _read_lease(fields: Fields, allowances: tuple[Allowance, ...]) -> Lease | None:
    mapping = fields.mapping("lease")
    if mapping is None:
        return None
    known = ("max_share", "max_ms")
    inner = Fields(mapping, known=known, what="a lease", findings=fields.findings, ours=True)
    max_share = inner.share("max_share")
    max_ms = inner.whole("max_ms", least=1, most=_MAX_LEASE_MS)
    for name in known:
        if not inner.has(name):
            inner.note(
                inner.place,
                f"a lease needs '{name}'; write {{max_share: 0.1, max_ms: 100}}, say",
            )
    if any(allowance.limit.algorithm is not Algorithm.TOKEN_BUCKET for allowance in allowances):
        fields.note(
            fields.where("lease"),
            "only a token_bucket can be leased; remove 'lease' or 'algorithm'",
        )
    if max_share is None or max_ms is None:
        return None
    return Lease(max_share=max_share, max_ms=max_ms)


def _read_shard_by(fields: Fields, keys: tuple[str, ...]) -> str:
    name = fields.text("shard_by")
    if name and name not in keys and not any("*" in key for key in keys):
        hint = suggestion(name, keys) or f"; write one of {', '.join(keys)}"
        fields.note(
            fields.where("shard_by"), f"no entry of this descriptor has the key '{name}'{hint}"
        )
    return name

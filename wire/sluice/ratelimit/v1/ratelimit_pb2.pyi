import datetime

from wire.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2 as _ratelimit_pb2
from wire.envoy.service.ratelimit.v3 import rls_pb2 as _rls_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_TOKEN_BUCKET: _ClassVar[Algorithm]
    ALGORITHM_SLIDING_WINDOW: _ClassVar[Algorithm]
    ALGORITHM_FIXED_WINDOW: _ClassVar[Algorithm]

class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_UNSPECIFIED: _ClassVar[Unit]
    UNIT_SECOND: _ClassVar[Unit]
    UNIT_MINUTE: _ClassVar[Unit]
    UNIT_HOUR: _ClassVar[Unit]
    UNIT_DAY: _ClassVar[Unit]
    UNIT_WEEK: _ClassVar[Unit]
    UNIT_MONTH: _ClassVar[Unit]
    UNIT_YEAR: _ClassVar[Unit]

class StoreFailurePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORE_FAILURE_POLICY_UNSPECIFIED: _ClassVar[StoreFailurePolicy]
    STORE_FAILURE_POLICY_ALLOW: _ClassVar[StoreFailurePolicy]
    STORE_FAILURE_POLICY_DENY: _ClassVar[StoreFailurePolicy]
    STORE_FAILURE_POLICY_LOCAL: _ClassVar[StoreFailurePolicy]

class MatchKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_KIND_UNSPECIFIED: _ClassVar[MatchKind]
    MATCH_KIND_EXACT: _ClassVar[MatchKind]
    MATCH_KIND_WILDCARD: _ClassVar[MatchKind]
    MATCH_KIND_KEY: _ClassVar[MatchKind]
    MATCH_KIND_OVERRIDE: _ClassVar[MatchKind]
ALGORITHM_UNSPECIFIED: Algorithm
ALGORITHM_TOKEN_BUCKET: Algorithm
ALGORITHM_SLIDING_WINDOW: Algorithm
ALGORITHM_FIXED_WINDOW: Algorithm
UNIT_UNSPECIFIED: Unit
UNIT_SECOND: Unit
UNIT_MINUTE: Unit
UNIT_HOUR: Unit
UNIT_DAY: Unit
UNIT_WEEK: Unit
UNIT_MONTH: Unit
UNIT_YEAR: Unit
STORE_FAILURE_POLICY_UNSPECIFIED: StoreFailurePolicy
STORE_FAILURE_POLICY_ALLOW: StoreFailurePolicy
STORE_FAILURE_POLICY_DENY: StoreFailurePolicy
STORE_FAILURE_POLICY_LOCAL: StoreFailurePolicy
MATCH_KIND_UNSPECIFIED: MatchKind
MATCH_KIND_EXACT: MatchKind
MATCH_KIND_WILDCARD: MatchKind
MATCH_KIND_KEY: MatchKind
MATCH_KIND_OVERRIDE: MatchKind

class RuleLevel(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("rule", "domain", "name", "levels", "algorithm", "limit", "unit", "unit_multiplier", "burst", "unlimited", "shadow_mode", "quota_mode", "postpaid", "replaces", "on_store_failure", "file", "line", "time_zone", "share_threshold", "shard_by", "lease", "schedule")
    RULE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    UNIT_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    UNLIMITED_FIELD_NUMBER: _ClassVar[int]
    SHADOW_MODE_FIELD_NUMBER: _ClassVar[int]
    QUOTA_MODE_FIELD_NUMBER: _ClassVar[int]
    POSTPAID_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    ON_STORE_FAILURE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    SHARE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SHARD_BY_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    domain: str
    name: str
    levels: _containers.RepeatedCompositeFieldContainer[RuleLevel]
    algorithm: Algorithm
    limit: int
    unit: Unit
    unit_multiplier: int
    burst: int
    unlimited: bool
    shadow_mode: bool
    quota_mode: bool
    postpaid: bool
    replaces: _containers.RepeatedScalarFieldContainer[str]
    on_store_failure: StoreFailurePolicy
    file: str
    line: int
    time_zone: str
    share_threshold: bool
    shard_by: str
    lease: Lease
    schedule: _containers.RepeatedCompositeFieldContainer[Shift]
    def __init__(self, rule: _Optional[str] = ..., domain: _Optional[str] = ..., name: _Optional[str] = ..., levels: _Optional[_Iterable[_Union[RuleLevel, _Mapping]]] = ..., algorithm: _Optional[_Union[Algorithm, str]] = ..., limit: _Optional[int] = ..., unit: _Optional[_Union[Unit, str]] = ..., unit_multiplier: _Optional[int] = ..., burst: _Optional[int] = ..., unlimited: _Optional[bool] = ..., shadow_mode: _Optional[bool] = ..., quota_mode: _Optional[bool] = ..., postpaid: _Optional[bool] = ..., replaces: _Optional[_Iterable[str]] = ..., on_store_failure: _Optional[_Union[StoreFailurePolicy, str]] = ..., file: _Optional[str] = ..., line: _Optional[int] = ..., time_zone: _Optional[str] = ..., share_threshold: _Optional[bool] = ..., shard_by: _Optional[str] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., schedule: _Optional[_Iterable[_Union[Shift, _Mapping]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("max_share", "max_duration")
    MAX_SHARE_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    max_share: float
    max_duration: _duration_pb2.Duration
    def __init__(self, max_share: _Optional[float] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Shift(_message.Message):
    __slots__ = ("days", "start_minute", "end_minute", "time_zone", "limit", "burst")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    START_MINUTE_FIELD_NUMBER: _ClassVar[int]
    END_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedScalarFieldContainer[int]
    start_minute: int
    end_minute: int
    time_zone: str
    limit: int
    burst: int
    def __init__(self, days: _Optional[_Iterable[int]] = ..., start_minute: _Optional[int] = ..., end_minute: _Optional[int] = ..., time_zone: _Optional[str] = ..., limit: _Optional[int] = ..., burst: _Optional[int] = ...) -> None: ...

class EntryMatch(_message.Message):
    __slots__ = ("index", "kind", "level")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    index: int
    kind: MatchKind
    level: RuleLevel
    def __init__(self, index: _Optional[int] = ..., kind: _Optional[_Union[MatchKind, str]] = ..., level: _Optional[_Union[RuleLevel, _Mapping]] = ...) -> None: ...

class Match(_message.Message):
    __slots__ = ("rule", "algorithm", "limit", "burst", "unit", "unit_multiplier", "key", "balance", "would_be", "reset_in", "unlimited", "shadow_mode", "quota_mode", "entries", "name", "replaces")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    UNIT_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    WOULD_BE_FIELD_NUMBER: _ClassVar[int]
    RESET_IN_FIELD_NUMBER: _ClassVar[int]
    UNLIMITED_FIELD_NUMBER: _ClassVar[int]
    SHADOW_MODE_FIELD_NUMBER: _ClassVar[int]
    QUOTA_MODE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    rule: str
    algorithm: Algorithm
    limit: int
    burst: int
    unit: Unit
    unit_multiplier: int
    key: str
    balance: int
    would_be: _rls_pb2.RateLimitResponse.Code
    reset_in: _duration_pb2.Duration
    unlimited: bool
    shadow_mode: bool
    quota_mode: bool
    entries: _containers.RepeatedCompositeFieldContainer[EntryMatch]
    name: str
    replaces: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., algorithm: _Optional[_Union[Algorithm, str]] = ..., limit: _Optional[int] = ..., burst: _Optional[int] = ..., unit: _Optional[_Union[Unit, str]] = ..., unit_multiplier: _Optional[int] = ..., key: _Optional[str] = ..., balance: _Optional[int] = ..., would_be: _Optional[_Union[_rls_pb2.RateLimitResponse.Code, str]] = ..., reset_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unlimited: _Optional[bool] = ..., shadow_mode: _Optional[bool] = ..., quota_mode: _Optional[bool] = ..., entries: _Optional[_Iterable[_Union[EntryMatch, _Mapping]]] = ..., name: _Optional[str] = ..., replaces: _Optional[_Iterable[str]] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("rule", "capacity", "remaining", "full_in")
    RULE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    FULL_IN_FIELD_NUMBER: _ClassVar[int]
    rule: str
    capacity: int
    remaining: int
    full_in: _duration_pb2.Duration
    def __init__(self, rule: _Optional[str] = ..., capacity: _Optional[int] = ..., remaining: _Optional[int] = ..., full_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ConfigFile(_message.Message):
    __slots__ = ("name", "sha256", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    sha256: str
    error: str
    def __init__(self, name: _Optional[str] = ..., sha256: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class HotKey(_message.Message):
    __slots__ = ("descriptor", "rule", "hits_per_second", "over_limit_share", "domain")
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    HITS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    OVER_LIMIT_SHARE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    descriptor: _ratelimit_pb2.RateLimitDescriptor
    rule: str
    hits_per_second: float
    over_limit_share: float
    domain: str
    def __init__(self, descriptor: _Optional[_Union[_ratelimit_pb2.RateLimitDescriptor, _Mapping]] = ..., rule: _Optional[str] = ..., hits_per_second: _Optional[float] = ..., over_limit_share: _Optional[float] = ..., domain: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("domain", "descriptor")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    domain: str
    descriptor: _ratelimit_pb2.RateLimitDescriptor
    def __init__(self, domain: _Optional[str] = ..., descriptor: _Optional[_Union[_ratelimit_pb2.RateLimitDescriptor, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("matches", "unmatched_reason")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_REASON_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[Match]
    unmatched_reason: str
    def __init__(self, matches: _Optional[_Iterable[_Union[Match, _Mapping]]] = ..., unmatched_reason: _Optional[str] = ...) -> None: ...

class GetBalanceRequest(_message.Message):
    __slots__ = ("domain", "descriptor")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    domain: str
    descriptor: _ratelimit_pb2.RateLimitDescriptor
    def __init__(self, domain: _Optional[str] = ..., descriptor: _Optional[_Union[_ratelimit_pb2.RateLimitDescriptor, _Mapping]] = ...) -> None: ...

class GetBalanceResponse(_message.Message):
    __slots__ = ("balances",)
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("domain", "descriptor")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    domain: str
    descriptor: _ratelimit_pb2.RateLimitDescriptor
    def __init__(self, domain: _Optional[str] = ..., descriptor: _Optional[_Union[_ratelimit_pb2.RateLimitDescriptor, _Mapping]] = ...) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ("balances",)
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ...) -> None: ...

class GrantRequest(_message.Message):
    __slots__ = ("domain", "descriptor", "hits", "expire_in")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_IN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    descriptor: _ratelimit_pb2.RateLimitDescriptor
    hits: int
    expire_in: _duration_pb2.Duration
    def __init__(self, domain: _Optional[str] = ..., descriptor: _Optional[_Union[_ratelimit_pb2.RateLimitDescriptor, _Mapping]] = ..., hits: _Optional[int] = ..., expire_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GrantResponse(_message.Message):
    __slots__ = ("balances",)
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ...) -> None: ...

class ListRulesRequest(_message.Message):
    __slots__ = ("domain", "filter", "page_size", "page_token")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    filter: str
    page_size: int
    page_token: str
    def __init__(self, domain: _Optional[str] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRulesResponse(_message.Message):
    __slots__ = ("rules", "next_page_token")
    RULES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    next_page_token: str
    def __init__(self, rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConfigResponse(_message.Message):
    __slots__ = ("generation", "load_time", "files")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    generation: int
    load_time: _timestamp_pb2.Timestamp
    files: _containers.RepeatedCompositeFieldContainer[ConfigFile]
    def __init__(self, generation: _Optional[int] = ..., load_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., files: _Optional[_Iterable[_Union[ConfigFile, _Mapping]]] = ...) -> None: ...

class ListHotKeysRequest(_message.Message):
    __slots__ = ("domain", "page_size")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    page_size: int
    def __init__(self, domain: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListHotKeysResponse(_message.Message):
    __slots__ = ("keys", "window")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[HotKey]
    window: _duration_pb2.Duration
    def __init__(self, keys: _Optional[_Iterable[_Union[HotKey, _Mapping]]] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

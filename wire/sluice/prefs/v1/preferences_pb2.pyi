import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Source(_message.Message):
    __slots__ = ("layer",)
    class Layer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LAYER_UNSPECIFIED: _ClassVar[Source.Layer]
        LAYER_SYSTEM: _ClassVar[Source.Layer]
        LAYER_TENANT: _ClassVar[Source.Layer]
        LAYER_USER: _ClassVar[Source.Layer]
        LAYER_DEVICE: _ClassVar[Source.Layer]
    LAYER_UNSPECIFIED: Source.Layer
    LAYER_SYSTEM: Source.Layer
    LAYER_TENANT: Source.Layer
    LAYER_USER: Source.Layer
    LAYER_DEVICE: Source.Layer
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: Source.Layer
    def __init__(self, layer: _Optional[_Union[Source.Layer, str]] = ...) -> None: ...

class Preferences(_message.Message):
    __slots__ = ("user_id", "values", "revision", "etag", "update_time", "expire_time", "sources", "value_expire_times", "field_revisions")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Source
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...
    class ValueExpireTimesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _timestamp_pb2.Timestamp
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class FieldRevisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    VALUE_EXPIRE_TIMES_FIELD_NUMBER: _ClassVar[int]
    FIELD_REVISIONS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    values: _containers.MessageMap[str, _struct_pb2.Value]
    revision: int
    etag: str
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    sources: _containers.MessageMap[str, Source]
    value_expire_times: _containers.MessageMap[str, _timestamp_pb2.Timestamp]
    field_revisions: _containers.ScalarMap[str, int]
    def __init__(self, user_id: _Optional[str] = ..., values: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., revision: _Optional[int] = ..., etag: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sources: _Optional[_Mapping[str, Source]] = ..., value_expire_times: _Optional[_Mapping[str, _timestamp_pb2.Timestamp]] = ..., field_revisions: _Optional[_Mapping[str, int]] = ...) -> None: ...

class GetPreferencesRequest(_message.Message):
    __slots__ = ("user_id", "tenant_id", "device_id", "read_mask", "known_etag", "max_staleness")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    KNOWN_ETAG_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    tenant_id: str
    device_id: str
    read_mask: _field_mask_pb2.FieldMask
    known_etag: str
    max_staleness: _duration_pb2.Duration
    def __init__(self, user_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., device_id: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., known_etag: _Optional[str] = ..., max_staleness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetPreferencesResponse(_message.Message):
    __slots__ = ("preferences", "not_modified", "age")
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    NOT_MODIFIED_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    preferences: Preferences
    not_modified: bool
    age: _duration_pb2.Duration
    def __init__(self, preferences: _Optional[_Union[Preferences, _Mapping]] = ..., not_modified: _Optional[bool] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BatchGetPreferencesRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[GetPreferencesRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[GetPreferencesRequest, _Mapping]]] = ...) -> None: ...

class BatchGetPreferencesResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[GetPreferencesResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[GetPreferencesResponse, _Mapping]]] = ...) -> None: ...

class UpdatePreferencesRequest(_message.Message):
    __slots__ = ("preferences", "update_mask", "etag", "field_revisions", "ttl", "value_ttls", "request_id", "validate_only", "tenant_id", "device_id")
    class FieldRevisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ValueTtlsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _duration_pb2.Duration
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FIELD_REVISIONS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    VALUE_TTLS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    preferences: Preferences
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    field_revisions: _containers.ScalarMap[str, int]
    ttl: _duration_pb2.Duration
    value_ttls: _containers.MessageMap[str, _duration_pb2.Duration]
    request_id: str
    validate_only: bool
    tenant_id: str
    device_id: str
    def __init__(self, preferences: _Optional[_Union[Preferences, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., field_revisions: _Optional[_Mapping[str, int]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., value_ttls: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., tenant_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class DeletePreferencesRequest(_message.Message):
    __slots__ = ("user_id", "etag", "erase")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    etag: str
    erase: bool
    def __init__(self, user_id: _Optional[str] = ..., etag: _Optional[str] = ..., erase: _Optional[bool] = ...) -> None: ...

class DeletePreferencesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchPreferencesRequest(_message.Message):
    __slots__ = ("user_id", "known_revision", "unsubscribe", "tenant_id", "device_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_REVISION_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    known_revision: int
    unsubscribe: bool
    tenant_id: str
    device_id: str
    def __init__(self, user_id: _Optional[str] = ..., known_revision: _Optional[int] = ..., unsubscribe: _Optional[bool] = ..., tenant_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class WatchPreferencesResponse(_message.Message):
    __slots__ = ("preferences", "snapshot", "send_time", "stale", "erased")
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    preferences: Preferences
    snapshot: bool
    send_time: _timestamp_pb2.Timestamp
    stale: bool
    erased: bool
    def __init__(self, preferences: _Optional[_Union[Preferences, _Mapping]] = ..., snapshot: _Optional[bool] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale: _Optional[bool] = ..., erased: _Optional[bool] = ...) -> None: ...

class GetSchemaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSchemaResponse(_message.Message):
    __slots__ = ("json_schema", "preferences", "closed", "generation")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    json_schema: _struct_pb2.Struct
    preferences: _containers.RepeatedCompositeFieldContainer[PreferenceSpec]
    closed: bool
    generation: int
    def __init__(self, json_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., preferences: _Optional[_Iterable[_Union[PreferenceSpec, _Mapping]]] = ..., closed: _Optional[bool] = ..., generation: _Optional[int] = ...) -> None: ...

class PreferenceSpec(_message.Message):
    __slots__ = ("key", "json_schema", "defaults", "sensitive", "description")
    class DefaultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    key: str
    json_schema: _struct_pb2.Struct
    defaults: _containers.MessageMap[str, _struct_pb2.Value]
    sensitive: bool
    description: str
    def __init__(self, key: _Optional[str] = ..., json_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., defaults: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., sensitive: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

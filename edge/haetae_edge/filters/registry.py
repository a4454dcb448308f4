"""The filters route files can name. One line in `_CLASSES` registers a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from haetae_edge.filter import Filter
from haetae_edge.filters.add_request_header import AddRequestHeader
from haetae_edge.filters.add_response_header import AddResponseHeader
from haetae_edge.filters.app_channel import AppChannel
from haetae_edge.filters.block import Block
from haetae_edge.filters.cors import Cors
from haetae_edge.filters.csrf import Csrf
from haetae_edge.filters.introspect import Introspect
from haetae_edge.filters.mtls_identity import MtlsIdentity
from haetae_edge.filters.oidc_session import OidcSession
from haetae_edge.filters.passport import Passport
from haetae_edge.filters.prefix_path import PrefixPath
from haetae_edge.filters.remove_request_header import RemoveRequestHeader
from haetae_edge.filters.request_rate_limiter import RequestRateLimiter
from haetae_edge.filters.sanitize import Sanitize
from haetae_edge.filters.strip_prefix import StripPrefix
from haetae_edge.filters.timeout import Timeout
from haetae_edge.filters.trace import Trace
from haetae_edge.filters.verify_jwt import VerifyJwt

_CLASSES: Final[tuple[type[Filter], ...]] = (
    AddRequestHeader,
    AddResponseHeader,
    AppChannel,
    Block,
    Cors,
    Csrf,
    Introspect,
    MtlsIdentity,
    OidcSession,
    Passport,
    PrefixPath,
    RemoveRequestHeader,
    RequestRateLimiter,
    Sanitize,
    StripPrefix,
    Timeout,
    Trace,
    VerifyJwt,
)

FILTERS: Final[Mapping[str, type[Filter]]] = {cls.__name__: cls for cls in _CLASSES}

#: Running one of these twice would be wrong (a nonce claimed twice, two Passports): a route's own replaces
#: the default.
ONCE_PER_ROUTE: Final = frozenset(
    {
        "AppChannel",
        "Block",
        "Cors",
        "Csrf",
        "Introspect",
        "MtlsIdentity",
        "OidcSession",
        "Passport",
        "RequestRateLimiter",
        "Sanitize",
        "Trace",
        "VerifyJwt",
    }
)

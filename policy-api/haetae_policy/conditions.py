"""The API conditions of policies, compiled once per distinct condition."""

from typing import Final

from haetae_policy.facts import ApiFacts
from haetae_policy.model import Api
from haetae_policy.paths import compile_path

_METHODS: Final = {"GET": ("GET", "HEAD")}


class ApiCondition:
    """A compiled `Api`. A condition on GET holds for HEAD too: it tells the same (RFC 9110 section 9.3.2)."""

    __slots__ = ("_gateway", "_methods", "_path", "_route")

    def __init__(self, api: Api) -> None:
        """Compile `api`; raises PathPatternInvalid."""
        self._gateway = api.gateway
        self._route = api.route
        self._methods = None if api.method is None else _METHODS.get(api.method, (api.method,))
        self._path = None if api.path is None else compile_path(api.path).matches

    def matches(self, api: ApiFacts) -> bool:
        """Tell whether every condition that is set holds."""
        return (
            (self._route is None or self._route == api.route)
            and (self._methods is None or api.method in self._methods)
            and (self._gateway is None or self._gateway == api.gateway)
            and (self._path is None or self._path(api.path))
        )

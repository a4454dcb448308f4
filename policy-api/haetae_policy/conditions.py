"""The API conditions of policies, compiled once per distinct condition."""

from haetae_policy.facts import ApiFacts
from haetae_policy.model import Api
from haetae_policy.paths import compile_path


class ApiCondition:
    """A compiled `Api`."""

    __slots__ = ("_gateway", "_method", "_path", "_route")

    def __init__(self, api: Api) -> None:
        """Compile `api`; raises PathPatternInvalid."""
        self._gateway = api.gateway
        self._route = api.route
        self._method = api.method
        self._path = None if api.path is None else compile_path(api.path).matches

    def matches(self, api: ApiFacts) -> bool:
        """Tell whether every condition that is set holds."""
        return (
            (self._route is None or self._route == api.route)
            and (self._method is None or self._method == api.method)
            and (self._gateway is None or self._gateway == api.gateway)
            and (self._path is None or self._path(api.path))
        )

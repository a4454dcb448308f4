"""What the gateway itself answers: the keys that others need to trust it.

`/.well-known/haetae/app-keys` (app channel section 6) and `/.well-known/haetae/passport-jwks.json`. Public, cacheable
for a short time, rendered once per key change. Endpoints of more than a document (signing in) are mounted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from haetae_edge.exchange import Response, Send
from haetae_edge.request import Request

APP_KEYS_PATH: Final = "/.well-known/haetae/app-keys"
_MAX_AGE: Final = 60


class WellKnown:
    """Documents by exact path; `publish` replaces one."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._find: Callable[[Request], Send | None] | None = None
        self._cache = b"public, max-age=%d" % _MAX_AGE

    def publish(self, path: str, document: bytes) -> None:
        """Serve `document` (UTF-8 JSON) at `path` from now on."""
        self._documents[path] = document

    def mount(self, find: Callable[[Request], Send | None]) -> None:
        """Let `find` name the endpoint of a request that the gateway itself answers, before any route is looked for.

        Raises RuntimeError when there is one already.
        """
        if self._find is not None:
            raise RuntimeError("the gateway has its own endpoints already")
        self._find = find

    def endpoint(self, request: Request) -> Send | None:
        """What answers this request instead of a route, or None."""
        return self._find(request) if self._find is not None else None

    def answer(self, request: Request) -> Response | None:
        """The document for a GET or HEAD of its path, None for everything else."""
        document = self._documents.get(request.target.path)
        if document is None or request.method not in ("GET", "HEAD"):
            return None
        return Response(
            status=200,
            fields=[(b"content-type", b"application/json"), (b"cache-control", self._cache)],
            body=document,
        )

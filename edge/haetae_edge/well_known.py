"""What the gateway itself answers: the keys that others need to trust it.

`/.well-known/haetae/app-keys` (app channel section 6) and `/.well-known/haetae/passport-jwks.json`. Public, cacheable
for a short time, rendered once per key change.
"""

from __future__ import annotations

from typing import Final

from haetae_edge.exchange import Response
from haetae_edge.request import Request

APP_KEYS_PATH: Final = "/.well-known/haetae/app-keys"
_MAX_AGE: Final = 60


class WellKnown:
    """Documents by exact path; `publish` replaces one."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._cache = b"public, max-age=%d" % _MAX_AGE

    def publish(self, path: str, document: bytes) -> None:
        """Serve `document` (UTF-8 JSON) at `path` from now on."""
        self._documents[path] = document

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

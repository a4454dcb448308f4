"""A browser for the tour: navigates, follows redirects, fills in forms, keeps cookies per host.

Rules kept: cookies with ``Secure`` go to ``*.localhost`` over plain HTTP, as browsers allow for loopback and HTTP
clients do not; redirects are bounded and stay on this machine; headers are those of a navigation. Runs no scripts: a
page that only leads on is followed by its link.
"""

import html
import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urljoin, urlsplit

import aiohttp

MAX_HOPS = 12
MAX_PAGE = 512 * 1024
_ONWARD = re.compile(r'<a id="continue" href="([^"]+)"')
_FORM = re.compile(r'<form[^>]*method="post" action="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Upgrade-Insecure-Requests": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where the browser is."""

    url: str
    status: int
    text: str

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc


@dataclass(slots=True, kw_only=True)
class Browser:
    """One person's. ``session`` finds ``*.localhost`` and keeps no cookies."""

    session: aiohttp.ClientSession
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    async def visit(self, url: str) -> Page:
        """Go somewhere, as if typed into the address bar."""
        return await self._go("GET", url, site="none")

    async def submit(self, page: Page, **fields: str) -> Page:
        """Send the form of ``page`` with its hidden fields and these.

        Raises:
            ValueError: the page has no form.
        """
        found = _FORM.search(page.text)
        if found is None:
            raise ValueError(f"{page.host} shows no form ({page.status})")
        hidden = {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
        target = urljoin(page.url, html.unescape(found[1]))
        return await self._go("POST", target, form=hidden | fields, site="same-origin")

    def cookie_header(self, url: str) -> dict[str, str]:
        """The Cookie header for a request to ``url``."""
        kept = self.cookies.get(urlsplit(url).hostname or "", {})
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in kept.items())} if kept else {}

    async def _go(self, method: str, url: str, *, form: dict[str, str] | None = None, site: str) -> Page:
        for _ in range(MAX_HOPS):
            headers = {**_NAVIGATION, **self.cookie_header(url), "Sec-Fetch-Site": site}
            if method == "POST":
                parts = urlsplit(url)
                headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
            async with self.session.request(
                method, url, data=form, headers=headers, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=10)
            ) as answer:
                self._keep(url, answer.headers.getall("Set-Cookie", []))
                text = (await answer.content.read(MAX_PAGE)).decode("utf-8", "replace")
                while more := await answer.content.read(MAX_PAGE):
                    text = (text + more.decode("utf-8", "replace"))[:MAX_PAGE]
                onward = answer.headers.get("Location") if 300 <= answer.status < 400 else None
                status = answer.status
            link = _ONWARD.search(text)
            if onward is None and link is not None and status == 200:
                onward = html.unescape(link[1])
            if onward is None:
                return Page(url=url, status=status, text=text)
            before, url = url, urljoin(url, onward)
            _must_be_here(url)
            site = "same-origin" if urlsplit(before).netloc == urlsplit(url).netloc else "cross-site"
            method, form = "GET", None
        raise ValueError(f"more than {MAX_HOPS} redirects")

    def _keep(self, url: str, lines: list[str]) -> None:
        jar = self.cookies.setdefault(urlsplit(url).hostname or "", {})
        for line in lines:
            try:
                morsels = SimpleCookie(line)
            except CookieError:
                continue
            for name, morsel in morsels.items():
                if morsel["max-age"] == "0" or not morsel.value or "1970" in morsel["expires"]:
                    jar.pop(name, None)
                else:
                    jar[name] = morsel.value


def _must_be_here(url: str) -> None:
    host = urlsplit(url).hostname or ""
    if host not in ("127.0.0.1", "localhost") and not host.endswith(".localhost"):
        raise ValueError(f"was sent to {host}")

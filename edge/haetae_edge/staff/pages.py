"""The gateway's own pages: small, without anything from elsewhere, safe to show whatever a provider or a user sent.

Every text is escaped; scripts and styles run by a nonce that no other page has (CSP level 3); nobody may frame a page
or learn its address from a Referer. The scripts do one thing: keep the part of an address after `#`, which browsers
never send, across a sign-in.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

from haetae_edge.exchange import Fields, Response
from haetae_edge.staff.words import say

_STYLE: Final = (
    ":root{color-scheme:light dark;--line:#d5d9e0;--soft:#5b6472;--strong:#1f4fd8}"
    "@media(prefers-color-scheme:dark){:root{--line:#3a404b;--soft:#a5adba;--strong:#8fb0ff}}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.55 system-ui,sans-serif}"
    "main{box-sizing:border-box;width:min(36rem,100vw);padding:2rem 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}p{margin:.5rem 0}small,.soft{color:var(--soft)}"
    "ul{list-style:none;padding:0;margin:1.25rem 0}li{border:1px solid var(--line);border-radius:.6rem;margin:.6rem 0}"
    "li a{display:block;padding:.8rem 1rem;text-decoration:none;color:inherit}li a:hover{background:#8882}"
    "li b{color:var(--strong);display:block}.do{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}"
    ".do a,button{font:inherit;padding:.55rem 1.1rem;border-radius:.5rem;border:1px solid var(--line);color:inherit;"
    "background:none;text-decoration:none;cursor:pointer}button{background:var(--strong);border-color:transparent;"
    "color:Canvas}:focus-visible{outline:3px solid var(--strong);outline-offset:2px}code{word-break:break-all}"
)
#: To the provider: keep the fragment under the sign-in's state, then go.
_LEAVE: Final = (
    "const d=document.currentScript.dataset;"
    "try{if(location.hash)sessionStorage.setItem('haetae:'+d.state,location.hash)}catch(e){}"
    "location.replace(d.to)"
)
#: Back to the tool: with the fragment that was kept for this sign-in, once.
_RETURN: Final = (
    "const d=document.currentScript.dataset;let h='';"
    "try{const k='haetae:'+d.state;h=sessionStorage.getItem(k)||'';sessionStorage.removeItem(k)}catch(e){}"
    "location.replace(d.to+h)"
)
_GUARDS: Final[Fields] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"vary", b"Cookie, Accept, Accept-Language, Sec-Fetch-Mode"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One entry of the landing page; `url` is an origin of the configuration."""

    url: str
    title: str
    description: str


class Pages:
    """Makes pages in one language with one nonce."""

    def __init__(self, *, nonce: bytes, language: str) -> None:
        self._nonce = base64.b64encode(nonce).decode("ascii")
        self._language = language

    def leave(self, *, to: str, state: str) -> Response:
        """On the way to the provider. Works without a script, too; only the fragment is lost then."""
        return self._go("signing-in-text", _LEAVE, to=to, state=state)

    def come_back(self, *, to: str, state: str) -> Response:
        """On the way back to the tool; `to` has no fragment."""
        return self._go("returning-text", _RETURN, to=to, state=state)

    def landing(self, *, name: str, tools: Iterable[Tool]) -> Response:
        """The tools that a person may open."""
        rows = "".join(
            f'<li><a href="{escape(tool.url)}/"><b>{escape(tool.title)}</b>'
            f'<span class="soft">{escape(tool.description)}</span></a></li>'
            for tool in tools
        )
        listing = f"<ul>{rows}</ul>" if rows else f"<p>{self._say('no-tools')}</p>"
        who = f'<p class="soft">{self._say("signed-in-as")} {escape(name)}</p>'
        return self._page(200, self._say("tools"), f"{who}{listing}{self._sign_out()}")

    def ask_sign_out(self) -> Response:
        """A GET changes nothing: it asks."""
        stay = f'<a href="/.haetae/">{self._say("stay")}</a>'
        body = f"<p>{self._say('sign-out-question')}</p>{self._sign_out(stay)}"
        return self._page(200, self._say("sign-out"), body)

    def signed_out(self) -> Response:
        """After it."""
        again = f'<p class="do"><a href="/.haetae/">{self._say("sign-in-again")}</a></p>'
        return self._page(200, self._say("signed-out"), f"<p>{self._say('signed-out-text')}</p>{again}")

    def problem(self, *, status: int, code: str, title: str, reference: str, again: str | None) -> Response:
        """A refusal, for a person. `again` is a path to go to, None when that would not help."""
        links = f'<a href="{escape(again)}">{self._say("try-again")}</a>' if again is not None else ""
        body = (
            f'<p class="do">{links}<a href="/.haetae/">{self._say("all-tools")}</a></p>'
            f"<p><small>{self._say('reference')}: <code>{escape(reference)}</code></small></p>"
        )
        return self._page(status, escape(say(code, self._language, title)), body)

    def _go(self, text: str, script: str, *, to: str, state: str) -> Response:
        target = escape(to)
        head = f'<noscript><meta http-equiv="refresh" content="0;url={target}"></noscript>'
        body = (
            f'<p>{self._say(text)}</p><p class="do"><a id="continue" href="{target}">{self._say("continue")}</a></p>'
            f'<script nonce="{self._nonce}" data-to="{target}" data-state="{escape(state)}">{script}</script>'
        )
        return self._page(200, self._say("signing-in"), body, head=head)

    def _sign_out(self, beside: str = "") -> str:
        button = f"<button>{self._say('sign-out')}</button>"
        return f'<form class="do" method="post" action="/.haetae/logout">{button}{beside}</form>'

    def _say(self, key: str) -> str:
        return escape(say(key, self._language))

    def _page(self, status: int, title: str, body: str, *, head: str = "") -> Response:
        """A whole page; `title`, `body` and `head` are HTML already.

        There is no `form-action`: browsers hold it against the redirects that follow a form, and where a provider
        sends a browser after signing out is not known here.
        """
        html = (
            f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<title>{title}</title>{head}<style nonce="{self._nonce}">{_STYLE}</style></head>'
            f"<body><main><h1>{title}</h1>{body}</main></body></html>"
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{self._nonce}'; style-src 'nonce-{self._nonce}'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        return Response(
            status=status,
            fields=[*_GUARDS, (b"content-security-policy", policy.encode("ascii"))],
            body=html.encode("utf-8"),
        )

"""The provider's pages, in English and Korean, as plain HTML without scripts.

Rules kept: everything that came from outside is escaped; no script, no foreign resource; each field has a
label, errors are announced, and focus starts where typing does. Says on every page that this is for
development only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from haetae_demo.provider.words import WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page knows: its language and the tokens of its form."""

    language: str
    csrf: str = ""
    request: str = ""

    def word(self, key: str, /, **values: str) -> str:
        """A phrase in the page's language, safe for HTML."""
        return escape(WORDS[self.language][key].format(**values))


def language_of(accept: str, asked: str | None) -> str:
    """``ko`` or ``en``: what the client asks for (``ui_locales``), else the browser's first wish we know."""
    wishes = (asked or "").split() + [part.split(";")[0].strip() for part in accept[:500].split(",")]
    for wish in wishes:
        code = wish.lower().partition("-")[0]
        if code in WORDS:
            return code
    return "en"


def sign_in(page: Page, *, application: str, username: str = "", error: str | None = None) -> str:
    """Name and password."""
    focus = ("", " autofocus") if username else (" autofocus", "")
    body = f"""
<h1>{page.word("sign_in")}</h1>
<p class="to">{page.word("to_use", application=application)}</p>
{_error(page, error)}
<form method="post" action="/sign-in" autocomplete="on">
{_hidden(page)}
<label for="username">{page.word("username")}</label>
<input id="username" name="username" value="{escape(username)}" required maxlength="100" autocomplete="username"
 autocapitalize="none" spellcheck="false"{focus[0]}{_described(error)}>
<label for="password">{page.word("password")}</label>
<input id="password" name="password" type="password" required maxlength="200"
 autocomplete="current-password"{focus[1]}{_described(error)}>
<button type="submit">{page.word("continue")}</button>
</form>"""
    return _document(page, title=page.word("sign_in"), body=body)


def second_step(page: Page, *, name: str, code: str, error: str | None = None) -> str:
    """A one-time code, which this page shows too: there is no telephone in a demo."""
    described = "shown error" if error else "shown"
    body = f"""
<h1>{page.word("second_step")}</h1>
<p class="to">{page.word("second_step_why", name=name)}</p>
<p class="code" id="shown">{page.word("code_shown")} <output>{escape(code)}</output></p>
{_error(page, error)}
<form method="post" action="/one-time-code" autocomplete="off">
{_hidden(page)}
<label for="code">{page.word("one_time_code")}</label>
<input id="code" name="code" inputmode="numeric" pattern="[0-9]{{6}}" required maxlength="6"
 autocomplete="one-time-code" autofocus aria-describedby="{described}">
<button type="submit">{page.word("confirm")}</button>
</form>"""
    return _document(page, title=page.word("second_step"), body=body)


def sign_out(page: Page, *, name: str) -> str:
    """Asks before it ends a sign-in that nobody proved a wish to end."""
    body = f"""
<h1>{page.word("sign_out")}</h1>
<p class="to">{page.word("sign_out_why", name=name)}</p>
<form method="post" action="/logout">
{_hidden(page)}
<button type="submit">{page.word("sign_out")}</button>
</form>"""
    return _document(page, title=page.word("sign_out"), body=body)


def message(page: Page, *, title: str, text: str, values: Mapping[str, str] | None = None) -> str:
    """A page that only says something."""
    body = f"<h1>{page.word(title)}</h1>\n<p class='to'>{page.word(text, **(values or {}))}</p>"
    return _document(page, title=page.word(title), body=body)


def _hidden(page: Page) -> str:
    return (
        f'<input type="hidden" name="request" value="{escape(page.request)}">'
        f'<input type="hidden" name="csrf" value="{escape(page.csrf)}">'
    )


def _error(page: Page, error: str | None) -> str:
    return f'<p class="error" id="error" role="alert">{page.word(error)}</p>' if error else ""


def _described(error: str | None) -> str:
    return ' aria-invalid="true" aria-describedby="error"' if error else ""


def _document(page: Page, *, title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="{page.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title} · Haetae</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<p class="brand"><span class="mark" aria-hidden="true">해</span>{page.word("provider")}</p>
<div class="card">{body}
</div>
<p class="warning">{page.word("development_only")}</p>
</main>
</body>
</html>
"""

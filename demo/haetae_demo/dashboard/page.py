"""The pages of the tools.

Rules kept: everything about a person is escaped; scripts and styles come from files, so that the content security
policy forbids all others. Who is looking was decided elsewhere.
"""

from dataclasses import dataclass
from html import escape

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {socket}; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who is looking; ``source`` says how the tool knows."""

    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    source: str


def dashboard(viewer: Viewer) -> str:
    """Live things of every kind."""
    body = f"""
{_about(viewer)}
{_live("socket", "WebSocket", "ticks, counted by the server")}
{_live("stream", "Event stream", "the server's clock")}
{_live("poll", "Long poll", "news so far")}
<section>
<h2>API</h2>
<span class="state" id="api-state" data-state="waiting">asking</span>
<output class="value" id="api-value">–</output>
<p class="quiet">orders waiting</p>
<p><button type="button" id="ask">Ask again</button></p>
</section>
<section>
<h2>Deep link</h2>
<output class="value" id="fragment-value">–</output>
<p class="quiet">the part of the address that only your browser knows</p>
</section>"""
    return _document("Orders", viewer, body, script=True)


def vault(viewer: Viewer) -> str:
    """What only approvers see."""
    body = f"""
{_about(viewer)}
<section>
<h2>Sealed envelopes</h2>
<output class="value">3</output>
<p class="quiet">waiting for a second approver</p>
</section>"""
    return _document("Vault", viewer, body, script=False)


def policy(host: str) -> str:
    """The content security policy; browsers differ on whether 'self' covers WebSockets, so the host is named."""
    named = all(char.isalnum() or char in ".:-[]" for char in host)
    return POLICY.format(socket=f"ws://{host} wss://{host}" if host and named else "")


def _about(viewer: Viewer) -> str:
    groups = "".join(f"<li>{escape(group)}</li>" for group in viewer.groups)
    return f"""<section class="wide">
<h2>Who you are</h2>
<p><strong id="viewer-name">{escape(viewer.name)}</strong> · <span id="viewer-subject">{escape(viewer.subject)}</span>
 {escape(viewer.email)}</p>
<ul class="groups" aria-label="Groups">{groups}</ul>
<p class="quiet">This tool has no sign-in of its own. It knows you by {escape(viewer.source)}.</p>
</section>"""


def _live(name: str, title: str, what: str) -> str:
    return f"""<section>
<h2>{title}</h2>
<span class="state" id="{name}-state" data-state="waiting" role="status">connecting</span>
<output class="value" id="{name}-value">–</output>
<p class="quiet">{what}</p>
<p class="quiet" id="{name}-note"></p>
</section>"""


def _document(title: str, viewer: Viewer, body: str, *, script: bool) -> str:
    scripted = '<script src="/tool.js" defer></script>' if script else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Haetae demo</title>
<link rel="stylesheet" href="/tool.css">
{scripted}
</head>
<body>
<header>
<h1>{title}</h1>
<div class="who"><span>Signed in as <strong>{escape(viewer.name)}</strong></span>
<a class="button" href="/.haetae/logout">Sign out</a></div>
</header>
<main>{body}
</main>
</body>
</html>
"""

"""The pages that people see. Everything that comes from outside is escaped; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from perdure.patterns.replies import moment
from perdure.patterns.votes import ApprovalState

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;color:#1c1c1e;"
    "background:#fff}h1{font-size:1.4rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}"
    "dt{color:#666}dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}"
    "textarea{width:100%;box-sizing:border-box;font:inherit;padding:.5rem}"
    "button{font:inherit;padding:.6rem 1.4rem;margin:1rem 1rem 0 0;border:1px solid #888;border-radius:.4rem;"
    "cursor:pointer;background:#fff;color:#1c1c1e}button.yes{background:#14713d;border-color:#14713d;color:#fff}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
}
"""Of every answer: not cached, not framed, not followed, and the address, which is the secret, is told to nobody."""


def page(title: str, body: str) -> str:
    """`body` is HTML, `title` is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def message(title: str, text: str) -> str:
    """A page with a sentence."""
    return page(title, f"<p>{escape(text)}</p>")


def question(state: ApprovalState, who: str) -> str:
    """What somebody is to decide, and the form by which they do."""
    request = state.request
    rows = [("Asked by", request.requester), *request.details.items(), ("For", who)]
    rows.append(("Answer by", moment(state.deadline)))
    facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in rows)
    form = (
        '<form method="post"><p><label for="reason">Reason</label><br>'
        '<textarea id="reason" name="reason" rows="3" maxlength="2000"></textarea></p>'
        '<button class="yes" name="do" value="approve">Approve</button>'
        '<button name="do" value="reject">Reject</button></form>'
    )
    return page(request.subject, f"<dl>{facts}</dl>{form}")

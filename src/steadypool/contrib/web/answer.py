"""What is sent back: `Answer`, or a `Refusal` that becomes one; and the headers that every answer has."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str, str], ...]
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: str
    body: bytes
    headers: Headers = ()


class Refusal(Exception):
    """What was asked is not done; the page says why."""

    def __init__(self, status: str, text: str, headers: Headers = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def not_found(what: str = "there is no such page") -> Refusal:
    """It is not there."""
    return Refusal("404 Not Found", what)


def security_headers(style: str, script: str) -> Headers:
    """For a page whose one style sheet and one script have these hashes: nothing else is loaded, run or framed."""
    policy = (
        "default-src 'none'",
        f"style-src 'sha256-{style}'",
        f"script-src 'sha256-{script}'",
        "connect-src 'self'",
        "form-action 'self'",
        "img-src data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    return (
        ("Content-Security-Policy", "; ".join(policy)),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    )

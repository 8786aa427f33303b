"""Whether a change was asked for by one of our own pages.

A browser sends the name and password of HTTP Basic, and the cookies of the application around us, along with whatever
another site has it send. There are no sessions here, so there is no token to compare. What counts is what the browser
says of the page that has sent the form, which no page can change.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.request import Request

DEFAULT_PORTS = {"http": 80, "https": 443}


def check_same_origin(request: Request) -> None:
    """Do nothing if the form came from a page of this server.

    ``Sec-Fetch-Site`` says so; over plain http to another host than this one browsers leave it out, and then the host
    of ``Origin`` must be ``Host``. The scheme is not compared: TLS may end at a proxy.

    Raises:
        Refusal: it did not, or that is not known.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise _foreign("the form was sent by another site")
        return
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if not origin or not host:
        raise _foreign("the browser does not say which page has sent the form (Sec-Fetch-Site, Origin)")
    if not _is_host(origin, host):
        raise _foreign(
            "the form was sent by a page of another host; a proxy in between must pass the Host header on as it is"
        )


def _is_host(origin: str, host: str) -> bool:
    try:
        asked, own = urlsplit(origin), urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(asked.scheme)
        if default is None or not asked.hostname:
            return False
        return (asked.hostname, asked.port or default) == (own.hostname, own.port or default)
    except ValueError:
        return False


def _foreign(why: str) -> Refusal:
    return Refusal("403 Forbidden", f"nothing was changed: {why}")

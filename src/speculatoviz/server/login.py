"""The page that asks a browser for a key: a form without a script."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse
from starlette.types import Receive

MOST_BYTES = 4096  # of the form
_ARRIVES_S = 10.0
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="same-origin">
<title>SpeculatoViz: key</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem }}
h1 {{ font-size: 20px }}
label, input, button {{ display: block; font: inherit }}
input {{ box-sizing: border-box; width: 100%; margin: .25rem 0 1rem; padding: .5rem }}
button {{ padding: .5rem 1rem }}
</style>
<h1>This server needs a key</h1>
{problem}<form method="post">
<label for="key">Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Open the page</button>
</form>
<p>Whoever runs the server can make a key: <code>speculatoviz keys add NAME</code>.</p>
</html>
"""
_WRONG = '<p role="alert">That key is not accepted. Check it, or ask for another one.</p>\n'


def login_page(*, wrong: bool = False) -> HTMLResponse:
    """The page, with status 401. wrong: whether a key was given that is not accepted.

    The form is sent to the address that was opened, which is then shown. Under the policy `no-referrer` of all other
    answers a browser would send it with `Origin: null`, as a form of another website.
    """
    headers = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.format(problem=_WRONG if wrong else ""), 401, headers)


async def given_key(receive: Receive) -> str | None:
    """The key in the body of a request that sends the form; None if there is none, or it does not arrive."""
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(_ARRIVES_S):
            while more and len(body) <= MOST_BYTES:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        return None
    [*_, key] = parse_qs(bytes(body).decode(errors="replace")).get("key", [""])
    return key.strip() or None

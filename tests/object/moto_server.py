#!/usr/bin/env python3
"""moto's server, except for two things that would look like faults of who uses it:

- It tells of all sessions of parts that they were begun in 2010, and a server that sweeps its bucket
  would take each for a leftover. Here they were begun when this process was.
- It answers on many threads and protects nothing. Here requests are read at once, and carried out one
  after the other; one that breaks off has no effect.

    moto_server.py --host HOST --port PORT
"""

import io
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Application
from moto.s3.responses import S3Response
from moto.server import main

MOTOS = "2010-11-10T20:48:33.000Z"
OURS = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")

LOCK = threading.Lock()

motos_listing = S3Response.list_multipart_uploads
motos_call = Application.__call__


def list_multipart_uploads(self: S3Response) -> tuple[int, dict[str, str], str]:
    status, headers, body = motos_listing(self)
    return status, headers, str(body).replace(MOTOS, OURS)


def call(
    self: Application, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise ConnectionError("the client has gone")
    environ["wsgi.input"] = io.BytesIO(body)
    with LOCK:
        return list(motos_call(self, environ, start_response))


S3Response.list_multipart_uploads = list_multipart_uploads
Application.__call__ = call

if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""moto's server, except that parts are as old as they are.

moto says of all sessions of parts that they were begun in 2010, and a server that sweeps its bucket
would take each for a leftover. Here they were begun when this process was.

    moto_server.py --host HOST --port PORT
"""

from datetime import datetime, timezone

from moto.s3.responses import S3Response
from moto.server import main

MOTOS = "2010-11-10T20:48:33.000Z"
OURS = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")

listing = S3Response.list_multipart_uploads


def list_multipart_uploads(self: S3Response) -> tuple[int, dict[str, str], str]:
    status, headers, body = listing(self)
    return status, headers, str(body).replace(MOTOS, OURS)


S3Response.list_multipart_uploads = list_multipart_uploads  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

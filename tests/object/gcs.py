#!/usr/bin/env python3
"""A double of Google Cloud Storage: the XML API as far as the `object_store` crate speaks it.

    gcs.py PORT BUCKET…

Objects live in memory and are gone with the process. Every request is atomic: it is read as a
whole, and carried out under one lock. What matters to an upload is as strict as the real service:
generations and `x-goog-if-generation-match`, parts of at least 5 MiB, tags checked on completion,
part numbers with gaps, no conditions on anything about parts, compositions of at most 32 objects.
No request is signed or refused for want of a signature.

No other emulator serves this: fake-gcs-server and gcp-storage-emulator know no parts in XML, and
the storage-testbench no listing either.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from gcs_bucket import Answer, Bucket, Headers, Refused, element, xml


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    buckets: ClassVar[dict[str, Bucket]] = {}
    lock = threading.Lock()

    def handle_request(self) -> None:
        body = self.read_body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            with self.lock:
                answer = self.dispatch(headers, body)
        except Refused as refused:
            answer = Answer(refused.status)
            if refused.status != 304:
                answer.body = xml("Error", element("Code", refused.code))
                answer.headers["Content-Type"] = "application/xml; charset=UTF-8"
        self.send(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def dispatch(self, headers: Headers, body: bytes) -> Answer:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        name, _, key = url.path.lstrip("/").partition("/")
        name, key = unquote(name), unquote(key)
        if not name:
            return Answer(200)
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refused(404, "NoSuchBucket")
        upload = query.get("uploadId")
        match self.command:
            case "GET" if not key and "uploads" in query:
                return bucket.list_sessions(query)
            case "GET" if not key:
                return bucket.list(query)
            case "GET" if upload is not None:
                return bucket.list_parts(key, upload, query)
            case "GET" | "HEAD":
                return bucket.get(key, headers, head=self.command == "HEAD")
            case "PUT" if upload is not None and "x-goog-copy-source" in headers:
                raise Refused(501, "NotImplemented")
            case "PUT" if upload is not None:
                return bucket.put_part(key, upload, int(query["partNumber"]), body)
            case "PUT" if "compose" in query:
                return bucket.compose(key, body, headers)
            case "PUT" if "x-goog-copy-source" in headers:
                return bucket.copy(key, headers)
            case "PUT" if key:
                return bucket.put(key, body, headers)
            case "POST" if "uploads" in query:
                return bucket.begin(key, headers)
            case "POST" if upload is not None:
                return bucket.complete(key, upload, body)
            case "DELETE" if upload is not None:
                return bucket.abort(key, upload)
            case "DELETE" if key:
                return bucket.delete(key, headers)
        raise Refused(501, "NotImplemented")

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self.chunks())
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # Half a request has no effect.
            raise ConnectionError("the client has gone")
        return body

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            size = len(answer.body) if answer.size is None else answer.size
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    port, *names = sys.argv[1:]
    Handler.buckets = {name: Bucket() for name in names}
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()

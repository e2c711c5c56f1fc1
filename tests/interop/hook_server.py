"""Hook servers for `tus serve --hooks-http`.

    python hook_server.py tusd SERVER.PY [PORT]
    python hook_server.py signed KEY [PORT]

Prints `listening HOST:PORT`, then what happens. `tusd` runs the example of tusd's repository as it is,
but for the port. `signed` believes only what is signed with KEY, by the lines that the documentation of
`hooks::webhook` has, and lets every upload pass.
"""

import base64
import functools
import hashlib
import hmac
import http.server
import json
import runpy
import sys
import time

print = functools.partial(print, flush=True)


class OnFreePort(http.server.HTTPServer):
    def __init__(self, address, handler):
        super().__init__(("127.0.0.1", PORT), handler)
        print("listening {}:{}".format(*self.server_address))


class Signed(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = "webhook-signature" in self.headers and verify(KEY, self.headers, body)
        event = json.loads(body)
        print("known" if known else "unknown", event["Type"], self.headers["webhook-id"])
        self.send_response(200 if known else 403)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")


def verify(key: bytes, headers, body: bytes) -> bool:
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    signatures = headers["webhook-signature"].split()
    return any(hmac.compare_digest(b"v1," + digest, s.encode()) for s in signatures)


kind, what, *port = sys.argv[1:]
PORT = int(port[0]) if port else 0
if kind == "tusd":
    http.server.HTTPServer = OnFreePort
    runpy.run_path(what)
else:
    KEY = what.encode()
    OnFreePort(None, Signed).serve_forever()

"""Hook servers for `tus serve --hooks-http`.

    python hook_server.py tusd SERVER.PY [PORT]
    python hook_server.py signed KEY [PORT]

Prints `listening HOST:PORT`, then what happens. `tusd` runs the example of tusd's repository as it is,
but for the port. `signed` believes only what is signed with KEY, and lets every upload pass; it verifies by
the very lines that the documentation of `hooks::webhook` shows.
"""

import functools
import http.server
import json
import pathlib
import re
import runpy
import sys

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


def documented() -> str:
    """The block of Python in the documentation of `hooks::webhook`."""
    module = pathlib.Path(__file__).parents[2] / "src/hooks/webhook/mod.rs"
    lines = re.findall(r"^//! ?(.*)$", module.read_text("utf-8"), re.MULTILINE)
    (block,) = re.findall(r"^```python\n(.*?)^```", "\n".join(lines), re.MULTILINE | re.DOTALL)
    return block


kind, what, *port = sys.argv[1:]
PORT = int(port[0]) if port else 0
if kind == "tusd":
    http.server.HTTPServer = OnFreePort
    runpy.run_path(what)
else:
    KEY = what.encode()
    exec(documented())  # defines `verify`
    OnFreePort(None, Signed).serve_forever()

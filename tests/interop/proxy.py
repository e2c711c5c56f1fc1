"""A TCP proxy that breaks: it cuts or holds connections after a number of bytes.

    proxy.py UPSTREAM CUT AFTER TIMES [STORAGE]

UPSTREAM  file with the server's `host:port`, read again for each connection
CUT       fin:  ends both sides in good order, as a client does that goes away
          rst:  resets both sides, as a lost network or a killed client does
          hold: stops to forward to the server, on every connection there is, and keeps them open
          none: forwards everything
AFTER     bytes from clients to the server, over all connections, before each cut
TIMES     how many cuts
STORAGE   directory of the server: before rst and hold the bytes have to be there, because what
          the server has not read yet is lost with a reset, and with its process

Prints `listening HOST:PORT`, then `cut BYTES` or `held BYTES` for each cut, and on SIGTERM
`carried BYTES`: all that was forwarded to the server until then. An upload that was really
resumed carries little more than its length; one that began again carries more.
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import termios
import threading
import time

BLOCK = 64 * 1024
# What is not content: the heads of requests.
HEADS = 16 * 1024
# How long to wait for what has to happen.
PATIENCE = 30


def main():
    upstream, cut, after, times, *storage = sys.argv[1:]
    proxy = Proxy(upstream, cut, int(after), int(times), *storage)
    signal.signal(signal.SIGTERM, lambda *_: proxy.end())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        say(f"listening {host}:{port}")
        while True:
            client, _ = listener.accept()
            threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()


class Proxy:
    def __init__(self, upstream, cut, after, times, storage=None):
        self.upstream = upstream
        self.cut = cut
        self.after = after
        self.times = times
        self.storage = storage
        self.cuts = 0
        self.told = 0
        self.carried = 0
        self.lock = threading.Lock()

    def end(self):
        say(f"carried {self.carried}")
        os._exit(0)

    def serve(self, client):
        try:
            with open(self.upstream, encoding="ascii") as file:
                host, port = file.read().strip().rsplit(":", 1)
            server = socket.create_connection((host, int(port)))
        except OSError:
            reset(client)  # nobody there: as a refused connection
            return
        answers = Answers(server, client)
        try:
            ended = self.forward(client, server)
        except OSError:
            ended = "broken"
        if ended == "fin":
            # The client hears of it once the server is done: otherwise it may ask for the
            # offset before that, and send what is there already.
            answers.muted = True
            finish(server)
            answers.join()
            finish(client)
            drain(client)
        elif ended == "rst":
            reset(server)
            reset(client)
        elif ended != "hold":
            finish(server)
        answers.join()
        if ended == "broken":
            reset(client)
        client.close()
        server.close()

    def forward(self, client, server):
        """Forwards until the client ends (None) or it is time for a cut (which one)."""
        begun = self.cuts
        while True:
            room = self.room(begun)
            if room == 0:
                return self.reached(server)
            data = client.recv(min(BLOCK, room or BLOCK))
            if not data:
                return None
            if not self.count(data, begun):
                return self.reached(server)
            server.sendall(data)

    def room(self, begun):
        """Bytes until the next cut, or None if there is none to come."""
        with self.lock:
            if self.held(begun):
                return 0
            if self.cut == "none" or self.cuts == self.times:
                return None
            room = max(0, self.after * (self.cuts + 1) - self.carried)
            if room == 0:
                self.cuts += 1
            return room

    def count(self, data, begun):
        """Whether this may still be forwarded."""
        with self.lock:
            if self.held(begun):
                return False
            self.carried += len(data)
            return True

    def held(self, begun):
        return self.cut == "hold" and self.cuts > begun

    def reached(self, server):
        """It is time for a cut. One connection tells of it, also where it is for all."""
        carried = self.carried
        wait_until(lambda: unsent(server) == 0)
        if self.storage and self.cut != "fin":
            wait_until(lambda: stored(self.storage) >= carried - HEADS)
        with self.lock:
            if self.told < self.cuts:
                self.told += 1
                say(f"{'held' if self.cut == 'hold' else 'cut'} {carried}")
        return self.cut


class Answers(threading.Thread):
    """The way back: whatever the server says, until either side is gone."""

    def __init__(self, server, client):
        super().__init__(daemon=True)
        self.server = server
        self.client = client
        self.muted = False
        self.start()

    def run(self):
        try:
            while data := self.server.recv(BLOCK):
                if not self.muted:
                    self.client.sendall(data)
        except OSError:
            pass
        if not self.muted:
            finish(self.client)


def unsent(sock):
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))
    return count


def stored(directory):
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(path, name))
            except OSError:
                pass  # renamed meanwhile: counted next time
    return total


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


def finish(sock):
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def drain(sock):
    try:
        while sock.recv(BLOCK):
            pass
    except OSError:
        pass


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # `close` alone leaves a thread in `recv` with the socket, and then nothing is sent.
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    main()

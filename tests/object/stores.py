"""The stores of `emulators.py`: how each is installed, started and spoken to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUCKET = "tus-test"
REGION = "us-east-1"

# The newest version whose module can be installed: releases are no Go versions.
MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"

# How long a store may take to answer for the first time.
PATIENCE = 60.0

Environment = dict[str, str]


class Skipped(Exception):
    """Why a store is not to be had here."""


class Emulator(ABC):
    """One store. What it is lies in `cache`, for all runs; what it keeps in `data`, for this one."""

    name: str
    scheme: str
    title: str

    def __init__(self, cache: Path, data: Path) -> None:
        self.cache = cache
        self.data = data / self.name
        self.log = cache / f"{self.name}.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def install(self) -> None:
        """Raises `Skipped` if that is impossible."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def options(self) -> Environment:
        """What a client needs to know, as `object_store` names it."""

    def environment(self) -> Environment:
        """What the process itself needs to know."""
        return {}

    def prepare(self) -> None:
        """Before it starts."""

    def make_bucket(self) -> None:
        """After it has started."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> Environment:
        name = f"TUS_TEST_{self.name.upper()}"
        return {
            name: f"{self.scheme}://{BUCKET}",
            **{f"{name}_{option}": value for option, value in self.options().items()},
        }

    def start(self) -> None:
        """Returns when it answers."""
        self.data.mkdir()
        self.prepare()
        # Somebody else may take the port before the store does.
        for _ in range(3):
            self.port = free_port()
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    self.command(),
                    env={**os.environ, **self.environment()},
                    cwd=self.data,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self.answers():
                self.make_bucket()
                return
            self.stop()
        raise Skipped(f"it does not start, see {self.log}")

    def answers(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                request(self.endpoint + "/")
                return True
            except urllib.error.HTTPError as refused:
                # MinIO says so until it can store.
                if refused.code != 503:
                    return True
            except OSError:
                pass
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class S3(Emulator):
    """What all that speak S3 have in common."""

    scheme = "s3"
    access_key = "tus-test"
    secret_key = "tus-test-secret"

    def options(self) -> Environment:
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }


class Moto(S3):
    name = "s3"
    title = "moto"

    def install(self) -> None:
        requirements = HERE / "requirements.txt"
        venv = self.cache / "venv"
        if is_current(venv / ".installed", requirements):
            return
        shutil.rmtree(venv, ignore_errors=True)
        pip = str(venv / "bin/pip")
        quiet = ["--quiet", "--disable-pip-version-check"]
        install(self.log, [sys.executable, "-m", "venv", str(venv)])
        install(self.log, [pip, "install", *quiet, "-r", str(requirements)])
        shutil.copy(requirements, venv / ".installed")

    def command(self) -> list[str]:
        python = str(self.cache / "venv/bin/python")
        server = [python, "-B", str(HERE / "moto_server.py")]
        return [*server, "--host", "127.0.0.1", "--port", str(self.port)]

    def make_bucket(self) -> None:
        request(f"{self.endpoint}/{BUCKET}", "PUT")


class Minio(S3):
    name = "minio"
    title = "MinIO"

    def install(self) -> None:
        marker = self.cache / "go/.installed"
        if marker.exists() and marker.read_text() == MINIO:
            return
        go = which("go")
        install(self.log, [go, "install", MINIO], {"GOBIN": str(marker.parent)})
        marker.write_text(MINIO)

    def command(self) -> list[str]:
        program = self.cache / "go/minio"
        return [str(program), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", str(self.data)]

    def environment(self) -> Environment:
        return {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }

    def prepare(self) -> None:
        # To MinIO a directory of its disk is a bucket.
        (self.data / BUCKET).mkdir()


class Node(Emulator):
    """A store from npm."""

    lock = threading.Lock()

    def install(self) -> None:
        home = self.cache / "node"
        which("node")
        npm = which("npm")
        lockfile = HERE / "package-lock.json"
        with self.lock:
            if is_current(home / ".installed", lockfile):
                return
            home.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "package.json", home)
            shutil.copy(lockfile, home)
            quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
            install(self.log, [npm, "ci", "--prefix", str(home), *quiet])
            shutil.copy(lockfile, home / ".installed")

    def module(self, path: str) -> str:
        return str(self.cache / "node/node_modules" / path)


class Azurite(Node):
    name = "azure"
    scheme = "az"
    title = "Azurite"
    account = "devstoreaccount1"
    # The one that everybody knows.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def command(self) -> list[str]:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        return ["node", self.module("azurite/dist/src/blob/main.js"), *place, *quiet, "--inMemoryPersistence"]

    def options(self) -> Environment:
        return {
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": self.endpoint,
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
        }

    def make_bucket(self) -> None:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{self.account}/{self.account}/{BUCKET}\nrestype:container"
        # The method and eleven headers that are not there.
        text = "PUT" + "\n" * 12 + canonical + resource
        digest = hmac.digest(base64.b64decode(self.key), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {self.account}:{base64.b64encode(digest).decode()}"
        request(f"{self.endpoint}/{self.account}/{BUCKET}?restype=container", "PUT", headers)


class Gcs(Emulator):
    name = "gcs"
    scheme = "gs"
    title = "the double of Google Cloud Storage"

    def install(self) -> None:
        pass

    def command(self) -> list[str]:
        return [sys.executable, "-B", str(HERE / "gcs.py"), str(self.port), BUCKET]

    def options(self) -> Environment:
        account = {
            "private_key": "none",
            "private_key_id": "none",
            "client_email": "none",
            "disable_oauth": True,
            "gcs_base_url": self.endpoint,
        }
        return {
            "GOOGLE_BASE_URL": self.endpoint,
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account),
        }


class S3rver(Node, S3):
    name = "s3rver"
    scheme = "s3"
    title = "s3rver"
    access_key = "S3RVER"
    secret_key = "S3RVER"

    def command(self) -> list[str]:
        place = ["--address", "127.0.0.1", "--port", str(self.port), "--directory", str(self.data)]
        program = self.module("s3rver/bin/s3rver.js")
        return ["node", program, *place, "--silent", "--configure-bucket", BUCKET]


EMULATORS: list[type[Emulator]] = [Moto, Minio, Azurite, Gcs, S3rver]


# Helpers


def install(log: Path, command: list[str], extra: Environment | None = None) -> None:
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            env={**os.environ, **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode != 0:
        what = " ".join([Path(command[0]).name, *command[1:3]])
        raise Skipped(f"`{what} …` failed, see {log}")


def which(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Skipped(f"there is no {program}")
    return path


def is_current(installed: Path, wanted: Path) -> bool:
    return installed.exists() and installed.read_bytes() == wanted.read_bytes()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def request(url: str, method: str = "GET", headers: Environment | None = None) -> None:
    # Not by a proxy, whatever the environment says: all of this is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    call = urllib.request.Request(url, method=method, headers=headers or {})
    with opener.open(call, timeout=10) as answer:
        answer.read()

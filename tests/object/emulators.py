#!/usr/bin/env python3
"""Object stores on this machine, for tests: installs them, starts them, ends them.

    python3 -B emulators.py [--cache DIR] [--only NAME,…] run COMMAND…   with the stores in its environment
    python3 -B emulators.py [--cache DIR] [--only NAME,…] serve          until SIGINT or SIGTERM

| NAME   | what it is                            | from   | stands for                             |
| ------ | ------------------------------------- | ------ | -------------------------------------- |
| s3     | moto                                  | PyPI   | S3, with atomic conditions             |
| minio  | MinIO                                 | Go     | a real server that speaks S3           |
| azure  | Azurite                               | npm    | Azure Blob Storage                     |
| gcs    | gcs.py beside this file               |        | Google Cloud Storage                   |
| s3rver | s3rver                                | npm    | a store that ignores conditions        |

Each listens on a free port of 127.0.0.1, keeps its data below DIR, and has a bucket `tus-test`.
In the environment, `TUS_TEST_<NAME>` is its URL as `tus serve --storage` takes it, and each
`TUS_TEST_<NAME>_<OPTION>` stands for the variable `<OPTION>` that has to be set beside it, such as
AWS_ENDPOINT; TUS_TEST_STORES names all that run. `serve` prints these as `export` lines, and the
options of s3, azure and gcs once more without a prefix, so that `--storage s3://tus-test` just works.

What cannot be installed or does not start is skipped: a line `SKIPPED: … because …` says so, and its
variables are missing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stores import EMULATORS, Emulator, Environment, Skipped

# Those whose options `serve` also gives without a prefix.
PLAIN = ("s3", "azure", "gcs")


@dataclass
class Running:
    """The stores that could be started."""

    emulators: list[Emulator] = field(default_factory=list)

    def variables(self) -> Environment:
        names = ",".join(it.name for it in self.emulators)
        each = {key: value for it in self.emulators for key, value in it.variables().items()}
        return {"TUS_TEST_STORES": names, **each}

    def plain(self) -> Environment:
        chosen = (it for it in self.emulators if it.name in PLAIN)
        return {key: value for it in chosen for key, value in it.options().items()}

    def stop(self) -> None:
        for emulator in self.emulators:
            emulator.stop()


def start_all(emulators: list[Emulator], running: Running) -> None:
    def start(emulator: Emulator) -> None:
        try:
            emulator.install()
            running.emulators.append(emulator)
            emulator.start()
        except (Skipped, OSError) as why:
            if emulator in running.emulators:
                running.emulators.remove(emulator)
            emulator.stop()
            print(f"SKIPPED: tests on {emulator.title} because {why}", flush=True)

    with ThreadPoolExecutor(len(emulators)) as pool:
        list(pool.map(start, emulators))
    running.emulators.sort(key=lambda it: [type(other) for other in emulators].index(type(it)))


def exports(running: Running) -> Iterator[str]:
    for name, value in {**running.variables(), **running.plain()}.items():
        yield f"export {name}={shlex.quote(value)}"


# The command


def main() -> int:
    options = arguments()
    cache: Path = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    chosen = [kind for kind in EMULATORS if options.only is None or kind.name in options.only.split(",")]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    running = Running()
    with tempfile.TemporaryDirectory(prefix="data-", dir=cache, ignore_cleanup_errors=True) as data:
        try:
            start_all([kind(cache, Path(data)) for kind in chosen], running)
            if options.action == "run":
                return run(options.command, running.variables())
            print(*exports(running), sep="\n", flush=True)
            signal.pause()
            return 0
        finally:
            running.stop()


def run(command: list[str], variables: Environment) -> int:
    process = subprocess.Popen(command, env={**os.environ, **variables})
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tower-tus-object"
    parser.add_argument("--cache", type=Path, default=default, metavar="DIR")
    parser.add_argument("--only", metavar="NAME,…")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("serve")
    actions.add_parser("run").add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

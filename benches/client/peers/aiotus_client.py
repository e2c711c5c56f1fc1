"""aiotus with its defaults: ENDPOINT FILE"""

import asyncio
import io
import sys

import aiotus

endpoint, file = sys.argv[1:]


async def upload(source):
    if await aiotus.upload(endpoint, source) is None:
        sys.exit("the upload failed")


async def main():
    await upload(io.BytesIO(bytes(1024)))
    print("ready", flush=True)
    sys.stdin.readline()
    with open(file, "rb") as source:
        await upload(source)
    print("done", flush=True)
    sys.stdin.readline()


asyncio.run(main())

"""aiotus, uploading one file in one of several ways.

    python aiotus_client.py WAY ENDPOINT FILE

Prints `url URL` when the upload is finished, and ends with 1 if it is not.
"""

import asyncio
import io
import sys

import aiotus

MIB = 1024 * 1024
METADATA = {"filename": "Übergrößenträger – 上传 📦.bin".encode(), "flag": None}
RETRY = aiotus.RetryConfiguration(retry_attempts=20, max_retry_period_seconds=0.5)


async def main():
    way, endpoint, file = sys.argv[1:]
    with open(file, "rb") as source:
        url = await WAYS[way](endpoint, source)
    if url is None:
        sys.exit("the upload failed")
    print(f"url {url}")


async def single(endpoint, source):
    return await aiotus.upload(endpoint, source, config=RETRY, chunksize=1024 * MIB)


async def chunks(endpoint, source):
    return await aiotus.upload(endpoint, source, config=RETRY, chunksize=MIB)


async def metadata(endpoint, source):
    url = await aiotus.upload(endpoint, source, METADATA, config=RETRY)
    values = await aiotus.metadata(url, config=RETRY)
    assert values == METADATA, values
    return url


async def parallel(endpoint, source):
    """Parts of unequal length, three at a time, put together by the server."""
    parts = []
    while data := source.read(MIB + 4321):
        parts.append(io.BytesIO(data))
    url = await aiotus.upload_multiple(endpoint, parts, METADATA, config=RETRY)
    if url is None:
        return None
    values = await aiotus.metadata(url, config=RETRY)
    assert values == METADATA, values
    return url


WAYS = {
    "single": single,
    "chunks": chunks,
    "metadata": metadata,
    "parallel": parallel,
}

if __name__ == "__main__":
    asyncio.run(main())

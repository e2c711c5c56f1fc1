"""tuspy, uploading one file in one of several ways.

    python tuspy_client.py WAY ENDPOINT FILE [STATE]

Prints `url URL` when the upload is finished, and ends with 1 if it is not.
STATE is the file in which `begin` leaves the upload's URL for `resume`.
"""

import asyncio
import base64
import sys

import requests
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

MIB = 1024 * 1024
METADATA = {"filename": "Übergrößenträger – 上传 📦.bin", "filetype": "text/plain"}
RETRY = {"retries": 20, "retry_delay": 0.5}


def main():
    way, endpoint, file, *state = sys.argv[1:]
    client = TusClient(endpoint)
    if way in ("begin", "resume"):
        url = WAYS[way](client, file, state[0])
    else:
        url = WAYS[way](client, file)
    print(f"url {url}")


def single(client, file, **options):
    uploader = client.uploader(file, **RETRY, **options)
    uploader.upload()
    return uploader.url


def chunks(client, file):
    return single(client, file, chunk_size=MIB)


def checksum(client, file):
    return single(client, file, chunk_size=MIB, upload_checksum=True)


def asynchronous(client, file):
    uploader = client.async_uploader(file, chunk_size=MIB, **RETRY)
    asyncio.run(uploader.upload())
    return uploader.url


def metadata(client, file):
    url = single(client, file, metadata=METADATA)
    pairs = [pair.split(" ") for pair in inspect(url)["Upload-Metadata"].split(",")]
    values = {key: base64.b64decode(value).decode() for key, value in pairs}
    assert values == METADATA, values
    return url


def begin(client, file, state):
    uploader = client.uploader(
        file, chunk_size=MIB, store_url=True, url_storage=FileStorage(state)
    )
    uploader.upload(stop_at=2 * MIB)
    return uploader.url


def resume(client, file, state):
    uploader = client.uploader(
        file, chunk_size=MIB, store_url=True, url_storage=FileStorage(state)
    )
    assert uploader.offset == 2 * MIB, f"begins at {uploader.offset}"
    uploader.upload()
    return uploader.url


def inspect(url):
    answer = requests.head(url, headers={"Tus-Resumable": "1.0.0"}, timeout=10)
    answer.raise_for_status()
    return answer.headers


WAYS = {
    "single": single,
    "chunks": chunks,
    "checksum": checksum,
    "async": asynchronous,
    "metadata": metadata,
    "begin": begin,
    "resume": resume,
}

if __name__ == "__main__":
    main()

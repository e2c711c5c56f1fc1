"""resumable-upload, uploading one file in one of several ways.

    python resumable_upload_client.py WAY ENDPOINT FILE [STATE]

Prints `url URL` when the upload is finished, and ends with 1 if it is not.
STATE is the file in which `begin` leaves the upload's URL for `resume`.
"""

import asyncio
import sys

from resumable_upload import AsyncTusClient, FileURLStorage, TusClient

MIB = 1024 * 1024
METADATA = {"filename": "Übergrößenträger – 上传 📦.bin", "filetype": "text/plain"}
# Chunks of 1 MiB with their SHA-1, as is its default.
RETRY = {"max_retries": 20, "retry_delay": 0.05}


def main():
    way, endpoint, file, *state = sys.argv[1:]
    print(f"url {WAYS[way](endpoint, file, *state)}")


def chunks(endpoint, file):
    return TusClient(endpoint, checksum=False, **RETRY).upload_file(file)


def checksum(endpoint, file):
    return TusClient(endpoint, checksum="sha256", **RETRY).upload_file(file)


def override(endpoint, file):
    return TusClient(endpoint, override_patch_method=True, **RETRY).upload_file(file)


def metadata(endpoint, file):
    client = TusClient(endpoint, **RETRY)
    url = client.upload_file(file, metadata=METADATA)
    assert client.get_metadata(url) == METADATA, client.get_metadata(url)
    info = client.get_upload_info(url)
    assert info["complete"], info
    return url


def parallel(endpoint, file):
    return TusClient(endpoint, **RETRY).upload_file(file, parallel_uploads=3)


def deferred(endpoint, file):
    client = TusClient(endpoint, **RETRY)
    url = client.create_deferred_upload()
    with client.create_uploader(file_path=file, upload_url=url) as uploader:
        uploader.upload()
    return url


def asynchronous(endpoint, file):
    async def upload():
        async with AsyncTusClient(endpoint, **RETRY) as client:
            return await client.upload_file(file)

    return asyncio.run(upload())


def terminate(endpoint, file):
    client = TusClient(endpoint, **RETRY)
    url = client.upload_file(file, stop_at=2 * MIB)
    client.delete_upload(url)
    return url


def begin(endpoint, file, state):
    return remembering(endpoint, state).upload_file(file, stop_at=2 * MIB)


def resume(endpoint, file, state):
    client = remembering(endpoint, state)
    [previous] = client.find_previous_uploads(file)
    begun = client.get_upload_info(previous["upload_url"])
    assert begun["offset"] == 2 * MIB, begun
    url = client.upload_file(file)
    assert url == previous["upload_url"], url
    return url


def remembering(endpoint, state):
    return TusClient(endpoint, store_url=True, url_storage=FileURLStorage(state), **RETRY)


WAYS = {
    "chunks": chunks,
    "checksum": checksum,
    "override": override,
    "metadata": metadata,
    "parallel": parallel,
    "deferred": deferred,
    "async": asynchronous,
    "terminate": terminate,
    "begin": begin,
    "resume": resume,
}

if __name__ == "__main__":
    main()

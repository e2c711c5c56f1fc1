"""tuspy in chunks of 8 MiB: ENDPOINT FILE [sha1]"""

import io
import sys

from tusclient.client import TusClient

endpoint, file, *checksum = sys.argv[1:]
client = TusClient(endpoint)


def upload(**source):
    client.uploader(chunk_size=8 << 20, upload_checksum=bool(checksum), **source).upload()


upload(file_stream=io.BytesIO(bytes(1024)))
print("ready", flush=True)
sys.stdin.readline()
upload(file_path=file)
print("done", flush=True)
sys.stdin.readline()

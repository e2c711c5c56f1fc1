"""The bucket of `gcs.py`: objects, objects made of parts, and the conditions of both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

MIN_PART = 5 << 20
MAX_PARTS = 10_000
MAX_SOURCES = 32
PAGE = 1_000

# Headers that belong to an object and come back with it, besides `x-goog-meta-*`.
ATTRIBUTES = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "x-goog-storage-class",
)

Headers = Mapping[str, str]
"""Names in lower case."""


@dataclass
class Object:
    data: bytes
    attributes: dict[str, str]
    etag: str
    generation: int
    updated: datetime


@dataclass
class Part:
    data: bytes
    etag: str


@dataclass
class Session:
    """A multipart upload that is not completed."""

    key: str
    attributes: dict[str, str]
    started: datetime
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    """What `Content-Length` says of a body that is not sent."""


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Bucket:
    """Objects and sessions. Not to be shared without a lock."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.sessions: dict[str, Session] = {}
        self.counter = 1_700_000_000_000_000

    def next(self) -> int:
        self.counter += 1
        return self.counter

    # Objects

    def put(self, key: str, data: bytes, headers: Headers) -> Answer:
        self.check_generation(key, headers)
        return self.store(key, data, attributes_of(headers), etag_of(data))

    def copy(self, key: str, headers: Headers) -> Answer:
        self.check_generation(key, headers)
        source = self.find(unquote(headers["x-goog-copy-source"]).lstrip("/").partition("/")[2])
        attributes = source.attributes
        if headers.get("x-goog-metadata-directive", "COPY") == "REPLACE":
            attributes = attributes_of(headers)
        self.store(key, source.data, attributes, source.etag)
        copied = self.objects[key]
        return Answer(
            200,
            xml(
                "CopyObjectResult",
                element("ETag", copied.etag) + element("LastModified", iso(copied.updated)),
            ),
        )

    def compose(self, key: str, body: bytes, headers: Headers) -> Answer:
        self.check_generation(key, headers)
        sources = []
        for component in children(body, "Component"):
            source = self.find(component["Name"])
            expected = component.get("Generation", component.get("IfGenerationMatch"))
            if expected is not None and int(expected) != source.generation:
                raise Refused(412, "PreconditionFailed")
            sources.append(source.data)
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise Refused(400, "InvalidArgument")
        return self.store(key, b"".join(sources), attributes_of(headers), self.opaque_etag())

    def delete(self, key: str, headers: Headers) -> Answer:
        self.find(key)
        self.check_generation(key, headers)
        del self.objects[key]
        return Answer(204)

    def get(self, key: str, headers: Headers, *, head: bool) -> Answer:
        found = self.find(key)
        self.check_generation(key, headers)
        if headers.get("if-none-match") in (found.etag, "*"):
            raise Refused(304, "NotModified")
        if headers.get("if-match") not in (None, "*", found.etag):
            raise Refused(412, "PreconditionFailed")
        answer = Answer(200, found.data, described(found))
        span = byte_range(headers.get("range"), len(found.data))
        if span is not None:
            first, last = span
            answer.status = 206
            answer.body = found.data[first : last + 1]
            answer.headers["Content-Range"] = f"bytes {first}-{last}/{len(found.data)}"
        if head:
            answer.size, answer.body = len(answer.body), b""
        return answer

    def list(self, query: Mapping[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        after = max(query.get("start-after", ""), query.get("continuation-token", ""))
        delimiter = query.get("delimiter", "")
        most = int(query.get("max-keys", PAGE))
        entries: dict[str, str] = {}
        last = ""
        truncated = False
        for key in sorted(self.objects):
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            folder = prefix + rest.partition(delimiter)[0] + delimiter if delimiter else ""
            if folder and delimiter in rest:
                if folder <= after and after.startswith(folder):
                    continue
                name, entry = folder, f"<CommonPrefixes>{element('Prefix', folder)}</CommonPrefixes>"
            else:
                name, entry = key, listed(key, self.objects[key])
            if name not in entries and len(entries) == most:
                truncated = True
                break
            entries[name] = entry
            last = key
        token = element("NextContinuationToken", last) if truncated else ""
        head = element("Prefix", prefix) + element("IsTruncated", str(truncated).lower())
        return Answer(200, xml("ListBucketResult", head + token + "".join(entries.values())))

    # Objects made of parts. Conditions are ignored here, as the service documents it.

    def begin(self, key: str, headers: Headers) -> Answer:
        upload = f"session-{self.next()}"
        self.sessions[upload] = Session(key, attributes_of(headers), now())
        return Answer(
            200,
            xml("InitiateMultipartUploadResult", element("Key", key) + element("UploadId", upload)),
        )

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> Answer:
        if not 1 <= number <= MAX_PARTS:
            raise Refused(400, "InvalidArgument")
        part = Part(data, etag_of(data))
        self.session(key, upload).parts[number] = part
        return Answer(200, headers={"ETag": part.etag})

    def complete(self, key: str, upload: str, body: bytes) -> Answer:
        session = self.session(key, upload)
        named = [(int(p["PartNumber"]), p["ETag"].strip('"')) for p in children(body, "Part")]
        if not named:
            raise Refused(400, "MalformedCompleteMultipartUploadRequest")
        numbers = [number for number, _ in named]
        if numbers != sorted(set(numbers)):
            raise Refused(400, "InvalidPartOrder")
        chosen = []
        for number, etag in named:
            part = session.parts.get(number)
            if part is None or part.etag.strip('"') != etag:
                raise Refused(400, "InvalidPart")
            chosen.append(part.data)
        if any(len(data) < MIN_PART for data in chosen[:-1]):
            raise Refused(400, "EntityTooSmall")
        del self.sessions[upload]
        stored = self.store(key, b"".join(chosen), session.attributes, self.opaque_etag())
        stored.body = xml(
            "CompleteMultipartUploadResult",
            element("Key", key) + element("ETag", stored.headers["ETag"]),
        )
        return stored

    def abort(self, key: str, upload: str) -> Answer:
        self.session(key, upload)
        del self.sessions[upload]
        return Answer(204)

    def list_parts(self, key: str, upload: str, query: Mapping[str, str]) -> Answer:
        after = int(query.get("part-number-marker") or 0)
        most = int(query.get("max-parts", PAGE))
        parts = sorted(item for item in self.session(key, upload).parts.items() if item[0] > after)
        body = element("UploadId", upload) + element("IsTruncated", str(len(parts) > most).lower())
        if len(parts) > most:
            body += element("NextPartNumberMarker", str(parts[most - 1][0]))
        for number, part in parts[:most]:
            body += f"<Part>{element('PartNumber', str(number))}{element('ETag', part.etag)}"
            body += f"{element('Size', str(len(part.data)))}</Part>"
        return Answer(200, xml("ListPartsResult", body))

    def list_sessions(self, query: Mapping[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        after = (query.get("key-marker", ""), query.get("upload-id-marker", "\U0010ffff"))
        most = int(query.get("max-uploads", PAGE))
        found = sorted(
            (session.key, upload)
            for upload, session in self.sessions.items()
            if session.key.startswith(prefix) and (session.key, upload) > after
        )
        body = element("IsTruncated", str(len(found) > most).lower())
        if len(found) > most:
            key, upload = found[most - 1]
            body += element("NextKeyMarker", key) + element("NextUploadIdMarker", upload)
        for key, upload in found[:most]:
            started = element("Initiated", iso(self.sessions[upload].started))
            body += f"<Upload>{element('Key', key)}{element('UploadId', upload)}{started}</Upload>"
        return Answer(200, xml("ListMultipartUploadsResult", body))

    # What several of them need

    def find(self, key: str) -> Object:
        if key not in self.objects:
            raise Refused(404, "NoSuchKey")
        return self.objects[key]

    def session(self, key: str, upload: str) -> Session:
        session = self.sessions.get(upload)
        if session is None or session.key != key:
            raise Refused(404, "NoSuchUpload")
        return session

    def store(self, key: str, data: bytes, attributes: dict[str, str], etag: str) -> Answer:
        self.objects[key] = Object(data, attributes, etag, self.next(), now())
        return Answer(200, headers={"ETag": etag, **generation(self.objects[key])})

    def opaque_etag(self) -> str:
        """What the service does not tell the content of has a tag of its own."""
        return f'"-{self.next():x}"'

    def check_generation(self, key: str, headers: Headers) -> None:
        expected = headers.get("x-goog-if-generation-match")
        if expected is None:
            return
        found = self.objects.get(key)
        if int(expected) != (found.generation if found else 0):
            raise Refused(412, "PreconditionFailed")


# Parts of requests and answers


def attributes_of(headers: Headers) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name in ATTRIBUTES or name.startswith("x-goog-meta-")
    }


def described(found: Object) -> dict[str, str]:
    return {
        **found.attributes,
        **generation(found),
        "ETag": found.etag,
        "Last-Modified": format_datetime(found.updated, usegmt=True),
        "Accept-Ranges": "bytes",
    }


def generation(found: Object) -> dict[str, str]:
    return {"x-goog-generation": str(found.generation), "x-goog-metageneration": "1"}


def byte_range(value: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte that are asked for; `None` for all of them."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", value or "")
    if match is None or match.group(1) == match.group(2) == "":
        return None
    if match.group(1) == "":
        first, last = max(0, size - int(match.group(2))), size - 1
    else:
        first, last = int(match.group(1)), min(int(match.group(2) or size - 1), size - 1)
    if first > last:
        raise Refused(416, "InvalidRange")
    return first, last


def children(body: bytes, name: str) -> Iterator[dict[str, str]]:
    """The elements of this name, each as its own elements' text."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise Refused(400, "MalformedXML") from None
    for item in root.iter():
        if local(item.tag) == name:
            yield {local(child.tag): child.text or "" for child in item}


def local(tag: str) -> str:
    return tag.rpartition("}")[2]


def listed(key: str, found: Object) -> str:
    return (
        f"<Contents>{element('Key', key)}{element('Size', str(len(found.data)))}"
        f"{element('LastModified', iso(found.updated))}{element('ETag', found.etag)}</Contents>"
    )


def xml(root: str, content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{root}>{content}</{root}>'.encode()


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def now() -> datetime:
    return datetime.now(timezone.utc)


def iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

//! What it costs to read a request's head, to decide, and to say the answer: no I/O, no service.

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_tus::protocol::{
    Dialect, Head, KeyTemplate, Length, Metadata, Mount, Offer, Operation, Outcome, Refusal,
    Upload, UploadId,
};

const METADATA: &str = "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,filetype \
                        YXBwbGljYXRpb24vcGRm,is_confidential";
const ID: &str = "24e533e02ec3bc40c387f1a0e460e216";

/// A name, the method, the path below the mount, and the fields but those every request has.
type Request<'r> = (&'r str, Method, &'r str, &'r [(&'r str, &'r str)]);

fn parse(c: &mut Criterion) {
    let path = format!("/{ID}");
    let parts: Vec<_> = (0..100).map(|part| format!("/files/{part:032x}")).collect();
    let concat = format!("final;{}", parts.join(" "));
    let octets = ("content-type", "application/offset+octet-stream");
    let requests: [Request<'_>; 6] = [
        ("head", Method::HEAD, &path, &[]),
        (
            "patch",
            Method::PATCH,
            &path,
            &[
                octets,
                ("upload-offset", "104857600"),
                ("content-length", "8388608"),
            ],
        ),
        (
            "patch-checksum",
            Method::PATCH,
            &path,
            &[
                octets,
                ("upload-offset", "104857600"),
                ("content-length", "8388608"),
                ("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
            ],
        ),
        (
            "post",
            Method::POST,
            "",
            &[
                ("upload-length", "104857600"),
                ("content-length", "0"),
                ("upload-metadata", METADATA),
            ],
        ),
        (
            "post-with-upload",
            Method::POST,
            "/",
            &[
                octets,
                ("upload-length", "4096"),
                ("content-length", "4096"),
                ("upload-metadata", METADATA),
            ],
        ),
        (
            "post-final-of-100",
            Method::POST,
            "",
            &[("upload-concat", &concat)],
        ),
    ];

    let mut group = c.benchmark_group("parse");
    let (mount, offer) = (Mount::new("/files"), Offer::default());
    for (name, method, path, fields) in requests {
        let headers = headers(fields);
        let head = Head {
            method: &method,
            path,
            headers: &headers,
            mount: &mount,
        };
        group.bench_function(name, |b| {
            b.iter(|| {
                Dialect::Tus1
                    .parse(black_box(&head), &offer)
                    .expect("is valid")
            });
        });
    }
    group.finish();
}

fn decide(c: &mut Criterion) {
    let mount = Mount::new("/files");
    let offer = Offer::default();
    let headers = headers(&[
        ("content-type", "application/offset+octet-stream"),
        ("upload-offset", "0"),
        ("content-length", "8388608"),
    ]);
    let path = format!("/{ID}");
    let head = Head {
        method: &Method::PATCH,
        path: &path,
        headers: &headers,
        mount: &mount,
    };
    let operation = Dialect::Tus1.parse(&head, &offer).expect("is valid");
    let Operation::Append(append) = operation else {
        panic!("a PATCH appends");
    };
    let (upload, now) = (upload(), SystemTime::now());
    c.bench_function("decide/patch", |b| {
        b.iter(|| black_box(&append).decide(&upload, &offer, now));
    });
}

fn render(c: &mut Criterion) {
    let answers: [(&str, Result<Outcome, Refusal>); 3] = [
        ("head", Ok(Outcome::Inspected(upload()))),
        ("patch", Ok(Outcome::Appended(upload()))),
        ("options", Ok(Outcome::Discovered)),
    ];
    let mut group = c.benchmark_group("render");
    let offer = Offer::default();
    for (name, answer) in &answers {
        group.bench_function(*name, |b| {
            b.iter(|| Dialect::Tus1.render(black_box(answer), &offer));
        });
    }
    group.finish();
}

fn details(c: &mut Criterion) {
    let metadata = upload().metadata;
    c.bench_function("metadata/decode", |b| {
        b.iter(|| black_box(&metadata).get_str("filename"));
    });
    let upload = upload();
    let template = KeyTemplate::parse("{year}/{month}/{day}/{id}-{filename}").expect("is valid");
    c.bench_function("key/template", |b| {
        b.iter(|| template.key(black_box(&upload)));
    });
    c.bench_function("id/parse", |b| {
        b.iter(|| black_box(ID).parse::<UploadId>());
    });
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    [
        ("host", "uploads.example.org"),
        ("user-agent", "bench/1.0"),
        ("tus-resumable", "1.0.0"),
    ]
    .iter()
    .chain(fields)
    .map(|(name, value)| {
        let name = HeaderName::try_from(*name).expect("is a name");
        (name, HeaderValue::try_from(*value).expect("is a value"))
    })
    .collect()
}

fn upload() -> Upload {
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1_794_000_000);
    let id = ID.parse().expect("is an id");
    let mut upload = Upload::new(id, Length::Known(104_857_600), created);
    upload.metadata = metadata();
    upload
}

fn metadata() -> Metadata {
    Metadata::from_pairs([
        ("filename", "world_domination_plan.pdf"),
        ("filetype", "application/pdf"),
    ])
    .expect("is valid")
}

criterion_group!(benches, parse, decide, render, details);
criterion_main!(benches);

//! What a request costs in the service and its storage: no sockets, no HTTP on the wire, one thread.

use std::{cell::Cell, convert::Infallible, path::Path};

use bytes::Bytes;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use futures::stream;
use http::{Request, Response, StatusCode, header::LOCATION, request};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full, StreamBody};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tower::ServiceExt;
use tower_tus::{
    TusBody, TusService,
    storage::{Durability, FileStorage, MemoryStorage},
};

const SMALL: usize = 4 << 10;
const FRAME: usize = 64 << 10;
const LARGE: usize = 8 << 20;
/// How many PATCHes an upload takes before the next one is begun.
const PATCHES: usize = 256;

fn memory(c: &mut Criterion) {
    all(c, "memory", &TusService::new(MemoryStorage::new()));
}

fn file(c: &mut Criterion) {
    let dir = scratch();
    let storage = FileStorage::open(dir.path()).expect("the directory is ours");
    let tus = TusService::new(storage.durability(Durability::None));
    all(c, "file", &tus);
}

fn all(c: &mut Criterion, storage: &str, tus: &TusService) {
    // Everything on one thread: what is measured is work, not wake-ups of another thread.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut bench = Bench {
        tus: tus.clone().base_path("/files"),
        runtime,
        group: c.benchmark_group(storage),
    };
    bench.head();
    bench.patch();
    bench.creation_with_upload();
    bench.large_patch();
    bench.group.finish();
}

struct Bench<'c> {
    tus: TusService,
    runtime: Runtime,
    group: BenchmarkGroup<'c, WallTime>,
}

impl Bench<'_> {
    fn head(&mut self) {
        let path = create(&self.runtime, &self.tus, LARGE);
        let (tus, runtime) = (&self.tus, &self.runtime);
        self.group.throughput(Throughput::Elements(1));
        self.group.bench_function("head", |b| {
            b.iter(|| {
                let request = request("HEAD", &path).body(Empty::<Bytes>::new());
                call(runtime, tus, request, StatusCode::OK)
            });
        });
    }

    fn patch(&mut self) {
        let body = Bytes::from(vec![1; SMALL]);
        let (tus, runtime) = (&self.tus, &self.runtime);
        let mut upload: Option<String> = None;
        let mut count = 0;
        let mut next = || {
            count %= PATCHES;
            let path = match upload.take() {
                Some(path) if count > 0 => path,
                old => {
                    delete(runtime, tus, old);
                    create(runtime, tus, PATCHES * SMALL + 1)
                }
            };
            upload = Some(path.clone());
            let request = patch(&path, count * SMALL).body(Full::new(body.clone()));
            count += 1;
            request
        };
        self.group.throughput(Throughput::Elements(1));
        self.group.bench_function("patch-4KiB", |b| {
            b.iter_batched(
                &mut next,
                |request| call(runtime, tus, request, StatusCode::NO_CONTENT),
                BatchSize::PerIteration,
            );
        });
    }

    fn creation_with_upload(&mut self) {
        let body = Bytes::from(vec![1; SMALL]);
        let (tus, runtime) = (&self.tus, &self.runtime);
        self.group.throughput(Throughput::Elements(1));
        self.group.bench_function("creation-with-upload-4KiB", |b| {
            let last = Cell::new(None);
            b.iter_batched(
                || {
                    delete(runtime, tus, last.take());
                    request("POST", "/files")
                        .header("content-type", "application/offset+octet-stream")
                        .header("upload-length", SMALL)
                        .header("content-length", SMALL)
                        .body(Full::new(body.clone()))
                },
                |request| {
                    let response = call(runtime, tus, request, StatusCode::CREATED);
                    last.set(Some(location(&response)));
                },
                BatchSize::PerIteration,
            );
            delete(runtime, tus, last.take());
        });
    }

    fn large_patch(&mut self) {
        let frame = Bytes::from(vec![1; FRAME]);
        let (tus, runtime) = (&self.tus, &self.runtime);
        let mut last: Option<String> = None;
        let mut next = || {
            delete(runtime, tus, last.take());
            let path = create(runtime, tus, LARGE);
            let frames = vec![frame.clone(); LARGE / FRAME];
            let frames = frames
                .into_iter()
                .map(|data| Ok::<_, Infallible>(Frame::data(data)));
            let request = patch(&path, 0).body(StreamBody::new(stream::iter(frames)));
            last = Some(path);
            request
        };
        self.group.throughput(Throughput::Bytes(LARGE as u64));
        self.group.bench_function("patch-8MiB", |b| {
            b.iter_batched(
                &mut next,
                |request| call(runtime, tus, request, StatusCode::NO_CONTENT),
                BatchSize::PerIteration,
            );
        });
    }
}

fn call<B>(
    runtime: &Runtime,
    tus: &TusService,
    request: http::Result<Request<B>>,
    expected: StatusCode,
) -> Response<TusBody>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let request = request.expect("the request is valid");
    let response = runtime.block_on(tus.clone().oneshot(request));
    let response = response.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), expected);
    response
}

fn create(runtime: &Runtime, tus: &TusService, length: usize) -> String {
    let request = request("POST", "/files")
        .header("upload-length", length)
        .body(Empty::<Bytes>::new());
    location(&call(runtime, tus, request, StatusCode::CREATED))
}

fn delete(runtime: &Runtime, tus: &TusService, path: Option<String>) {
    if let Some(path) = path {
        let request = request("DELETE", &path).body(Empty::<Bytes>::new());
        call(runtime, tus, request, StatusCode::NO_CONTENT);
    }
}

fn location(response: &Response<TusBody>) -> String {
    let location = &response.headers()[LOCATION];
    location.to_str().expect("a URL is ASCII").to_owned()
}

fn request(method: &str, path: &str) -> request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("tus-resumable", "1.0.0")
}

fn patch(path: &str, offset: usize) -> request::Builder {
    request("PATCH", path)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", offset)
}

/// Memory rather than a disk, where there is such a file system.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = match std::env::var_os("BENCH_DIR") {
        Some(dir) => TempDir::new_in(dir),
        None if memory.is_dir() => TempDir::new_in(memory),
        None => TempDir::new(),
    };
    dir.expect("a directory for the uploads")
}

criterion_group!(benches, memory, file);
criterion_main!(benches);

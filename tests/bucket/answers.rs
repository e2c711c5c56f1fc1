//! Answers that no emulator gives.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::TryStreamExt;
use http::{Response, StatusCode};
use object_store::{
    ClientOptions, CopyMode, Error, PutMode, PutPayload, Result, RetryConfig, UpdateVersion,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
    gcp::GoogleCloudStorageBuilder,
    path::Path,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower_tus::storage::object::{Azure, Bucket, Connector, Gcs, Part, S3, Scope};

/// Answers in order, and keeps what was asked.
#[derive(Debug, Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

type Answer = (u16, Vec<(&'static str, &'static str)>, &'static str);

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            requests: Arc::default(),
        }
    }

    /// Head and body of the last request.
    fn last(&self) -> (String, String) {
        self.requests.lock().unwrap().last().unwrap().clone()
    }

    fn s3(&self) -> S3 {
        let store = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_access_key_id("key")
            .with_secret_access_key("secret")
            .with_http_connector(self.clone())
            .with_retry(once())
            .build();
        let client = HttpClient::new(self.clone());
        S3::new(store.unwrap(), "bucket").unwrap().http(client)
    }

    fn gcs(&self) -> Gcs {
        let account =
            r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
        let store = GoogleCloudStorageBuilder::new()
            .with_bucket_name("bucket")
            .with_service_account_key(account)
            .with_http_connector(self.clone())
            .with_retry(once())
            .build();
        let client = HttpClient::new(self.clone());
        Gcs::new(store.unwrap(), "bucket").unwrap().http(client)
    }

    fn azure(&self) -> Azure {
        let store = MicrosoftAzureBuilder::new()
            .with_account("account")
            .with_access_key("c2VjcmV0")
            .with_container_name("container")
            .with_http_connector(self.clone())
            .with_retry(once())
            .build();
        let client = HttpClient::new(self.clone());
        let azure = Azure::new(store.unwrap(), "account", "container");
        azure.unwrap().http(client)
    }
}

fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

impl HttpConnector for Script {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Script {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        let body = String::from_utf8(body.into()).unwrap();
        self.requests
            .lock()
            .unwrap()
            .push((format!("{head:?}"), body));
        let answer = self.answers.lock().unwrap().pop_front();
        let Some((status, headers, body)) = answer else {
            let silent = std::io::Error::other("the script is at its end");
            return Err(HttpError::new(HttpErrorKind::Interrupted, silent));
        };
        let mut answer = Response::new(body.to_owned().into());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(answer)
    }
}

const DONE: &str =
    "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";

fn refusal(code: &str) -> &'static str {
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>").leak()
}

async fn complete(answer: Answer, mode: PutMode) -> (Result<()>, (String, String)) {
    let script = Script::new([answer]);
    let parts = [Part::new(3, "a", 5), Part::new(70, "b", 5)];
    let path = Path::from("key");
    let bucket = script.s3();
    let completed = bucket.complete(&path, "session", &parts, mode.into());
    (completed.await, script.last())
}

#[tokio::test]
async fn a_completion_of_s3_tells_errors_apart_even_under_a_status_of_success() {
    let (completed, (head, body)) = complete((200, vec![], DONE), PutMode::Create).await;
    completed.unwrap();
    assert!(head.contains("uploadId=session") && head.contains("\"if-none-match\": \"*\""));
    assert!(
        body.contains("<ETag>\"b\"</ETag><PartNumber>70</PartNumber>"),
        "{body}"
    );

    let (completed, (head, _)) = complete((200, vec![], DONE), PutMode::Overwrite).await;
    completed.unwrap();
    assert!(!head.contains("if-none-match"));

    for (status, code) in [(412, "PreconditionFailed"), (200, "PreconditionFailed")] {
        let answer = (status, vec![], refusal(code));
        let error = complete(answer, PutMode::Create).await.0.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    }
    for (status, code) in [
        (200, "InternalError"),
        (409, "ConditionalRequestConflict"),
        (503, "SlowDown"),
    ] {
        let answer = (status, vec![], refusal(code));
        let error = complete(answer, PutMode::Create).await.0.unwrap_err();
        assert!(matches!(error, Error::Generic { .. }), "{error:?}");
        assert!(error.to_string().contains(code), "{error}");
        // What signs a request is nobody's business.
        assert!(!format!("{error} {error:?}").contains("X-Amz-Signature"));
    }
    for status in [200, 400] {
        let answer = (status, vec![], refusal("InvalidPart"));
        let error = complete(answer, PutMode::Create).await.0.unwrap_err();
        assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
    }
    let answer = (404, vec![], refusal("NoSuchUpload"));
    let error = complete(answer, PutMode::Create).await.0.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let answer = (501, vec![], refusal("NotImplemented"));
    let error = complete(answer, PutMode::Create).await.0.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
}

#[tokio::test]
async fn a_conflict_of_s3_says_nothing_of_a_condition() {
    let put = async |status, mode: PutMode| {
        let bucket = Script::new([(status, vec![], "")]).s3();
        let path = Path::from("key");
        let put = bucket.put(&path, PutPayload::new(), mode.into());
        put.await.unwrap_err()
    };
    let update = || {
        PutMode::Update(UpdateVersion {
            e_tag: Some("e".to_owned()),
            version: None,
        })
    };
    let error = put(409, PutMode::Create).await;
    assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    let error = put(409, update()).await;
    assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    let error = put(412, PutMode::Create).await;
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    let error = put(412, update()).await;
    assert!(matches!(error, Error::Precondition { .. }), "{error:?}");
}

fn copying(status: &'static str, id: &'static str) -> Answer {
    let headers = vec![
        ("x-ms-copy-status", status),
        ("x-ms-copy-id", id),
        ("content-length", "5"),
        ("etag", "\"e\""),
    ];
    (200, headers, "")
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_azure_is_waited_for() {
    let (from, to) = (Path::from("from"), Path::from("to"));
    let copy = async |answers: Vec<Answer>| {
        let script = Script::new(answers);
        let bucket = script.azure();
        let copied = bucket.copy(&from, &to, CopyMode::Create).await;
        assert!(script.answers.lock().unwrap().is_empty());
        copied
    };
    let begun = || copying("pending", "1");
    copy(vec![copying("success", "1")]).await.unwrap();
    copy(vec![begun(), begun(), begun(), copying("success", "1")])
        .await
        .unwrap();
    copy(vec![begun(), copying("failed", "1")])
        .await
        .unwrap_err();
    copy(vec![begun(), copying("success", "2")])
        .await
        .unwrap_err();
    let exists = (409, vec![], refusal("BlobAlreadyExists"));
    let error = copy(vec![exists]).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_of_azure_is_told_of_when_it_is_whole() {
    let script = Script::new([copying("pending", "1"), copying("success", "1")]);
    let stat = script.azure().stat(&Path::from("key")).await.unwrap();
    assert_eq!(stat.size, 5);
    assert!(script.answers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn sessions_are_asked_for_without_a_prefix() {
    let page = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>p/a</Key>\
                <UploadId>1</UploadId><Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>\
                </ListMultipartUploadsResult>";
    let script = Script::new([(200, vec![], page)]);
    let sessions = script.gcs().sessions(&Scope::Below(Path::from("p")));
    let sessions: Vec<_> = sessions.try_collect().await.unwrap();
    assert_eq!(
        (sessions[0].path.as_ref(), &sessions[0].id[..]),
        ("p/a", "1")
    );
    let (head, _) = script.last();
    assert!(
        head.contains("https://storage.googleapis.com/bucket/?uploads=")
            && !head.contains("prefix"),
        "{head}"
    );
}

/// A bucket on a server that answers with these bytes, and then hangs up or falls silent.
async fn server(answer: &'static [u8], hangs_up: bool) -> S3 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = connection.read(&mut head).await.unwrap();
        connection.write_all(answer).await.unwrap();
        if !hangs_up {
            std::future::pending::<()>().await;
        }
    });
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_read_timeout(Duration::from_millis(50));
    let store = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_endpoint(format!("http://{address}"))
        .with_client_options(options)
        .with_http_connector(Connector::default())
        .with_retry(once())
        .build();
    S3::new(store.unwrap(), "bucket").unwrap()
}

#[tokio::test]
async fn a_store_that_falls_silent_is_not_waited_for() {
    let path = Path::from("key");
    let error = server(b"", false).await.get(&path, None).await.unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    let begun = b"HTTP/1.1 200 OK\r\nlast-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 5\r\n\r\nbeg";
    let error = server(begun, false)
        .await
        .get(&path, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
}

#[tokio::test]
async fn a_download_that_is_cut_off_is_an_error() {
    let begun = b"HTTP/1.1 206 Partial Content\r\nlast-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 5\r\ncontent-range: bytes 0-4/9\r\n\r\nbeg";
    let bucket = server(begun, true).await;
    let stream = bucket.read(&Path::from("key"), 0..5).await.unwrap();
    stream.try_collect::<Vec<_>>().await.unwrap_err();
}

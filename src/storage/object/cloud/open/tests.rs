#![cfg(all(feature = "aws", feature = "azure", feature = "gcp"))]

use super::*;

fn open(url: &str, options: &[(&str, &str)]) -> Result<(Arc<dyn Bucket>, Path)> {
    let account = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
        (
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#,
        ),
    ];
    let options = account.iter().chain(options);
    let options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    open_bucket(url, options)
}

fn why(url: &str, options: &[(&str, &str)]) -> String {
    match open(url, options).unwrap_err() {
        Error::Unsupported(why) => why,
        error => panic!("{error:?}"),
    }
}

/// What a bucket is made of.
fn debug(url: &str, options: &[(&str, &str)]) -> String {
    format!("{:?}", open(url, options).unwrap().0)
}

#[test]
fn a_url_names_bucket_and_path() {
    let named = |url: &str, bucket: &str| {
        let (opened, path) = open(url, &[("AZURE_STORAGE_ACCOUNT_NAME", "acc")]).unwrap();
        let debug = format!("{opened:?}");
        assert!(debug.contains(bucket), "{url}: {debug}");
        path.to_string()
    };
    assert_eq!(named("s3://b/p/q", "bucket: \"b\""), "p/q");
    assert_eq!(named("s3://b", "bucket: \"b\""), "");
    assert_eq!(
        named("https://s3.eu-1.amazonaws.com/b/p", "bucket: \"b\""),
        "p"
    );
    assert_eq!(
        named("https://b.s3.eu-1.amazonaws.com/p", "bucket: \"b\""),
        "p"
    );
    assert_eq!(named("gs://b/p", "bucket: \"b\""), "p");
    assert_eq!(named("az://c/p", "container: \"c\""), "p");
    let blob = "https://acc.blob.core.windows.net";
    assert_eq!(named("az://c/p", blob), "p");
    assert_eq!(named(&format!("{blob}/c/p"), "container: \"c\""), "p");
    assert_eq!(named("abfss://c@acc.dfs.core.windows.net/p", blob), "p");
}

#[test]
fn r2_is_known_by_its_address() {
    let url = "https://0.r2.cloudflarestorage.com/b/p";
    let endpoint = [("AWS_ENDPOINT", "https://0.r2.cloudflarestorage.com")];
    for (url, options) in [(url, &[][..]), ("s3://b", &endpoint)] {
        let profile = open(url, options).unwrap().0.profile();
        assert!(profile.equal_parts, "{url}");
    }
    assert!(!open("s3://b", &[]).unwrap().0.profile().equal_parts);
}

#[test]
fn payloads_are_signed_where_nothing_else_keeps_them_whole() {
    let checked = |options: &[_]| {
        let debug = debug("s3://b", options);
        let signed = debug.contains("sign_payload: true");
        (signed, debug.contains("checksum: Some(CRC64NVME)"))
    };
    assert_eq!(checked(&[]), (false, true));
    let http = [("AWS_ENDPOINT", "http://h"), ("AWS_ALLOW_HTTP", "true")];
    assert_eq!(checked(&http), (true, false));
    assert_eq!(
        checked(&[("AWS_CHECKSUM_ALGORITHM", "none")]),
        (false, false)
    );
    assert_eq!(checked(&[("AWS_UNSIGNED_PAYLOAD", "false")]), (true, true));
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    assert!(why("s3://b", &[("AWS_ENDPOINT", "http://h")]).contains("AWS_ALLOW_HTTP"));
    assert!(why("s3://b", &[("AWS_S3_EXPRESS", "true")]).contains("Express"));
    assert!(why("s3://b", &[("AWS_SERVER_SIDE_ENCRYPTION", "sse-c")]).contains("SSE-C"));
    assert!(why("az://c", &[]).contains("AZURE_STORAGE_ACCOUNT_NAME"));
    assert!(why("ftp://h", &[]).contains("ftp"));
    assert!(why("https://example.org/b", &[]).contains("no bucket"));
    assert!(why("nonsense", &[]).contains("nonsense"));
}

#[test]
fn the_emulator_of_azure_may_be_anywhere() {
    let options = [
        ("AZURE_STORAGE_USE_EMULATOR", "true"),
        ("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:7/"),
    ];
    let debug = debug("az://c", &options);
    assert!(
        debug.contains("endpoint: \"http://127.0.0.1:7/devstoreaccount1\""),
        "{debug}"
    );
}

#[test]
fn options_of_the_client_are_taken() {
    let debug = debug("s3://b", &[("AWS_TIMEOUT", "7s")]);
    assert!(debug.contains("whole: Some(7s)"), "{debug}");
}

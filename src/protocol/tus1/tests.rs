use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::protocol::{
    Algorithm, Append, Concat, Create, Expiration, Extensions, Kind, Length, Limits, Mount,
    Oversized, PartError, Stage,
};

const V: (&str, &str) = ("tus-resumable", "1.0.0");
const OCTETS: (&str, &str) = ("content-type", "application/offset+octet-stream");

fn parse_with(
    offer: &Offer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Operation, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let method: Method = method.parse().unwrap();
    let mount = Mount::new("/files").with_authority("h");
    let head = Head {
        method: &method,
        path,
        headers: &map,
        mount: &mount,
    };
    parse(&head, offer)
}

fn parse_head(method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Operation, Error> {
    parse_with(&Offer::default(), method, path, headers)
}

fn create(headers: &[(&str, &str)]) -> Result<Create, Error> {
    let headers = [&[V], headers].concat();
    match parse_head("POST", "", &headers)? {
        Operation::Create(create) => Ok(create),
        other => panic!("{other:?}"),
    }
}

fn append(headers: &[(&str, &str)]) -> Result<Append, Error> {
    let headers = [&[V], headers].concat();
    match parse_head("PATCH", "/a", &headers)? {
        Operation::Append(append) => Ok(append),
        other => panic!("{other:?}"),
    }
}

#[test]
fn methods_and_targets() {
    let id: UploadId = "a".parse().unwrap();
    for path in ["/a", "/a/"] {
        assert_eq!(
            parse_head("HEAD", path, &[V]),
            Ok(Operation::Inspect(id.clone()))
        );
        assert_eq!(
            parse_head("DELETE", path, &[V]),
            Ok(Operation::Terminate(id.clone()))
        );
        assert_eq!(parse_head("OPTIONS", path, &[]), Ok(Operation::Discover));
        for (method, want) in [("GET", Want::Bytes), ("HEAD", Want::Head)] {
            match parse_head(method, path, &[]).unwrap() {
                Operation::Download(download) => assert_eq!(download.want, want),
                other => panic!("{other:?}"),
            }
        }
        for method in ["POST", "PUT", "TRACE", "BREW"] {
            let refused = parse_head(method, path, &[V]).unwrap_err();
            assert!(matches!(refused, Error::MethodNotAllowed(_)), "{method}");
        }
    }
    for path in ["", "/"] {
        for method in ["GET", "HEAD", "PATCH", "DELETE", "PUT"] {
            let refused = parse_head(method, path, &[V]).unwrap_err();
            assert_eq!(
                refused,
                Error::MethodNotAllowed("OPTIONS, POST"),
                "{method}"
            );
        }
    }
    for path in ["/a/b", "/a.info", "/..", "/%61", "/a b"] {
        assert_eq!(
            parse_head("HEAD", path, &[V]),
            Err(Error::NotFound),
            "{path}"
        );
    }
}

#[test]
fn core_03_05_16_the_version_is_checked_on_every_method() {
    for version in ["", "1.0", "v1.0.0", "1.0.0, 0.2.2", "*", "0.2.2", "2.0.0"] {
        for (method, path) in [
            ("POST", ""),
            ("HEAD", "/a"),
            ("GET", "/a"),
            ("PATCH", "/a"),
            ("DELETE", "/a"),
        ] {
            let refused = parse_head(method, path, &[("tus-resumable", version)]);
            assert_eq!(refused, Err(Error::Version), "{method} {version:?}");
        }
        assert_eq!(
            parse_head("OPTIONS", "", &[("tus-resumable", version)]),
            Ok(Operation::Discover)
        );
    }
    for (method, path) in [("POST", ""), ("PATCH", "/a"), ("DELETE", "/a")] {
        assert_eq!(
            parse_head(method, path, &[]),
            Err(Error::Version),
            "{method}"
        );
    }
}

#[test]
fn core_13_15_the_override_counts_on_any_method() {
    let with = |method, over| parse_head(method, "/a", &[V, ("x-http-method-override", over)]);
    for method in ["POST", "GET", "PUT", "DELETE"] {
        assert!(
            matches!(with(method, "HEAD"), Ok(Operation::Inspect(_))),
            "{method}"
        );
        assert!(
            matches!(with(method, "DELETE"), Ok(Operation::Terminate(_))),
            "{method}"
        );
    }
    assert!(matches!(
        with("DELETE", "BREW"),
        Err(Error::MethodNotAllowed(_))
    ));
    assert!(matches!(
        with("DELETE", "a b"),
        Err(Error::InvalidHeader(..))
    ));
    assert!(matches!(with("DELETE", ""), Err(Error::InvalidHeader(..))));
}

#[test]
fn creations() {
    let known = |length| Ok(Length::Known(length));
    let length = |headers: &[(&str, &str)]| create(headers).map(|create| create.length);
    assert_eq!(length(&[("upload-length", "0")]), known(0));
    assert_eq!(
        length(&[("upload-length", "18446744073709551615")]),
        known(u64::MAX)
    );
    assert_eq!(
        length(&[("upload-defer-length", "1")]),
        Ok(Length::Deferred)
    );
    assert_eq!(
        length(&[]),
        Err(Error::MissingHeader(header::UPLOAD_LENGTH))
    );
    assert!(matches!(
        length(&[("upload-length", "1"), ("upload-defer-length", "1")]),
        Err(Error::ContradictingHeaders(..))
    ));
    assert!(matches!(
        length(&[("upload-length", "1"), ("upload-length", "2")]),
        Err(Error::RepeatedHeader(_))
    ));
    for value in ["0", "true", "", "2", "11"] {
        let refused = length(&[("upload-defer-length", value)]);
        assert!(
            matches!(refused, Err(Error::InvalidHeader(..))),
            "{value:?}"
        );
    }
    let metadata = create(&[("upload-length", "1"), ("upload-metadata", "a YQ==,b")])
        .unwrap()
        .metadata;
    assert_eq!(metadata.as_str(), "a YQ==,b");
    let long = "a".repeat(20_000);
    let refused = create(&[("upload-length", "1"), ("upload-metadata", &long)]);
    assert_eq!(refused.unwrap_err(), Error::MetadataTooLarge);
}

#[test]
fn creations_of_parts_and_finals() {
    let kind = |headers: &[(&str, &str)]| create(headers).map(|create| create.kind);
    assert_eq!(
        kind(&[("upload-length", "1"), ("upload-concat", "partial")]),
        Ok(Kind::Partial)
    );
    let value = "final;/files/a http://h/files/b";
    let parts = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    assert_eq!(
        kind(&[("upload-concat", value)]),
        Ok(Kind::Final(Concat::new(value, parts)))
    );
    assert_eq!(
        kind(&[("upload-concat", "final;http://elsewhere/files/a")]),
        Err(Error::Part(PartError::Foreign))
    );
    for other in [("upload-length", "1"), ("upload-defer-length", "1")] {
        let refused = kind(&[("upload-concat", value), other]);
        assert!(
            matches!(refused, Err(Error::ContradictingHeaders(..))),
            "{other:?}"
        );
    }
}

#[test]
fn first_bytes_have_to_be_declared_as_such() {
    let content = |headers: &[(&str, &str)]| {
        create(&[&[("upload-length", "9")], headers].concat()).map(|create| create.content)
    };
    let nothing = |length| {
        Some(Content {
            length,
            verify: Verify::Nothing,
        })
    };
    assert_eq!(
        content(&[OCTETS, ("content-length", "3")]),
        Ok(nothing(Some(3)))
    );
    assert_eq!(
        content(&[OCTETS, ("transfer-encoding", "chunked")]),
        Ok(nothing(None))
    );
    assert_eq!(content(&[("content-length", "3")]), Ok(None));
    assert_eq!(
        content(&[("content-type", "text/plain"), ("content-length", "0")]),
        Ok(None)
    );
    for size in [("content-length", "3"), ("transfer-encoding", "chunked")] {
        assert_eq!(
            content(&[("content-type", "text/plain"), size]),
            Err(Error::ContentType)
        );
    }
}

#[test]
fn appends() {
    let whole = [OCTETS, ("upload-offset", "3"), ("content-length", "2")];
    let parsed = append(&whole).unwrap();
    assert_eq!(
        (parsed.offset, parsed.declared, parsed.content.length),
        (3, None, Some(2))
    );
    let capitals = ("content-type", "Application/Offset+Octet-Stream; x=y");
    assert!(append(&[capitals, ("upload-offset", "3")]).is_ok());
    assert_eq!(append(&whole[1..]), Err(Error::ContentType));
    assert_eq!(append(&[OCTETS]), Err(Error::MissingHeader(UPLOAD_OFFSET)));
    for offset in [
        "-1",
        "abc",
        "1.0",
        "1e3",
        "0x0",
        "",
        "1,2",
        "18446744073709551616",
        "NaN",
        "1_0",
    ] {
        let refused = append(&[OCTETS, ("upload-offset", offset)]);
        assert!(
            matches!(refused, Err(Error::InvalidHeader(..))),
            "{offset:?}"
        );
    }
    let declared = append(&[OCTETS, ("upload-offset", "3"), ("upload-length", "9")])
        .unwrap()
        .declared;
    assert_eq!(declared, Some(9));
}

#[test]
fn checksums_and_trailers() {
    let sum = Checksum::of(Algorithm::Sha1, b"x");
    let (value, base) = (sum.to_string(), [OCTETS, ("upload-offset", "0")]);
    let verify = |offer: &Offer, extra: (&str, &str)| {
        let headers = [&[V], base.as_slice(), &[extra]].concat();
        match parse_with(offer, "PATCH", "/a", &headers)? {
            Operation::Append(append) => Ok(append.content.verify),
            other => panic!("{other:?}"),
        }
    };
    let all = Offer::default();
    let header = ("upload-checksum", value.as_str());
    assert_eq!(verify(&all, header), Ok(Verify::Header(sum)));
    let trailers = ("trailer", "Expires, Upload-Checksum");
    assert_eq!(
        verify(&all, trailers),
        Ok(Verify::Trailer(Algorithm::ALL.to_vec()))
    );

    let without = |extension| Offer {
        extensions: Extensions::all().without(extension),
        ..Offer::default()
    };
    let no_checksum = without(Extension::Checksum);
    assert_eq!(
        verify(&no_checksum, header),
        Err(Error::UnsupportedAlgorithm)
    );
    let no_trailer = without(Extension::ChecksumTrailer);
    assert_eq!(
        verify(&no_trailer, trailers),
        Err(Error::NotOffered(Extension::ChecksumTrailer))
    );
}

fn upload(length: Length, offset: u64) -> Upload {
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_403_712_000);
    let mut upload = Upload::new("a".parse().unwrap(), length, now);
    upload.offset = offset;
    upload
}

fn fields(answer: Result<Outcome, Refusal>) -> (u16, Vec<(String, String)>) {
    let response = render(&answer, &Offer::default());
    let mut fields: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| {
            *name != TUS_RESUMABLE
                && *name != http::header::CACHE_CONTROL
                && *name != http::header::CONTENT_TYPE
        })
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(response.headers()[TUS_RESUMABLE], "1.0.0");
    fields.sort();
    (response.status().as_u16(), fields)
}

fn expect(answer: Result<Outcome, Refusal>, status: u16, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(fields(answer.clone()), (status, expected), "{answer:?}");
}

#[test]
fn outcomes_are_rendered() {
    let mut expiring = upload(Length::Known(9), 4);
    expiring.lifetime = Some(std::time::Duration::from_secs(60));
    let expires = ("upload-expires", "Wed, 25 Jun 2014 16:01:00 GMT");
    let offset = ("upload-offset", "4");
    expect(
        Ok(Outcome::Appended(expiring.clone())),
        204,
        &[expires, offset],
    );
    expect(
        Ok(Outcome::Created {
            upload: expiring.clone(),
            location: "/files/a".into(),
            offset: Some(4),
        }),
        201,
        &[("location", "/files/a"), expires, offset],
    );
    expect(
        Ok(Outcome::Created {
            upload: upload(Length::Deferred, 0),
            location: "/files/a".into(),
            offset: None,
        }),
        201,
        &[("location", "/files/a")],
    );
    let url = "https://bucket.example/a?signature=b";
    expect(
        Ok(Outcome::Redirected(HeaderValue::from_static(url))),
        307,
        &[("location", url)],
    );
    expect(
        Ok(Outcome::Inspected(expiring)),
        200,
        &[expires, ("upload-length", "9"), offset],
    );
    expect(
        Ok(Outcome::Inspected(upload(Length::Deferred, 4))),
        200,
        &[("upload-defer-length", "1"), offset],
    );
    expect(Ok(Outcome::Terminated), 204, &[]);
}

#[test]
fn unf_02_a_final_has_no_offset_until_it_is_joined() {
    let mut joined = upload(Length::Deferred, 0);
    joined.kind = Kind::Final(Concat::new("final;/files/b", vec!["b".parse().unwrap()]));
    let concat = ("upload-concat", "final;/files/b");
    expect(Ok(Outcome::Inspected(joined.clone())), 200, &[concat]);
    joined.length = Length::Known(4);
    joined.offset = 4;
    joined.stage = Stage::Finished;
    let offset = ("upload-offset", "4");
    expect(
        Ok(Outcome::Inspected(joined)),
        200,
        &[concat, ("upload-length", "4"), offset],
    );
}

#[test]
fn refusals_are_rendered() {
    let allow = ("allow", "OPTIONS, POST");
    let retry = ("retry-after", "1");
    let at = |error| Err(Refusal::at(error, upload(Length::Known(9), 4)));
    expect(Err(Error::Version.into()), 412, &[("tus-version", "1.0.0")]);
    expect(
        Err(Error::MethodNotAllowed("OPTIONS, POST").into()),
        405,
        &[allow],
    );
    expect(
        Err(Error::Range(7).into()),
        416,
        &[("content-range", "bytes */7")],
    );
    expect(at(Error::OffsetMismatch), 409, &[("upload-offset", "4")]);
    expect(
        at(Error::ShuttingDown),
        503,
        &[retry, ("upload-offset", "4")],
    );
    expect(Err(Error::ChecksumMismatch.into()), 460, &[]);
    expect(Err(Error::TooLarge(Oversized::Upload).into()), 413, &[]);
}

#[test]
fn an_offer_is_announced() {
    let offer = Offer {
        limits: Limits::default().max_size(9),
        checksums: vec![Algorithm::Sha1, Algorithm::Crc32c],
        extensions: Extensions::all().without(Extension::Concatenation),
        ..Offer::default()
    };
    let announced = |offer: &Offer, name: &HeaderName| {
        let response = render(&Ok(Outcome::Discovered), offer);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        announced(&offer, &header::TUS_EXTENSION).unwrap(),
        "creation,creation-with-upload,creation-defer-length,termination,checksum,checksum-trailer"
    );
    assert_eq!(
        announced(&offer, &header::TUS_CHECKSUM_ALGORITHM).unwrap(),
        "sha1,crc32c"
    );
    assert_eq!(announced(&offer, &header::TUS_MAX_SIZE).unwrap(), "9");
    assert_eq!(announced(&offer, &TUS_VERSION).unwrap(), "1.0.0");

    let none = Offer {
        checksums: Vec::new(),
        ..Offer::default()
    };
    assert_eq!(announced(&none, &header::TUS_CHECKSUM_ALGORITHM), None);
    assert!(
        !announced(&none, &header::TUS_EXTENSION)
            .unwrap()
            .contains("checksum")
    );
    let expiring = Offer {
        expiration: Expiration::Expires,
        ..Offer::default()
    };
    assert!(
        announced(&expiring, &header::TUS_EXTENSION)
            .unwrap()
            .contains(",expiration,")
    );
}

fn arbitrary_headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = prop::sample::select(vec![
        "tus-resumable",
        "upload-length",
        "upload-offset",
        "upload-defer-length",
        "upload-metadata",
        "upload-concat",
        "upload-checksum",
        "content-type",
        "content-length",
        "transfer-encoding",
        "trailer",
        "x-http-method-override",
        "range",
        "if-range",
    ]);
    let value = prop_oneof![
        "[ -~]{0,30}",
        Just("1.0.0".to_owned()),
        Just("1".to_owned()),
        Just("application/offset+octet-stream".to_owned()),
        Just("final;/files/a /files/b".to_owned()),
        Just("upload-checksum".to_owned()),
    ];
    prop::collection::vec((name, value), 0..12)
}

proptest! {
    #[test]
    fn no_head_makes_the_parser_panic(
        method in prop::sample::select(vec!["OPTIONS", "POST", "HEAD", "PATCH", "DELETE", "GET", "PUT"]),
        path in "[/a-c.%]{0,8}",
        headers in arbitrary_headers(),
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Err(error) = parse_head(method, &path, &headers) {
            prop_assert!(error.status().is_client_error() || error.status() == 501);
        }
    }
}

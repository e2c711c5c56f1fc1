//! `tus doctor` against what it is to find.

use serde_json::Value;

use crate::support::{Act, Proxy, Seen, World};

/// What doctor says of a check behind this proxy, and how it ends.
#[track_caller]
fn examine(act: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> (Vec<Value>, Option<i32>) {
    examine_of(&World::new(), act)
}

#[track_caller]
fn examine_of(
    world: &World,
    act: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) -> (Vec<Value>, Option<i32>) {
    let proxy = Proxy::start(world.server.address, act);
    let output = world.run(["doctor", "--json", &proxy.url()]);
    (output.json(), output.code)
}

#[track_caller]
fn assert_says(found: &[Value], check: &str, status: &str, text: &str) {
    let has = |one: &Value| {
        let told = format!("{} → {}", one["message"], one["advice"]);
        one["check"] == check && one["status"] == status && told.contains(text)
    };
    assert!(
        found.iter().any(has),
        "no {status} {check} {text:?} in {found:#?}"
    );
}

#[test]
fn a_good_server_is_ok() {
    let world = World::new();
    let output = world.run(["doctor", &world.url()]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    for check in [
        "tls",
        "server",
        "extensions",
        "cors",
        "creation",
        "location",
        "patch",
        "offset",
        "exposed",
        "termination",
        "body",
        "buffering",
    ] {
        let line = format!("ok    {check:11}  ");
        assert!(output.stdout.contains(&line), "{check}:\n{}", output.stdout);
    }
    assert_eq!(output.stderr, "0 checks failed, 0 warnings to look at\n");
    let left = std::fs::read_dir(world.path().join("server")).unwrap();
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "doctor leaves nothing behind");
}

/// Each try of a length is an upload, and none of them gets its bytes.
#[test]
fn what_was_refused_is_removed_as_well() {
    let world = World::new();
    let (found, code) = examine_of(&world, |seen| match seen.length() {
        100_000.. => Act::Answer(400, vec![]),
        _ => Act::Pass,
    });
    assert_says(&found, "body", "fail", "400");
    assert_eq!(code, Some(1));
    let records = std::fs::read_dir(world.path().join("server/.tus")).unwrap();
    let records = records.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let records: Vec<_> = records.filter(|name| name.ends_with(".info")).collect();
    assert_eq!(records, [""; 0]);
}

#[test]
fn a_proxy_that_limits_bodies() {
    let (found, code) = examine(|seen| match seen.length() {
        3_000_000.. => Act::Answer(413, vec![]),
        _ => Act::Pass,
    });
    assert_says(&found, "body", "warn", "2.00 MiB pass");
    assert_says(&found, "body", "warn", "--chunk-size 2097152");
    assert_eq!(code, Some(0), "uploads work: the client learns");
}

#[test]
fn a_proxy_that_resets_long_requests() {
    let (found, _) = examine(|seen| match seen.length() {
        3_000_000.. => Act::Cut(0),
        _ => Act::Pass,
    });
    assert_says(&found, "body", "warn", "1.00 MiB passes");
}

#[test]
fn a_proxy_that_buffers() {
    let (found, code) = examine(|seen| match seen.method.as_str() {
        "PATCH" => Act::Buffer,
        _ => Act::Pass,
    });
    assert_says(&found, "buffering", "warn", "proxy_request_buffering off");
    assert_eq!(code, Some(0));
}

#[test]
fn a_location_that_leads_nowhere() {
    // Another port, where nobody listens.
    let (found, code) = examine(|seen| match seen.method.as_str() {
        "POST" => edit("Location", Some("http://127.0.0.1:9/files/x")),
        _ => Act::Pass,
    });
    assert_says(&found, "location", "fail", "http://127.0.0.1:9/files/x");
    assert_eq!(code, Some(1));
}

/// The proxy puts a prefix before the path, of which the server knows nothing.
#[test]
fn a_location_without_the_proxys_prefix() {
    let world = World::new();
    let proxy = Proxy::start(world.server.address, |seen| {
        match seen.path.strip_prefix("/api") {
            Some(path) => Act::Path(path.to_owned()),
            None => Act::Answer(404, vec![]),
        }
    });
    let url = format!("http://{}/api/files", proxy.address);
    let output = world.run(["doctor", "--json", &url]);
    assert_says(
        &output.json(),
        "location",
        "fail",
        &format!("it is at {url}/"),
    );
    assert_says(&output.json(), "location", "fail", "--base-url");
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_location_of_another_origin() {
    let world = World::new();
    let direct = world.server.address;
    let (found, code) = examine_of(&world, move |seen| match seen.method.as_str() {
        "POST" => Act::Base(format!("http://{direct}")),
        _ => Act::Pass,
    });
    assert_says(&found, "location", "warn", "another origin");
    assert_eq!(code, Some(0));
}

#[test]
fn headers_that_browsers_may_not_see() {
    let (found, code) = examine(|_| edit("Access-Control-Expose-Headers", Some("Location")));
    assert_says(&found, "exposed", "fail", "Upload-Offset, Upload-Length");
    assert_eq!(code, Some(1));
    let (found, code) = examine(|_| edit("Access-Control-Allow-Methods", Some("GET, POST")));
    assert_says(&found, "cors", "fail", "PATCH, DELETE");
    assert_eq!(code, Some(1));
    let (found, code) = examine(|_| edit("Access-Control-Allow-Origin", None));
    assert_says(&found, "cors", "warn", "may not upload");
    assert_eq!(code, Some(0));
}

#[test]
fn a_proxy_that_drops_headers() {
    let (found, code) = examine(|_| edit("Upload-Offset", None));
    assert_says(&found, "offset", "fail", "Upload-Offset");
    assert_eq!(code, Some(1));
    let (found, _) = examine(|_| edit("Tus-Resumable", None));
    assert_says(&found, "headers", "warn", "Tus-Resumable");
    let (found, _) = examine(|_| edit("Cache-Control", None));
    assert_says(&found, "cache", "warn", "no-store");
    let (found, code) = examine(|_| edit("Tus-Version", None));
    assert_says(&found, "server", "fail", "Tus-Version");
    assert_eq!(
        (code, found.len()),
        (Some(1), 2),
        "nothing else can be said"
    );
}

#[test]
fn a_cache_that_tells_old_offsets() {
    let (found, code) = examine(|seen| match seen.method.as_str() {
        "HEAD" => Act::Edit(vec![
            ("Upload-Offset", Some("0".into())),
            ("Upload-Length", Some("11".into())),
        ]),
        _ => Act::Pass,
    });
    assert_says(&found, "offset", "fail", "HEAD tells offset 0");
    assert_eq!(code, Some(1));
}

#[test]
fn a_network_that_knows_no_patch() {
    let (found, code) = examine(|seen| match seen.method.as_str() {
        "PATCH" => Act::Answer(405, vec![]),
        _ => Act::Pass,
    });
    assert_says(&found, "patch", "fail", "--method-override");
    assert_eq!(code, Some(1));
}

#[test]
fn a_server_that_lacks_extensions() {
    let world = World::serving(&["--disable", "termination,concatenation"]);
    let (found, code) = examine_of(&world, |_| Act::Pass);
    assert_says(
        &found,
        "extensions",
        "warn",
        "concatenation (no parallel parts)",
    );
    assert_says(&found, "termination", "warn", "stays at");
    assert_eq!(code, Some(0));
}

#[test]
fn redirects() {
    let world = World::new();
    let direct = world.url();
    let (found, code) = examine_of(&world, move |_| {
        Act::Answer(301, vec![("Location", direct.clone())])
    });
    assert_says(&found, "redirect", "warn", "301");
    assert_says(&found, "creation", "fail", "itself");
    assert_eq!(code, Some(1));
}

#[test]
fn what_is_no_server_at_all() {
    let (found, code) = examine(|_| Act::Answer(502, vec![]));
    assert_says(&found, "server", "fail", "does not reach the server");
    assert_eq!(code, Some(1));
    let (found, _) = examine(|_| Act::Answer(401, vec![]));
    assert_says(&found, "server", "fail", "-H 'Authorization");
}

fn edit(name: &'static str, value: Option<&str>) -> Act {
    Act::Edit(vec![(name, value.map(str::to_owned))])
}

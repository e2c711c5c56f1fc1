//! What can be asked and done about uploads: info, options, concat, delete, list, forget.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Act, Proxy, Request, Running, World, sample};

#[test]
fn info_tells_where_an_upload_stands() {
    let world = World::serving(&["--expires-after", "1h"]);
    let created = Request::create(10)
        .header("Upload-Metadata", "name w7x4,flag")
        .send(world.server.address)
        .location();
    Request::patch(&created, 0, b"1234").send(world.server.address);
    let url = format!("http://{}{created}", world.server.address);
    let info = world.run(["info", &url]);
    assert_eq!(info.code, Some(0), "{}", info.stderr);
    let lines: Vec<_> = info.stdout.lines().collect();
    assert_eq!(lines[..3], ["offset: 4", "length: 10", "complete: no"]);
    assert!(lines[3].starts_with("expires: 2"), "{lines:?}");
    assert_eq!(lines[4..], ["metadata.name: üx", "metadata.flag"]);

    let json = &world.run(["info", &url, "--json"]).json()[0];
    assert_eq!(json["url"], url);
    assert_eq!(json["offset"], 4);
    assert_eq!(json["length"], 10);
    assert_eq!(json["complete"], false);
    assert_eq!(json["concat"], json!(null));
    assert_eq!(json["metadata"], json!({ "name": "üx", "flag": "" }));
}

#[test]
fn options_tell_what_a_server_can_do() {
    let world = World::serving(&["--max-size", "1KiB", "--disable", "termination"]);
    let text = world.run(["options", &world.url()]);
    assert!(
        text.stdout
            .starts_with("versions: 1.0.0\nextensions: creation"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("\nmax-size: 1024\n"),
        "{}",
        text.stdout
    );
    let json = &world.run(["options", "--json", &world.url()]).json()[0];
    assert_eq!(json["max_size"], 1024);
    let extensions = json["extensions"].as_array().unwrap();
    assert!(extensions.contains(&json!("checksum")) && !extensions.contains(&json!("termination")));
}

#[test]
fn parts_become_one_upload() {
    let world = World::new();
    let part = |data: &[u8]| {
        let answer = Request::new("POST", "/files")
            .header("Upload-Length", data.len())
            .header("Upload-Concat", "partial")
            .body(data)
            .send(world.server.address);
        format!("http://{}{}", world.server.address, answer.location())
    };
    let (a, b) = (part(b"hello "), part(b"world"));
    let url = world.ok(["concat", &world.url(), &a, &b, &a, "-m", "filename=x"]);
    assert_eq!(world.stored(&url), b"hello worldhello ");
    let info = &world.run(["info", "--json", &url]).json()[0];
    assert_eq!(info["concat"], "final");
    assert_eq!(info["parts"].as_array().unwrap().len(), 3);
    assert_eq!(info["metadata"]["filename"], "x");

    let json = &world.run(["concat", "--json", &world.url(), &a, &b]).json()[0];
    assert_eq!(json["parts"], 2);
    assert_eq!(world.stored(json["url"].as_str().unwrap()), b"hello world");
}

#[test]
fn uploads_are_deleted_one_by_one() {
    let world = World::new();
    world.file("a", "x");
    let (a, b) = (
        world.ok(["upload", "a", &world.url()]),
        world.ok(["upload", "a", &world.url()]),
    );
    let gone = format!("{a}x");
    let output = world.run(["delete", "--json", &a, &gone, &b]);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    let deleted: Vec<_> = output
        .json()
        .iter()
        .map(|line| line["deleted"] == true)
        .collect();
    assert_eq!(deleted, [true, false, true]);
    for url in [a, b] {
        assert_eq!(world.run(["info", &url]).code, Some(3));
    }
}

/// A pipe can be read only once, and there are two uploads; each has its own password.
#[test]
#[cfg(unix)]
fn what_is_deleted_together_has_the_same_headers() {
    use std::io::Write;

    let world = World::new();
    world.file("a", "x");
    let other = World::new();
    other.file("a", "x");
    let proxy = Proxy::start(world.server.address, |_| Act::Pass);
    let with = |url: &str, login: &str| url.replacen("http://", &format!("http://{login}@"), 1);
    let a = world.ok(["upload", "a", &proxy.url()]);
    let b = world.ok(["upload", "a", &proxy.url()]);
    let elsewhere = Proxy::start(other.server.address, |_| Act::Pass);
    let c = other.ok(["upload", "a", &elsewhere.url()]);
    let urls = [&with(&a, "me:1"), &with(&b, "you:2"), &c];
    let command = world.tus(["delete", "-H", "@/dev/stdin", urls[0], urls[1], urls[2]]);
    let mut running = Running::start(command, Stdio::piped());
    running.input().write_all(b"X-Key: k\n").unwrap();
    let output = running.wait();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let seen = proxy.seen().into_iter().chain(elsewhere.seen());
    let deletes: Vec<_> = seen.filter(|seen| seen.method == "DELETE").collect();
    let keys: Vec<_> = deletes.iter().map(|seen| seen.header("x-key")).collect();
    assert_eq!(keys, ["k", "k", "k"]);
    let logins: Vec<_> = deletes
        .iter()
        .map(|seen| seen.header("authorization"))
        .collect();
    assert_eq!(logins, ["Basic bWU6MQ==", "Basic eW91OjI=", ""]);
}

#[test]
fn a_store_that_cannot_be_read_does_not_end_a_deletion() {
    let world = World::new();
    world.file("a", "x");
    let upload = || world.ok(["upload", "a", &world.url(), "--no-resume"]);
    let (a, b) = (upload(), upload());
    std::fs::create_dir_all(world.path().join("state/tus/uploads.json")).unwrap();
    let output = world.run(["delete", "--json", &a, &b]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.json().len(), 2);
    let told = output.stderr.matches("stays in the list").count();
    assert_eq!(told, 2, "{}", output.stderr);
    assert_eq!(world.run(["info", &b]).code, Some(3));
}

/// The other parts still go on.
#[test]
fn a_part_that_is_forgotten_is_not_the_upload() {
    let world = World::new();
    let part = |name: &str| format!(r#"{{"url": "http://h/{name}", "start": 0, "length": 1}}"#);
    let parts = ["p1", "p2", "p3"].map(part).join(",");
    let entries = |url: &str| {
        format!(
            r#"{{"uploads": [{{"fingerprint": "f", "endpoint": "http://h/", "url": {url},
                "created": 0, "parts": [{parts}]}}]}}"#
        )
    };
    let forget = |url: &str| world.run(["forget", "--store", "urls.json", "--json", url]);
    let left = || {
        let list = world.run(["list", "--store", "urls.json", "--json"]).json();
        let parts = list
            .first()
            .map(|entry| entry["parts"].as_array().unwrap().clone());
        parts.map(|parts| {
            let names = parts.iter().map(|part| part["url"].as_str().unwrap());
            names.collect::<Vec<_>>().join(" ")
        })
    };
    world.file("urls.json", entries("null"));
    let told = forget("http://h/p2");
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.json()[0]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(left().as_deref(), Some("http://h/p1 http://h/p3"));
    assert_eq!(forget("http://me:pw@h/p1").code, Some(0));
    assert_eq!(left().as_deref(), Some("http://h/p3"));
    assert_eq!(forget("http://h/p1").code, Some(3));
    assert_eq!(forget("http://h/p3").code, Some(0));
    assert_eq!(left(), None);

    world.file("urls.json", entries(r#""http://h/whole""#));
    assert_eq!(forget("http://me:pw@h/whole").code, Some(0));
    assert_eq!(left(), None);
}

/// Whatever is listed can go on; what is forgotten begins anew.
#[test]
#[cfg(unix)]
fn unfinished_uploads_are_listed_and_forgotten() {
    let world = World::new();
    let data = sample(4_000_000);
    world.file("a.bin", &data);
    assert_eq!(world.run(["list"]).stdout, "");
    let interrupted = || {
        let url = world.url();
        let command = world.tus(["upload", "a.bin", &url, "--limit-rate", "200KiB", "--json"]);
        let running = Running::start(command, Stdio::null());
        crate::support::eventually("an entry", || {
            let list = world.run(["list"]);
            (list.stdout.lines().count() == 1).then_some(())
        });
        running.signal("INT");
        let output = running.wait();
        assert_eq!(output.code, Some(130), "{}", output.stderr);
        output.json()[0]["url"].as_str().unwrap().to_owned()
    };
    let url = interrupted();
    let list = world.run(["list"]);
    assert!(
        list.stdout.contains(&url) && list.stdout.contains("a.bin"),
        "{}",
        list.stdout
    );
    let entry = &world.run(["list", "--json"]).json()[0];
    assert_eq!(entry["url"], url);
    assert_eq!(entry["endpoint"], world.url());
    assert_eq!(entry["size"], 4_000_000);

    assert_eq!(world.run(["forget", "--older-than", "1h"]).stdout, "");
    assert_eq!(world.run(["forget", &format!("{url}x")]).code, Some(3));
    assert_eq!(world.run(["forget", &url]).code, Some(0));
    assert_eq!(world.run(["list"]).stdout, "");

    let another = interrupted();
    assert_ne!(another, url, "what was forgotten does not go on");
    assert_eq!(world.run(["delete", &another]).code, Some(0));
    assert_eq!(
        world.run(["list"]).stdout,
        "",
        "what is deleted cannot go on"
    );
}

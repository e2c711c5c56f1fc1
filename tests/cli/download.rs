//! `tus download`: into which file, and from where on.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{Act, Proxy, Seen, World, sample};

#[test]
fn the_name_is_the_servers_and_harmless() {
    let world = World::new();
    let data = sample(3_000_000);
    world.file("up.bin", &data);
    let named = |name: &str| world.ok(["upload", "up.bin", &world.url(), "--name", name]);
    let url = named("a b ü.bin");
    let printed = world.ok(["download", &url]);
    assert_eq!(printed, "a b ü.bin");
    assert!(fs::read(world.home().join(&printed)).unwrap() == data);
    // The second one replaces nothing.
    assert_eq!(world.ok(["download", &url]), "a b ü.bin.1");

    for evil in ["../../evil", "/etc/evil", "..\\evil", ".evil"] {
        let proxy = Proxy::start(world.server.address, move |_: &Seen| {
            let value = format!("attachment; filename=\"{}\"", evil.replace('\\', "\\\\"));
            Act::Edit(vec![("Content-Disposition", Some(value))])
        });
        let dir = tempfile::tempdir_in(world.home()).unwrap();
        let path = url.rsplit('/').next().unwrap();
        let output = dir.path().to_str().unwrap();
        let printed = world.ok(["download", &format!("{}/{path}", proxy.url()), "-o", output]);
        assert_eq!(printed, dir.path().join("evil").to_str().unwrap(), "{evil}");
    }
}

#[test]
fn to_a_file_of_ones_own_or_to_standard_output() {
    let world = World::new();
    world.file("up.txt", "hello");
    let url = world.ok(["upload", "up.txt", &world.url()]);
    world.file("there", "old");
    let json = &world
        .run(["download", &url, "-o", "there", "--json"])
        .json()[0];
    assert_eq!(
        (json["file"].as_str(), json["size"].as_u64()),
        (Some("there"), Some(5))
    );
    assert_eq!(
        fs::read_to_string(world.home().join("there")).unwrap(),
        "hello"
    );
    let output = world.run(["download", &url, "-o", "-"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "hello"));
    let nowhere = world.run(["download", &url, "-o", "missing/there"]);
    assert_eq!(nowhere.code, Some(1), "{}", nowhere.stderr);
    let left = fs::read_dir(world.home()).unwrap().count();
    assert_eq!(left, 2, "nothing else is left behind");
}

#[test]
fn a_download_that_failed_goes_on() {
    let world = World::new();
    let data = sample(3_000_000);
    world.file("up.bin", &data);
    let url = world.ok(["upload", "up.bin", &world.url()]);
    let path = url.rsplit('/').next().unwrap().to_owned();
    for out in [&["-o", "down.bin"][..], &[]] {
        let gets = AtomicUsize::new(0);
        let proxy = Proxy::start(world.server.address, move |seen: &Seen| {
            match (seen.method.as_str(), gets.fetch_add(1, Ordering::SeqCst)) {
                ("GET", 0) => Act::CutAnswer(1_000_000),
                _ => Act::Pass,
            }
        });
        let url = format!("{}/{path}", proxy.url());
        let mut args = vec!["download", &url];
        args.extend(out);
        fs::rename(world.home().join("up.bin"), world.home().join("aside")).unwrap();
        let mut once = args.clone();
        once.extend(["--retries", "0"]);
        let failed = world.run(once);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(
            !world.home().join("down.bin").exists(),
            "half a file appeared"
        );
        let printed = world.ok(&args);
        assert_eq!(printed, out.last().map_or("up.bin", |out| *out));
        assert!(fs::read(world.home().join(&printed)).unwrap() == data);
        fs::remove_file(world.home().join(&printed)).unwrap();
        let ranges = proxy
            .seen()
            .into_iter()
            .filter(|seen| !seen.header("range").is_empty());
        assert!(ranges.count() > 0, "it began anew");
        fs::rename(world.home().join("aside"), world.home().join("up.bin")).unwrap();
    }
}

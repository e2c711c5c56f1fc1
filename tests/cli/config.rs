//! Settings from a file.

use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::support::{Output, Program, Request, tus};

fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("tus.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn a_flag_goes_before_the_environment_and_the_environment_before_the_file() {
    let (_dir, path) = file(
        "listen = \"127.0.0.1:0\"\n\
         storage = \"memory://\"\n\
         max-size = \"1KiB\"\n\
         disable = [\"termination\", \"concatenation\"]\n\
         trust-forwarded = true\n",
    );
    let max_size = |prepare: &dyn Fn(&mut std::process::Command)| {
        let mut command = tus(["serve"]);
        command.arg("--config").arg(&path);
        prepare(&mut command);
        let server = Program::start(command);
        let options = Request::new("OPTIONS", "/files").send(server.address);
        let extensions = options.header("Tus-Extension").unwrap();
        assert!(!extensions.contains("termination"), "{extensions}");
        assert!(!extensions.contains("concatenation"), "{extensions}");
        let created = Request::create(1).header("X-Forwarded-Host", "example.com");
        let location = created.send(server.address).location();
        assert!(location.starts_with("http://example.com/"), "{location}");
        options.header("Tus-Max-Size").unwrap().to_owned()
    };
    let in_environment = |command: &mut std::process::Command| {
        command.env("TUS_MAX_SIZE", "2KiB");
    };
    assert_eq!(max_size(&|_| {}), "1024");
    assert_eq!(max_size(&in_environment), "2048");
    let on_both = |command: &mut std::process::Command| {
        in_environment(command);
        command.args(["--max-size", "3KiB"]);
    };
    assert_eq!(max_size(&on_both), "3072");
}

#[test]
fn the_environment_may_name_the_file() {
    let (_dir, path) = file("listen = \"127.0.0.1:0\"\nstorage = \"memory://\"\nmax-size = 77\n");
    let mut command = tus(["serve"]);
    command.env("TUS_CONFIG", &path);
    let server = Program::start(command);
    let options = Request::new("OPTIONS", "/files").send(server.address);
    assert_eq!(options.header("Tus-Max-Size"), Some("77"));
}

#[test]
fn what_applies_is_printed_as_a_file_with_its_origins() {
    let (dir, path) =
        file("max-size = \"1KiB\"\ncors = [\"https://a.example\", \"https://b.example\"]\n");
    let mut command = tus(["serve", "--print-config", "--max-parts", "7", "--config"]);
    command.arg(&path).env("TUS_KEY", "{filename}");
    let printed = Output::of(command);
    assert_eq!((printed.code, &*printed.stderr), (Some(0), ""));
    for line in [
        "listen = [\"127.0.0.1:1080\"] # default",
        "max-size = \"1KiB\" # file",
        "cors = \"https://a.example,https://b.example\" # file",
        "max-parts = \"7\" # flag",
        "key = \"{filename}\" # TUS_KEY",
        "single-node = false # default",
        "# tls-cert is not set",
    ] {
        assert!(
            printed.stdout.lines().any(|printed| printed == line),
            "{line}:\n{}",
            printed.stdout
        );
    }

    let again = dir.path().join("again.toml");
    std::fs::write(&again, &printed.stdout).unwrap();
    let mut command = tus(["serve", "--print-config", "--config"]);
    command.arg(&again);
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split(" # ").next());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(values(&Output::of(command).stdout), values(&printed.stdout));
}

#[test]
fn no_secret_is_printed_and_no_half_of_one_is_a_setting() {
    let printed = Output::of(tus([
        "serve",
        "--print-config",
        "--base-url",
        "https://user:hidden@example.com/files",
        "--hooks-http",
        "https://example.com/hooks?key=hidden",
    ]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for line in [
        "# base-url is \"https://example.com/files\", without what may be a secret # flag",
        "# hooks-http is \"https://example.com/hooks?…\", without what may be a secret # flag",
    ] {
        let is_there = printed.stdout.lines().any(|printed| printed == line);
        assert!(is_there, "{line}:\n{}", printed.stdout);
    }
    assert!(!printed.stdout.contains("hidden"));
}

#[test]
fn what_is_wrong_with_a_url_is_said_without_its_secrets() {
    let (_dir, path) = file("hooks-http = \"https://user:hidden@h h/x\"\n");
    for args in [
        &["--storage", "S3://key:hidden@bucket"][..],
        &["--storage", "key:hidden@s3://bucket"],
        &["--hooks-http", "https://user:hidden@h h/x"],
        &["--hooks-http", "h/x?key=hidden"],
        &["--base-url", "https://user:hidden@h/files?x"],
        &["--config", path.to_str().unwrap()],
    ] {
        let output = Output::of(tus(["serve", "--print-config"].iter().chain(args)));
        assert_eq!(output.code, Some(2), "{args:?}");
        let stderr = output.stderr;
        assert!(stderr.contains("invalid value '"), "{stderr}");
        assert!(!stderr.contains("hidden"), "{stderr}");
    }
    let in_environment = |name: &str, value: &str| {
        let mut command = tus(["serve", "--print-config"]);
        command.env(name, value);
        Output::of(command).stderr
    };
    let stderr = in_environment("TUS_STORAGE", "S3://key:hidden@bucket");
    assert!(
        stderr
            .starts_with("error: invalid value 'S3://bucket' for '--storage <DIR|URL>': S3:// is"),
        "{stderr}"
    );
}

#[test]
fn the_file_in_the_manual_is_one() {
    let manual = include_str!("../../docs/serve.md");
    let (_, block) = manual.split_once("```toml\n").unwrap();
    let (text, _) = block.split_once("```").unwrap();
    let (_dir, path) = file(text);
    let mut command = tus(["serve", "--print-config", "--config"]);
    command.arg(&path);
    let output = Output::of(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let settings = |text: &str| {
        text.lines()
            .filter(|line| line.ends_with(" # file"))
            .count()
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(settings(&output.stdout), lines.count(), "{}", output.stdout);
}

#[test]
fn a_file_that_is_wrong_ends_with_2_and_one_line() {
    let (dir, path) = file("max_size = \"8GiB\"\n");
    let run = |path: &Path| {
        let mut command = tus(["serve", "--config"]);
        command.arg(path);
        Output::of(command)
    };
    let output = run(&path);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    let reason = "there is no setting \"max_size\"; the nearest is \"max-size\"";
    assert_eq!(
        output.stderr,
        format!("error: {}: {reason}\n", path.display())
    );

    let nowhere = run(&dir.path().join("nowhere"));
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
    assert!(
        nowhere.stderr.starts_with("error: cannot read "),
        "{}",
        nowhere.stderr
    );
}

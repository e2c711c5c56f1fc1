//! Dependencies point one way: the `use` lines of the library are read, and held to it.

use std::{fs, path::Path};

/// What each layer may use of the crate.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("protocol", &["protocol"]),
    ("transport", &["transport"]),
    ("client", &["protocol", "client"]),
    ("storage", &["protocol", "transport", "storage"]),
    ("hooks", &["protocol", "transport", "hooks"]),
    ("service", &["protocol", "storage", "hooks", "service"]),
    ("actix", &["protocol", "service"]),
    ("axum.rs", &["service"]),
];

/// What must not stand anywhere in a layer.
const NEVER: [(&str, &[&str]); 2] = [
    (
        "protocol",
        &[
            "tokio",
            "async ",
            "SystemTime::now",
            "Instant::now",
            "getrandom",
            "std::fs",
            "std::io",
            "std::net",
        ],
    ),
    ("storage", &["http::", "http_body", "hyper", "tower::"]),
];

/// Where storage meets the stores of object_store, whose language is HTTP.
const CLOUDS: &str = "src/storage/object/cloud/";

fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

/// Code only: no comments, and nothing from the first test on.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names right behind `crate::`, also those in braces.
fn used(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut starts = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                c if starts && c.is_alphabetic() => {
                    names.push(first_word(&group[at..]));
                    starts = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn each_source(layer: &str, check: impl Fn(&str, &str)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(layer);
    let mut found = Vec::new();
    if path.is_dir() {
        sources(&path, &mut found);
        assert!(!found.is_empty(), "{layer}");
    } else {
        found.push((
            path.display().to_string(),
            fs::read_to_string(&path).unwrap(),
        ));
    }
    for (path, text) in found.iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        check(path, &code(text));
    }
}

#[test]
fn no_layer_uses_one_above_it() {
    for (layer, allowed) in MAY_USE {
        each_source(layer, |path, code| {
            for name in used(code) {
                assert!(
                    allowed.contains(&name.as_str()),
                    "{path} uses crate::{name}"
                );
            }
        });
    }
}

#[test]
fn protocol_is_pure_and_storage_sees_no_http() {
    for (layer, words) in NEVER {
        each_source(layer, |path, code| {
            if path.contains(CLOUDS) {
                return;
            }
            for word in words {
                assert!(!code.contains(word), "{path} has {word:?}");
            }
        });
    }
}

#[test]
fn the_reader_of_use_lines_sees_groups_and_paths() {
    let code = "use crate::{\n a::{b, c},\n d,\n};\nfn f() { crate::e::g() }";
    assert_eq!(used(code), ["a", "d", "e"]);
}

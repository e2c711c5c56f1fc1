//! Dependencies point one way: the `use` lines of the library are read, and held to it.

use std::{fs, path::Path};

/// What each layer may use of the crate.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("protocol", &["protocol"]),
    ("transport", &["transport"]),
    ("client", &["protocol", "transport", "client"]),
    ("storage", &["protocol", "transport", "storage"]),
    ("hooks", &["protocol", "transport", "storage", "hooks"]),
    ("service", &["protocol", "storage", "hooks", "service"]),
    ("actix", &["protocol", "hooks", "service"]),
    ("axum.rs", &["service"]),
];

/// What must not stand anywhere in a layer.
const NEVER: [(&str, &[&str]); 3] = [
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
    // The contract, and none of those who keep it.
    (
        "hooks",
        &[
            "storage::file",
            "storage::memory",
            "storage::object",
            "FileStorage",
            "MemoryStorage",
            "ObjectStorage",
        ],
    ),
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

/// Code only: no comments, and nothing from a module of tests on.
fn code(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // Tests in a file of their own are one line among others.
        let follows = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(follows) {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push(line);
        }
    }
    code.join("\n")
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
    for (path, text) in &found {
        let below = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
        let is_test = below.ends_with("tests.rs") || below.contains("/tests/");
        if !is_test {
            check(path, &code(text));
        }
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
fn protocol_is_pure_storage_sees_no_http_and_hooks_no_storage_of_ours() {
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

#[test]
fn the_reader_of_code_stops_at_tests_and_not_at_their_declaration() {
    let root = "mod a;\n#[cfg(test)]\nmod tests;\n\n// crate::b\nuse crate::c;";
    assert_eq!(used(&code(root)), ["c"]);
    let leaf = "use crate::a;\n#[cfg(test)]\nuse crate::b;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}";
    assert_eq!(used(&code(leaf)), ["a", "b"]);
}

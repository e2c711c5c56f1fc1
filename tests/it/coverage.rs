//! Every requirement of tus 1.0.0 is held by a test that names it.
//!
//! The name of a test starts with the ids it holds, in lower snake case, the group once:
//! `core_01_02_every_answer_…` holds CORE-01 and CORE-02, `chk_t01_…` holds CHK-T01,
//! `term_02_unf_07_…` holds TERM-02 and UNF-07. The first word that is neither a group nor a number
//! of two digits ends the ids, so numbers in the sentence behind them mean nothing.

use std::{collections::BTreeSet, fs, path::Path};

/// Groups and their numbers; what is missing in a row does not exist. `CHK-T` are the trailers.
const REQUIREMENTS: [(&str, &[u8]); 15] = [
    (
        "CORE-",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ),
    ("HEAD-", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (
        "PATCH-",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 27, 28, 29, 30,
        ],
    ),
    (
        "CREA-",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22,
        ],
    ),
    ("CWU-", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (
        "DEF-",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19,
        ],
    ),
    ("EXP-", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (
        "CHK-",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18],
    ),
    ("CHK-T", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("TERM-", &[1, 2, 3, 4, 6, 7, 10, 12, 13, 14, 15, 16]),
    (
        "CONC-",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 22, 23, 26, 27, 28,
            29, 30, 31, 32, 33, 34, 35,
        ],
    ),
    ("UNF-", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("CCY-", &[1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13]),
    (
        "ROB-",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 19, 20, 21, 22, 23, 25, 26, 27, 28,
            29, 30, 31, 32,
        ],
    ),
    ("CORS-", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
];

#[test]
fn every_requirement_has_a_test() {
    let required: BTreeSet<String> = REQUIREMENTS
        .iter()
        .flat_map(|(group, numbers)| numbers.iter().map(move |n| format!("{group}{n:02}")))
        .collect();
    let mut held = BTreeSet::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"),
        &mut held,
    );
    let missing: Vec<_> = required.difference(&held).collect();
    assert!(missing.is_empty(), "no test for {missing:?}");
    let unknown: Vec<_> = held.difference(&required).collect();
    assert!(
        unknown.is_empty(),
        "tests for what is no requirement: {unknown:?}"
    );
}

#[test]
fn names_are_read_as_described() {
    for (name, expected) in [
        ("core_01_02_x", &["CORE-01", "CORE-02"][..]),
        ("patch_13_is_204", &["PATCH-13"]),
        ("patch_16_64_mib", &["PATCH-16", "PATCH-64"]),
        ("chk_t01_t02_x", &["CHK-T01", "CHK-T02"]),
        ("chk_05_t02_x", &["CHK-05", "CHK-T02"]),
        ("term_02_unf_07_x", &["TERM-02", "UNF-07"]),
        ("a_core_01", &[]),
        ("01_core", &[]),
        ("head_9", &[]),
    ] {
        assert_eq!(ids(name), expected, "{name}");
    }
}

/// The ids at the start of the names of all tests below `directory`.
fn collect(directory: &Path, held: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("the tests' sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, held);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a readable source");
            for name in tests(&source) {
                held.extend(ids(name));
            }
        }
    }
}

/// The names of the functions that stand behind an attribute `test`.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    source.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return None;
        }
        let function = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ")?;
        let name = function.split('(').next()?;
        std::mem::take(&mut is_test).then_some(name)
    })
}

fn ids(name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut group = None;
    for word in name.split('_') {
        let upper = word.to_ascii_uppercase();
        let trailer = word
            .strip_prefix('t')
            .filter(|_| group.as_deref() == Some("CHK-"));
        let number = trailer.unwrap_or(word);
        if REQUIREMENTS
            .iter()
            .any(|(known, _)| known.strip_suffix('-') == Some(upper.as_str()))
        {
            group = Some(format!("{upper}-"));
        } else if let Some(group) = &group
            && number.len() == 2
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            ids.push(format!("{group}{upper}"));
        } else {
            break;
        }
    }
    ids
}

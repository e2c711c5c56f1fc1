//! What there is to upload: files in a fixed order, with the names they are given.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// One upload to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) content: Content,
    /// How messages call it.
    pub(super) shown: String,
    /// For the metadata.
    pub(super) filename: Option<String>,
    /// Of a file in a directory: from the directory's name on, with slashes.
    pub(super) relative_path: Option<String>,
    /// Where it is known before it is read.
    pub(super) size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    File(PathBuf),
    /// A pipe or a device: read once, from its beginning to its end.
    Pipe(PathBuf),
    Stdin,
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Item {
    /// Whether its bytes can be had again.
    pub(super) fn is_read_once(&self) -> bool {
        !matches!(self.content, Content::File(_))
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    /// In a directory when it was read, and not any more.
    pub(super) gone: Vec<PathBuf>,
}

/// Every file behind these names. One that cannot be read is an error before anything is sent.
pub(super) fn find(names: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for name in names {
        if is_stdin(name) {
            found.items.push(Item {
                content: Content::Stdin,
                shown: "standard input".into(),
                filename: None,
                relative_path: None,
                size: None,
            });
            continue;
        }
        let about = fs::metadata(name).with_context(|| unreadable(name))?;
        match about.is_dir() {
            false => {
                if about.is_file() {
                    fs::File::open(name).with_context(|| unreadable(name))?;
                }
                found.items.push(file(name, &about, None));
            }
            true => {
                // `.` and `..` have no name of their own.
                let real = fs::canonicalize(name).with_context(|| unreadable(name))?;
                let top = real.file_name().map_or_else(String::new, text);
                let before = found.items.len();
                walk(name, &top, &mut found)?;
                if found.items.len() == before {
                    bail!("{} has no files", name.display());
                }
            }
        }
    }
    Ok(found)
}

fn walk(directory: &Path, relative: &str, found: &mut Found) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| unreadable(directory))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| unreadable(directory))?;
    paths.sort();
    for path in paths {
        let name = path.file_name().map_or_else(String::new, text);
        let relative = match relative {
            "" => name,
            above => format!("{above}/{name}"),
        };
        match look(&path, relative, found) {
            Err(error) if is_gone(&path, &error) => found.gone.push(path),
            looked => looked?,
        }
    }
    Ok(())
}

/// Links to directories are left alone: they may lead in a circle.
fn look(path: &Path, relative: String, found: &mut Found) -> Result<()> {
    let kind = fs::symlink_metadata(path).with_context(|| unreadable(path))?;
    let about = match fs::metadata(path) {
        Ok(about) => about,
        // A link to nowhere is nothing to upload.
        Err(_) if kind.is_symlink() => return Ok(()),
        Err(error) => return Err(error).with_context(|| unreadable(path)),
    };
    if kind.is_dir() {
        walk(path, &relative, found)?;
    } else if about.is_file() {
        fs::File::open(path).with_context(|| unreadable(path))?;
        found.items.push(file(path, &about, Some(relative)));
    }
    Ok(())
}

/// Somebody removed it since its name was read.
fn is_gone(path: &Path, error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        && fs::symlink_metadata(path).is_err()
}

fn file(path: &Path, about: &fs::Metadata, relative_path: Option<String>) -> Item {
    let shown = relative_path
        .clone()
        .unwrap_or_else(|| text(path.as_os_str()));
    match about.is_file() {
        true => Item {
            content: Content::File(path.to_owned()),
            shown,
            filename: path.file_name().map(text),
            relative_path,
            size: Some(about.len()),
        },
        false => Item {
            content: Content::Pipe(path.to_owned()),
            shown,
            filename: None,
            relative_path: None,
            size: None,
        },
    }
}

/// Metadata is read as UTF-8 by everybody.
fn text(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn directories_keep_their_order_and_their_names() {
        let dir = tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("b/c")).unwrap();
        fs::create_dir(top.join("empty")).unwrap();
        for name in ["b/c/3", "b/2", "a", "z"] {
            fs::write(top.join(name), name).unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&top, top.join("circle")).unwrap();
            std::os::unix::fs::symlink("nowhere", top.join("dangling")).unwrap();
        }
        let items = find(&[top.join("b/.."), top.join("z")]).unwrap().items;
        let names: Vec<_> = items
            .iter()
            .map(|item| {
                (
                    item.relative_path.as_deref(),
                    item.filename.as_deref().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                (Some("top/a"), "a"),
                (Some("top/b/2"), "2"),
                (Some("top/b/c/3"), "3"),
                (Some("top/z"), "z"),
                (None, "z"),
            ]
        );
        let empty = find(&[top.join("empty")]).unwrap_err().to_string();
        assert!(empty.ends_with("empty has no files"), "{empty}");
        assert!(find(&[top.join("missing")]).is_err());
    }

    #[test]
    fn what_goes_while_it_is_looked_at_is_no_error() {
        let dir = tempdir().unwrap();
        let gone = dir.path().join("gone");
        let error = look(&gone, "gone".into(), &mut Found::default()).unwrap_err();
        assert!(is_gone(&gone, &error));
        fs::write(&gone, "back").unwrap();
        assert!(!is_gone(&gone, &error), "something else was not there");
    }
}

//! Settings from a file. What it says is what the flags are by default, so a flag or a variable of the
//! environment goes before it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, parser::ValueSource};
use toml::{Table, Value};

use super::args::Serve;
use crate::{address::shown_text, exit::Usage};

/// The subcommand that has a file.
const SERVE: &str = "serve";

/// Flags that have no place in a file.
const NOT_IN_A_FILE: [&str; 3] = ["config", "print-config", "help"];

/// The command line with what stands behind it: the environment, and a file.
#[derive(Debug)]
pub(crate) struct Given {
    matches: ArgMatches,
    file: Option<File>,
}

impl Given {
    /// Reads the command line, and a file if it names one. Wrong flags end the process, as clap does.
    pub(crate) fn read(command: Command) -> Result<Self> {
        let given = Self {
            matches: command.clone().get_matches(),
            file: None,
        };
        let serve = given.matches.subcommand_matches(SERVE);
        let Some(path) = serve.and_then(|serve| serve.get_one::<PathBuf>("config")) else {
            return Ok(given);
        };
        let file = File::read(path)?;
        let serve = command.find_subcommand(SERVE);
        let serve = file.as_defaults(serve.expect("it has matched").clone())?;
        let command = command.mut_subcommand(SERVE, |_| serve);
        Ok(Self {
            matches: command.get_matches(),
            file: Some(file),
        })
    }

    pub(crate) fn matches(&self) -> &ArgMatches {
        &self.matches
    }

    /// All settings of `tus serve` as a file would say them, each with where it is from. A URL that has what
    /// may be a secret is there as a comment, without it: a file with half of it would be another setting.
    pub(crate) fn print(&self) -> String {
        let Some(matches) = self.matches.subcommand_matches(SERVE) else {
            return String::new();
        };
        // Where a file has set defaults, flags are in another order.
        let serve = Serve::augment_args(Command::new(SERVE));
        let mut text = String::new();
        let mut heading = None;
        for flag in settings(&serve) {
            let name = name(flag);
            if flag.get_help_heading() != heading {
                heading = flag.get_help_heading();
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}# {}", heading.unwrap_or_default());
            }
            let origin = self.origin(flag, matches);
            let _ = match shown(flag, matches) {
                Some(Shown::Whole(value)) => writeln!(text, "{name} = {value} # {origin}"),
                Some(Shown::Partly(value)) => {
                    writeln!(
                        text,
                        "# {name} is {value}, without what may be a secret # {origin}"
                    )
                }
                None => writeln!(text, "# {name} is not set"),
            };
        }
        text
    }

    fn origin(&self, flag: &Arg, matches: &ArgMatches) -> String {
        match matches.value_source(flag.get_id().as_str()) {
            Some(ValueSource::CommandLine) => "flag".into(),
            Some(ValueSource::EnvVariable) => {
                let variable = flag.get_env().unwrap_or_default();
                variable.to_string_lossy().into_owned()
            }
            _ => match &self.file {
                Some(file) if file.texts.contains_key(name(flag)) => "file".into(),
                _ => "default".into(),
            },
        }
    }
}

/// A file that was read: the text of each setting.
#[derive(Debug)]
struct File {
    path: PathBuf,
    texts: BTreeMap<String, String>,
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(|error| Usage(format!("{error:#}")))?;
        Ok(Self::parse(path, &text)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Usage> {
        let at = |reason: String| Usage(format!("{}: {reason}", path.display()));
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            at(format!("line {line}: {}", error.message()))
        })?;
        let texts = table.into_iter().map(|(name, value)| {
            let text = plain(&value).ok_or_else(|| {
                at(format!(
                    "{name} is no text, number, boolean, nor a list of them"
                ))
            });
            Ok((name, text?))
        });
        Ok(Self {
            path: path.into(),
            texts: texts.collect::<Result<_, Usage>>()?,
        })
    }

    /// Makes the file's settings the defaults of the flags of the same names.
    fn as_defaults(&self, mut serve: Command) -> Result<Command, Usage> {
        for (name, text) in &self.texts {
            let flag = self.flag(&serve, name)?;
            self.check(&serve, flag, text)?;
            let values: Vec<_> = match flag.get_value_delimiter() {
                _ if text.is_empty() => Vec::new(),
                Some(delimiter) => text.split(delimiter).map(str::to_owned).collect(),
                None => vec![text.clone()],
            };
            let id = flag.get_id().to_string();
            serve = serve.mut_arg(id, |flag| match values.is_empty() {
                true => flag.default_value(None::<&str>),
                false => flag.default_values(values),
            });
        }
        Ok(serve)
    }

    fn flag<'c>(&self, serve: &'c Command, name: &str) -> Result<&'c Arg, Usage> {
        if let Some(flag) = settings(serve).find(|flag| self::name(flag) == name) {
            return Ok(flag);
        }
        if NOT_IN_A_FILE.contains(&name) {
            return Err(self.wrong(&format!("{name} has no place in a file")));
        }
        let likeness = |flag: &&Arg| strsim::jaro_winkler(name, self::name(flag));
        let nearest = settings(serve).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.map(self::name).unwrap_or_default();
        Err(self.wrong(&format!(
            "there is no setting {name:?}; the nearest is {nearest:?}"
        )))
    }

    /// Has clap say what is wrong with a value, as it does for a flag.
    fn check(&self, serve: &Command, flag: &Arg, text: &str) -> Result<(), Usage> {
        let name = name(flag);
        if matches!(flag.get_action(), ArgAction::SetTrue) {
            return match text {
                "true" | "false" => Ok(()),
                _ => Err(self.wrong(&format!("{name} has to be true or false"))),
            };
        }
        if text.is_empty() && matches!(flag.get_action(), ArgAction::Append) {
            return Ok(());
        }
        let command = serve
            .clone()
            .no_binary_name(true)
            .mut_args(|flag| flag.env(None::<&str>));
        let tried = command.try_get_matches_from([format!("--{name}={text}")]);
        tried.map(drop).map_err(|error| {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            self.wrong(line.trim_start_matches("error: "))
        })
    }

    fn wrong(&self, reason: &str) -> Usage {
        Usage(format!("{}: {reason}", self.path.display()))
    }
}

/// A value as a flag takes it; of a list, what it takes with commas.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<_>> = values.iter().map(plain).collect();
            Some(texts?.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// The flags that a file may set.
fn settings(serve: &Command) -> impl Iterator<Item = &Arg> {
    let flags = serve.get_arguments();
    flags.filter(|flag| !NOT_IN_A_FILE.contains(&name(flag)))
}

fn name(flag: &Arg) -> &str {
    flag.get_long().unwrap_or_default()
}

/// What may be seen of a setting.
enum Shown {
    /// All of it.
    Whole(Value),
    /// URLs without what may be a secret.
    Partly(Value),
}

/// `None` for what is not set.
fn shown(flag: &Arg, matches: &ArgMatches) -> Option<Shown> {
    let raw = matches.get_raw(flag.get_id().as_str())?;
    let given: Vec<_> = raw.map(OsStr::to_string_lossy).collect();
    let seen: Vec<_> = given.iter().map(|text| without_secrets(text)).collect();
    let is_whole = given == seen;
    let mut values = seen.into_iter().map(Value::String);
    let value = match flag.get_action() {
        ArgAction::Append => Value::Array(values.collect()),
        ArgAction::SetTrue => Value::Boolean(values.next()? == Value::String("true".into())),
        _ => values.next()?,
    };
    Some(match is_whole {
        true => Shown::Whole(value),
        false => Shown::Partly(value),
    })
}

fn without_secrets(text: &str) -> String {
    match text.contains("://") {
        true => shown_text(text),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(text: &str) -> Result<Command, Usage> {
        let serve = Serve::augment_args(Command::new(SERVE));
        File::parse(Path::new("tus.toml"), text)?.as_defaults(serve)
    }

    #[test]
    fn a_file_can_set_every_flag() {
        let serve = Serve::augment_args(Command::new(SERVE));
        let file = File::parse(Path::new("x"), "").unwrap();
        for flag in serve.get_arguments() {
            let found = file.flag(&serve, name(flag)).is_ok();
            assert_eq!(found, !NOT_IN_A_FILE.contains(&name(flag)), "{flag}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_one_line() {
        for (text, reason) in [
            (
                "max_size = 1",
                "there is no setting \"max_size\"; the nearest is \"max-size\"",
            ),
            (
                "listne = \"[::]:80\"",
                "there is no setting \"listne\"; the nearest is \"listen\"",
            ),
            ("config = \"x\"", "config has no place in a file"),
            (
                "max-size = \"huge\"",
                "invalid value 'huge' for '--max-size <SIZE>': not a size, as in 8GiB, 500MB or 10k",
            ),
            (
                "collision = \"rename\"",
                "invalid value 'rename' for '--collision <WHAT>'",
            ),
            (
                "trust-forwarded = \"yes\"",
                "trust-forwarded has to be true or false",
            ),
            (
                "max-parts = 1.5",
                "max-parts is no text, number, boolean, nor a list of them",
            ),
            (
                "[limits]\nmax-size = 1",
                "limits is no text, number, boolean, nor a list of them",
            ),
            (
                "\nmax-size = \n",
                "line 2: string values must be quoted, expected literal string",
            ),
            ("max-size = 1\nmax-size = 2", "line 2: duplicate key"),
        ] {
            let wrong = apply(text).unwrap_err().0;
            assert_eq!(wrong, format!("tus.toml: {reason}"));
        }
    }
}

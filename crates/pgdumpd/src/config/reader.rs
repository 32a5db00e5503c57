//! Reads values by the table of keys. A value that is wrong is recorded and replaced by a harmless one, so that
//! one run finds all problems; a reader with problems yields no configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};
use uuid::Uuid;

use super::describe::{Entry, Loaded};
use super::error::{ConfigError, Problem};
use super::keys::{self, Key, Kind};
use super::origin::Origin;
use super::sources::{self, Sources};
use super::{Config, values};
use crate::redact::without_secrets;

/// The merged layers, and what was found while reading them.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
    pub(super) warnings: Vec<String>,
    merged: sources::Merged,
    problems: Vec<Problem>,
    entries: Vec<Entry>,
}

/// One section's values, whether or not it was written.
pub(super) struct Section {
    /// Such as `daemon` or `targets.app`.
    pub(super) path: String,
    /// Such as `daemon` or `targets.*`.
    schema: &'static str,
    values: Dict,
}

/// A value and where it came from.
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl<'a> Reader<'a> {
    /// Merges the sources and checks that every key is known.
    pub(super) fn open(sources: &'a Sources) -> Result<Self, ConfigError> {
        let mut merged = sources::merge(sources)?;
        let mut reader = Self {
            sources,
            file: merged.file.clone(),
            warnings: Vec::new(),
            problems: std::mem::take(&mut merged.problems),
            merged,
            entries: Vec::new(),
        };
        reader.refuse_unknown_sections();
        Ok(reader)
    }

    /// A section without names.
    pub(super) fn section(&mut self, schema: &'static str) -> Section {
        let values = self.top(schema);
        self.checked(schema.to_owned(), schema, values)
    }

    /// The sections under `[top.NAME]`, by name.
    pub(super) fn named_sections(
        &mut self,
        top: &str,
        schema: &'static str,
    ) -> BTreeMap<String, Section> {
        let mut sections = BTreeMap::new();
        for (name, value) in self.top(top) {
            let path = format!("{top}.{}", quoted(&name));
            let Some(values) = value.as_dict() else {
                let origin = self.origin(&value);
                let hint = format!("is not a section: write [{path}] and its keys below");
                self.problem(path, Some(origin), hint);
                continue;
            };
            let section = self.checked(path, schema, values.clone());
            sections.insert(name, section);
        }
        sections
    }

    /// A section that nobody wrote.
    pub(super) fn empty_section(top: &str, name: &str, schema: &'static str) -> Section {
        Section {
            path: format!("{top}.{}", quoted(name)),
            schema,
            values: Dict::new(),
        }
    }

    /// Whether no layer has this section.
    pub(super) fn is_absent(&self, section: &str) -> bool {
        self.merged.figment.find_value(section).is_err()
    }

    /// Notes a problem.
    pub(super) fn problem(
        &mut self,
        key: impl Into<String>,
        origin: Option<Origin>,
        text: impl Into<String>,
    ) {
        self.problems.push(Problem {
            key: key.into(),
            origin,
            text: text.into(),
        });
    }

    /// Notes a key's effective value for `pgdumpd config`.
    pub(super) fn entry(&mut self, key: String, value: impl Into<String>, origin: Origin) {
        self.entries.push(Entry {
            key,
            // A person may have written an address with its password into any key.
            value: without_secrets(&value.into()).into_owned(),
            origin,
        });
    }

    /// The configuration, if there is no problem.
    pub(super) fn finish(self, config: Config) -> Result<Loaded, ConfigError> {
        if !self.problems.is_empty() {
            return Err(self.give_up());
        }
        Ok(Loaded {
            config,
            file: self.file,
            entries: self.entries,
            warnings: self.warnings,
        })
    }

    /// The problems.
    pub(super) fn give_up(self) -> ConfigError {
        ConfigError {
            problems: self.problems,
        }
    }

    /// Reads a value without recording its use; the default does not count.
    pub(super) fn find(&self, section: &Section, name: &str) -> Option<Found> {
        let value = section.values.get(name)?;
        Some(Found {
            value: value.clone(),
            origin: self.origin(value),
        })
    }

    /// Notes that a value is wrong.
    pub(super) fn refuse(&mut self, section: &Section, name: &str, found: &Found, why: &str) {
        let shown = values::shown(&found.value);
        let secret = key(section.schema, name).is_none_or(|key| key.kind.is_secret());
        let text = if secret {
            why.to_owned()
        } else {
            format!("{shown} {why}")
        };
        self.problem(section.key(name), Some(found.origin.clone()), text);
    }

    /// A duration within its bounds.
    pub(super) fn duration(&mut self, section: &Section, name: &str) -> Duration {
        self.optional_duration(section, name).unwrap_or_default()
    }

    /// The same, where the key may be missing.
    pub(super) fn optional_duration(&mut self, section: &Section, name: &str) -> Option<Duration> {
        self.read(section, name, |kind, value| {
            let duration = values::duration(value)
                .ok_or("is not a duration: write a number with its unit, such as \"30s\", \"5m\" or \"1h 30m\"")?;
            match kind {
                Kind::Duration(min, max) if (min..=max).contains(&duration) => Ok(duration),
                _ => Err("is out of range"),
            }
        })
    }

    /// Bytes.
    pub(super) fn size(&mut self, section: &Section, name: &str) -> u64 {
        self.read(section, name, |_, value| {
            values::size(value).ok_or("is not a size")
        })
        .unwrap_or_default()
    }

    /// A whole number within its bounds.
    pub(super) fn integer<T: TryFrom<u64> + Default>(
        &mut self,
        section: &Section,
        name: &str,
    ) -> T {
        self.optional_integer(section, name).unwrap_or_default()
    }

    /// The same, where the key may be missing.
    pub(super) fn optional_integer<T: TryFrom<u64>>(
        &mut self,
        section: &Section,
        name: &str,
    ) -> Option<T> {
        self.read(section, name, |kind, value| {
            let number = values::integer(value).ok_or("is not a whole number")?;
            match kind {
                Kind::Integer(min, max) if (min..=max).contains(&number) => {
                    T::try_from(number).map_err(|_| "is out of range")
                }
                _ => Err("is out of range"),
            }
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, section: &Section, name: &str) -> bool {
        self.read(section, name, |_, value| {
            values::boolean(value).ok_or("is neither")
        })
        .unwrap_or_default()
    }

    /// An id; `None` if not set.
    pub(super) fn uuid(&mut self, section: &Section, name: &str) -> Option<Uuid> {
        self.read(section, name, |_, value| {
            let text = values::text(value).ok_or("is not in quotes")?;
            Uuid::parse_str(&text).map_err(|_| "is not a UUID")
        })
    }

    /// A text, or one of the allowed words; `None` if not set.
    pub(super) fn text(&mut self, section: &Section, name: &str) -> Option<String> {
        self.read(section, name, |kind, value| {
            let text = values::text(value).ok_or("is not in quotes")?;
            match kind {
                Kind::Choice(words) if !words.contains(&text.as_str()) => Err("is not known"),
                _ => Ok(text),
            }
        })
    }

    /// A list of texts.
    pub(super) fn list(&mut self, section: &Section, name: &str) -> Vec<String> {
        self.read(section, name, |_, value| {
            values::list(value).ok_or("is not a list of texts")
        })
        .unwrap_or_default()
    }

    /// Reads one key by its line in the table: the value, else its default, else none.
    fn read<T>(
        &mut self,
        section: &Section,
        name: &str,
        convert: impl Fn(Kind, &Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let key = key(section.schema, name)?;
        let found = match self.find(section, name) {
            Some(found) => found,
            None => Found {
                value: Value::from(key.default?),
                origin: Origin::Default,
            },
        };
        match convert(key.kind, &found.value) {
            Ok(value) => {
                let shown = match key.kind {
                    Kind::List => {
                        let items = values::list(&found.value).unwrap_or_default();
                        values::shown(&Value::from(items))
                    }
                    Kind::Integer(..) | Kind::Boolean => {
                        values::shown(&found.value).trim_matches('"').to_owned()
                    }
                    kind if kind.is_secret() => "\"***\"".to_owned(),
                    _ => values::shown(&found.value),
                };
                self.entry(section.key(name), shown, found.origin);
                Some(value)
            }
            Err(why) => {
                self.refuse(
                    section,
                    name,
                    &found,
                    &format!("{why} (allowed is {})", key.kind),
                );
                None
            }
        }
    }

    fn origin(&self, value: &Value) -> Origin {
        // A table that several layers share has one layer's tag; only leaves are asked.
        Origin::from(self.merged.figment.get_metadata(value.tag()))
    }

    /// The values of a top-level section.
    fn top(&mut self, name: &str) -> Dict {
        let Ok(value) = self.merged.figment.find_value(name) else {
            return Dict::new();
        };
        if let Some(values) = value.as_dict() {
            return values.clone();
        }
        let origin = self.origin(&value);
        let hint = format!("is not a section: write [{name}] and its keys below");
        self.problem(name, Some(origin), hint);
        Dict::new()
    }

    /// Notes every key that the section does not have.
    fn checked(&mut self, path: String, schema: &'static str, values: Dict) -> Section {
        for (name, value) in &values {
            if key(schema, name).is_none() {
                let known: Vec<_> = keys::of_section(schema).map(|key| key.name).collect();
                let origin = self.origin(value);
                self.problem(
                    format!("{path}.{}", quoted(name)),
                    Some(origin),
                    unknown("key", name, &known),
                );
            }
        }
        Section {
            path,
            schema,
            values,
        }
    }

    fn refuse_unknown_sections(&mut self) {
        let known = keys::sections();
        let figment = &self.merged.figment;
        let Ok(all) = figment.extract::<BTreeMap<String, Value>>() else {
            return;
        };
        for name in all.keys().filter(|name| !known.contains(&name.as_str())) {
            let origin = figment.find_metadata(name).map(|m| Origin::from(Some(m)));
            self.problems.push(Problem {
                key: quoted(name),
                origin,
                text: unknown("section", name, &known),
            });
        }
    }
}

impl Section {
    /// The whole name of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }
}

fn key(schema: &str, name: &str) -> Option<&'static Key> {
    keys::of_section(schema).find(|key| key.name == name)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match keys::did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("unknown {what}: did you mean \"{meant}\"?"),
        None => format!("unknown {what}: known are {}", known.join(", ")),
    }
}

/// A name as TOML would write it in a key.
pub(super) fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

//! The text of a scenario as a TOML document that remembers where everything was written.
//!
//! Overrides are written into the document before it is read as keys, so that they are checked by
//! the same code. Each override gets a position of its own beyond the end of the text: whatever
//! goes wrong later is traced back by position, to a line of the file or to the `--set` that did
//! it.

use crate::error::{Diagnostic, Place};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest scenario text read, in bytes: a hundred times the longest one shipped.
const SOURCE_BYTES_MAX: usize = 1 << 18;

/// Where each key was written, by its path.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    file: String,
    places: BTreeMap<String, Place>,
}

impl Places {
    /// Where `key` was written, or the nearest table around it that was.
    pub(crate) fn of(&self, key: &str) -> Place {
        let mut path = key;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match path.rsplit_once('.') {
                Some((table, _)) => path = table,
                None => return Place::File { file: self.file.clone(), line: None },
            }
        }
    }
}

/// One part of a path as TOML writes it: bare where that is allowed, else quoted.
pub(super) fn part(name: &str) -> Cow<'_, str> {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.is_empty() || !name.chars().all(bare) {
        true => Cow::Owned(format!("{name:?}")),
        false => Cow::Borrowed(name),
    }
}

/// A parsed text with its overrides.
pub(crate) struct Document<'a> {
    source: &'a str,
    file: &'a str,
    overrides: Vec<String>,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses `source`; `file` is its name in messages.
    pub(crate) fn parse(source: &'a str, file: &'a str) -> Result<Document<'a>, Diagnostic> {
        let at = |offset| line_place(source, file, offset);
        if source.len() > SOURCE_BYTES_MAX {
            let problem = format!("{} bytes are too long", source.len());
            let place = Place::File { file: file.to_owned(), line: None };
            return Err(Diagnostic::new(place, "", problem)
                .expected(format!("at most {SOURCE_BYTES_MAX} bytes")));
        }
        match DeTable::parse(source) {
            Ok(root) => Ok(Document { source, file, overrides: Vec::new(), root }),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                Err(Diagnostic::new(at(offset), "", error.message().replace('\n', "; ")))
            }
        }
    }

    /// Writes `value` at `path`, over what stands there. Text that is no TOML value is a string.
    pub(super) fn set(&mut self, path: &str, value: &'a str) -> Result<(), Diagnostic> {
        let shown = format!("{path}={value}");
        let wrong = |problem: &str| {
            Diagnostic::new(Place::Override(shown.clone()), path, problem.to_owned())
        };
        let parts = split_path(path).ok_or_else(|| {
            wrong("no path of a key").expected("such as traffic.connections or phase.steady.rate")
        })?;
        let start = self.source.len() + 1 + self.overrides.len();
        let span = start..start + 1;
        let value = scalar(value).ok_or_else(|| {
            wrong("tables and lists cannot be set")
                .expected("a number, a truth value or a text")
                .remedy("Set its keys one by one, or write another scenario.")
        })?;
        let Some((last, tables)) = parts.split_last() else {
            return Err(wrong("no path of a key"));
        };
        let mut table: &mut DeTable<'a> = self.root.get_mut();
        let mut names = tables.iter();
        while let Some(name) = names.next() {
            let key = Spanned::new(span.clone(), Cow::Owned(name.clone()));
            let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            table = match table.entry(key).or_insert_with(empty).get_mut() {
                DeValue::Table(inner) => inner,
                DeValue::Array(list) => {
                    let Some(wanted) = names.next() else {
                        return Err(wrong("a list of tables").expected("the name of one of them"));
                    };
                    let known: Vec<String> =
                        list.iter().filter_map(|e| name_of(e.get_ref())).collect();
                    let found = known.iter().position(|name| name == wanted);
                    let element = found.and_then(|found| list.get_mut(found));
                    match element.map(Spanned::get_mut) {
                        Some(DeValue::Table(inner)) => inner,
                        _ => {
                            return Err(wrong(&format!("no {name} is named `{wanted}`"))
                                .among(wanted, known.iter().map(String::as_str)));
                        }
                    }
                }
                _ => return Err(wrong(&format!("`{name}` has a value and no keys"))),
            };
        }
        let key = Spanned::new(span.clone(), Cow::Owned(last.clone()));
        table.insert(key, Spanned::new(span, value));
        self.overrides.push(shown);
        Ok(())
    }

    /// Reads the document as keys.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<(T, Places), Diagnostic> {
        let Document { source, file, overrides, root } = self;
        let mut spans = Vec::new();
        walk(root.get_ref(), "", &mut spans);
        let place = |offset: usize| match offset.checked_sub(source.len() + 1) {
            Some(index) if index < overrides.len() => Place::Override(overrides[index].clone()),
            _ => line_place(source, file, offset),
        };
        match T::deserialize(toml::de::Deserializer::from(root)) {
            Ok(keys) => {
                let places =
                    spans.into_iter().map(|Spot { path, value, .. }| (path, place(value.start)));
                Ok((keys, Places { file: file.to_owned(), places: places.collect() }))
            }
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let path = spans
                    .iter()
                    .filter_map(|spot| Some((spot.width_at(span.start)?, &spot.path)))
                    .min_by_key(|(width, _)| *width)
                    .map_or("", |(_, path)| path);
                Err(explain(place(span.start), path, error.message()))
            }
        }
    }
}

/// Where a key and its value stand.
struct Spot {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl Spot {
    /// Width of the narrower of the two spans that covers `offset`.
    fn width_at(&self, offset: usize) -> Option<usize> {
        let spans = [&self.key, &self.value];
        spans.into_iter().filter(|span| span.contains(&offset)).map(|span| span.len()).min()
    }
}

fn walk(table: &DeTable<'_>, path: &str, spots: &mut Vec<Spot>) {
    for (key, value) in table {
        let below = part(key.get_ref());
        let path = if path.is_empty() { below.into_owned() } else { format!("{path}.{below}") };
        walk_value(value, &path, spots);
        spots.push(Spot { path, key: key.span(), value: value.span() });
    }
}

fn walk_value(value: &Spanned<DeValue<'_>>, path: &str, spots: &mut Vec<Spot>) {
    match value.get_ref() {
        DeValue::Table(inner) => walk(inner, path, spots),
        DeValue::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                let path = match name_of(element.get_ref()) {
                    Some(name) => format!("{path}.{}", part(&name)),
                    None => format!("{path}[{index}]"),
                };
                walk_value(element, &path, spots);
                spots.push(Spot { path, key: element.span(), value: element.span() });
            }
        }
        _ => {}
    }
}

/// The `name` of a table in a list, or its place where it has none.
fn name_of(element: &DeValue<'_>) -> Option<String> {
    element.as_table()?.get("name")?.get_ref().as_str().map(str::to_owned)
}

fn line_place(source: &str, file: &str, offset: usize) -> Place {
    let before = source.as_bytes().iter().take(offset);
    let line = 1 + before.filter(|&&byte| byte == b'\n').count();
    Place::File { file: file.to_owned(), line: Some(line) }
}

/// The parts of a dotted path, in TOML's own syntax.
fn split_path(path: &str) -> Option<Vec<String>> {
    if path.contains(['=', '\n', '\r', '#', '[', '{']) {
        return None;
    }
    let line = format!("{path} = 0");
    let parsed = DeTable::parse(&line).ok()?;
    let mut table = parsed.get_ref();
    let mut parts = Vec::new();
    loop {
        let (key, value) = table.iter().next()?;
        parts.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(parts),
        }
    }
}

/// The value of an override: a scalar of TOML, or the text itself; `None` for tables and lists.
fn scalar(text: &str) -> Option<DeValue<'_>> {
    if text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    let string = || DeValue::String(Cow::Borrowed(text));
    Some(DeValue::parse(text).map_or_else(|_| string(), Spanned::into_inner))
}

/// Turns the message of serde into ours.
fn explain(place: Place, path: &str, message: &str) -> Diagnostic {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, [found, known @ ..]) = (message.starts_with("unknown field"), &quoted[..]) {
        let error = Diagnostic::new(place, path, "unknown key").among(found, known.iter().copied());
        return match path.starts_with("pass.") {
            true => error.remedy("Quote the path of a value: \"ledger.lost\" = { max = 0 }"),
            false => error,
        };
    }
    if let (true, [found, known @ ..]) = (message.starts_with("unknown variant"), &quoted[..]) {
        let problem = format!("`{found}` is not known");
        return Diagnostic::new(place, path, problem).among(found, known.iter().copied());
    }
    if let (true, [field]) = (message.starts_with("missing field"), &quoted[..]) {
        let key = if path.is_empty() { (*field).to_owned() } else { format!("{path}.{field}") };
        return Diagnostic::new(place, &key, "missing; it has no default");
    }
    let integers = [("u64", "0 to 2^63 - 1"), ("u32", "0 to 2^32 - 1"), ("u16", "0 to 65535")];
    let mut message = message.replace('\n', "; ");
    for (name, range) in integers {
        message = message
            .replace(&format!("expected {name}"), &format!("expected a whole number, {range}"));
    }
    Diagnostic::new(place, path, message)
}

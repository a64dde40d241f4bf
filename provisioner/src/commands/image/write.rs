//! `--write workload.NAME`: HOST_DATA and what it admits, into the manifest, with every comment where it was.

use std::path::Path;

use image::cce::{Fragment, GroupPolicy, Mode};
use manifest::Manifest;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::group::{Described, manifest, workload};
use crate::cli::ImageMeasure;
use crate::commands::print;
use crate::failure::{Exit, Failure};

/// Changes the manifest, unless the result would not be one.
pub(super) fn write(
    options: &ImageMeasure,
    section: &str,
    policy: &GroupPolicy,
    described: &Described,
) -> Result<(), Failure> {
    let name = workload(section)?;
    let path = options.place.manifest.as_deref();
    let path = path.ok_or_else(|| Failure::new("--write without --manifest", "add it"))?;
    let (text, _) = manifest(path)?;
    // A section that describes the group says already what it admits.
    let admits = options.arm.as_ref().map(|_| described);
    let changed = edit(&text, name, &hex::encode(policy.host_data()), admits)?;
    Manifest::parse(&path.display().to_string(), &changed).map_err(|faults| {
        let remedy = "nothing was written; a manifest for the public cloud admits no debug policy";
        Failure::of("the manifest would have faults", faults, remedy).exiting(Exit::Refused)
    })?;
    let told = if changed == text {
        format!("{} has this HOST_DATA already\n", path.display())
    } else {
        replace(path, &changed)?;
        format!("wrote {section} of {}; raise deployment.revision\n", path.display())
    };
    // Programs read what was measured, and nothing after it.
    if options.json { Ok(()) } else { print(&told) }
}

fn edit(
    text: &str,
    name: &str,
    host_data: &str,
    admits: Option<&Described>,
) -> Result<String, Failure> {
    let odd = || {
        Failure::new(
            format!("the manifest has no [workload.{name}]"),
            "add the workload first: its kind, floors and host_data = [\"…\"]",
        )
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Failure::of("the manifest is not TOML", error, "correct the manifest")
    })?;
    let workload = document.get_mut("workload").and_then(|all| all.get_mut(name));
    let workload = workload.and_then(Item::as_table_like_mut).ok_or_else(odd)?;
    let same = workload.get("host_data").and_then(Item::as_array).is_some_and(|list| {
        list.len() == 1 && list.get(0).and_then(Value::as_str) == Some(host_data)
    });
    if !same {
        put(workload.get_mut("host_data").ok_or_else(odd)?, Array::from_iter([host_data]));
    }
    if let Some(described) = admits {
        let debug = described.mode == Mode::InsecureDebug;
        let nothing = described.fragments.is_empty() && !debug;
        if !(nothing && workload.get("group").is_none()) {
            let group = workload.entry("group").or_insert(Item::Table(Table::new()));
            let group = group.as_table_like_mut().ok_or_else(odd)?;
            let list: Array = described.fragments.iter().map(fragment).collect();
            set(group, "fragments", (!list.is_empty()).then_some(list.into()));
            set(group, "insecure_debug", debug.then_some(true.into()));
        }
    }
    Ok(document.to_string())
}

/// Another value with the comments and spaces of the one before.
fn put(item: &mut Item, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(before) = item.as_value() {
        *value.decor_mut() = before.decor().clone();
    }
    *item = Item::Value(value);
}

fn set(table: &mut dyn toml_edit::TableLike, key: &str, value: Option<Value>) {
    match (table.get_mut(key), value) {
        (Some(item), Some(value)) => put(item, value),
        (None, Some(value)) => drop(table.insert(key, Item::Value(value))),
        (_, None) => drop(table.remove(key)),
    }
}

fn fragment(fragment: &Fragment) -> Value {
    let mut table = InlineTable::new();
    table.insert("issuer", fragment.issuer.as_str().into());
    table.insert("feed", fragment.feed.as_str().into());
    let svn = fragment.minimum_svn.parse::<i64>().unwrap_or_default();
    table.insert("minimum_svn", svn.into());
    table
        .insert("includes", fragment.includes.iter().map(String::as_str).collect::<Array>().into());
    table.into()
}

/// A reader sees the old text or the new one.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let next = path.with_extension("toml.next");
    std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, path)).map_err(|error| {
        Failure::of(format!("writing {}", path.display()), error, "check that it may be written")
    })
}

#[cfg(test)]
mod tests;

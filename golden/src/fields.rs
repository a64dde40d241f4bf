//! Every field of a manifest means something to `diff`, or is on a list of those that do not, with the reason.
//!
//! The fields come from the manifest's own schema, so a new one fails here until somebody has decided which it is. Each is
//! changed alone, to the first other value that makes a manifest, and taken away, if that leaves one; both must be told.

use std::collections::{BTreeMap, BTreeSet};

use infra::diff::{Change, diff};
use manifest::Manifest;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::diff::side;

/// Fields that have one value in this version of the language. When one gains a second, it leaves this list.
const ONE_VALUE: [&str; 7] = [
    "version",
    "attestation.server.compliance",
    "attestation.server.uvm.feed",
    "attestation.server.vmpl",
    "operator.*.login",
    "workload.*.uvm.feed",
    "workload.*.vmpl",
];

/// Fields whose change means nothing to who gets what, and why.
const SILENT: [(&str, &str); 2] = [
    ("deployment.revision", "it grows with every change; one that does not grow is told"),
    (
        "workload.*.group.container.*.*",
        "HOST_DATA says which group it is; these only say what it was once computed from",
    ),
];

/// Fields that do not change alone: what changes with each.
fn together(field: &str) -> Vec<(&'static str, Option<&'static str>)> {
    match field {
        "attestation.provider" | "attestation.address" => vec![
            ("attestation.provider", Some("\"other\"")),
            ("attestation.address", Some("\"https://other.weu.attest.azure.net\"")),
        ],
        "master_key.vault" | "master_key.address" => vec![
            ("master_key.vault", Some("\"vouchsafe-other\"")),
            ("master_key.address", Some("\"https://vouchsafe-other.vault.azure.net\"")),
        ],
        "tls.source" => vec![("tls.source", Some("\"server\"")), ("tls.pkcs12", None)],
        "azure.cloud" => vec![
            ("azure.cloud", Some("\"public\"")),
            ("azure.insecure_local", None),
            ("signer.first.insecure_key", None),
            ("signer.second.insecure_key", None),
            ("workload.demo.group.insecure_debug", None),
            ("master_key.purge_protection", Some("true")),
        ],
        "workload.*.kind" => vec![
            ("workload.demo.kind", Some("\"vm\"")),
            ("workload.demo.host_data", None),
            ("workload.demo.uvm", None),
            ("workload.demo.group", None),
            ("workload.demo.secure_boot", Some("true")),
            (
                "workload.demo.pcrs",
                Some(
                    "{ 4 = [\"1111111111111111111111111111111111111111111111111111111111111111\"], 7 = [\"1111111111111111111111111111111111111111111111111111111111111111\"] }",
                ),
            ),
        ],
        _ => Vec::new(),
    }
}

/// dev.toml with everything that may be left out.
fn whole() -> Table {
    let text = include_str!("../../manifests/dev.toml")
        .replace("source = \"provisioner\"", "source = \"pkcs12\"\npkcs12 = \"tls.p12\"")
        .replace("[attestation.server]", "[attestation.server]\nlaunch_measurements = [\"@96\"]")
        .replace("[workload.demo]", "[workload.demo]\nlaunch_measurements = [\"@96\"]")
        .replace("tcb.milan =", "tcb.turin = { fmc = 1, bootloader = 1, tee = 1, snp = 1, microcode = 1 }\ntcb.milan =")
        .replace("[attestation.server.tcb]", "[attestation.server.tcb]\nturin = { fmc = 1, bootloader = 1, tee = 1, snp = 1, microcode = 1 }")
        .replace("tee = 0", "tee = 1")
        .replace("may = [\"write\", \"list\", \"delete\", \"read\", \"rotate\"]", "may = [\"write\", \"list\"]")
        .replace("holder.bob", "holder.carol = \"age1fsndjp6vylvfahjeyuxq4s2tw8s8rv2j89ge7a28fvhnhf35s86s7fulwj\"\nholder.bob")
        .replace("@96", &"3".repeat(96));
    let more = format!(
        "[[server.permitted]]\nhost_data = \"{0}\"\nuntil = \"2027-01-31\"\n\
         [workload.demo.group]\ninsecure_debug = true\n\
         [[workload.demo.group.fragments]]\nissuer = \"did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.3\"\n\
         feed = \"example/feed\"\nminimum_svn = 4\nincludes = [\"containers\"]\n\
         [workload.demo.group.container.app]\nimage = \"example.azurecr.io/app:1\"\ncommand = [\"/app\"]\n\
         environment = {{ A = \"b\" }}\nvolumes = [{{ kind = \"empty-dir\", path = \"/a\", read_only = true }}]\n\
         user = 1\ngroup = 1\nadd_capabilities = [\"CAP_CHOWN\"]\ndrop_capabilities = [\"CAP_KILL\"]\nno_new_privileges = true\n",
        "4".repeat(64)
    );
    toml::from_str(&(text + &more)).unwrap()
}

fn parse(document: &Table) -> Result<Manifest, String> {
    Manifest::parse("changed", &toml::to_string(document).unwrap())
        .map_err(|faults| faults.to_string())
}

fn changes(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let today = "2026-11-22".parse().unwrap();
    diff(&side("old", old, false), &side("new", new, false), today).unwrap().changes
}

/// Every field of the schema; `*` is a name that the author chooses, `[]` an element of a list.
fn fields() -> BTreeMap<String, Json> {
    let schema: Json = serde_json::from_str(&manifest::schema_text()).unwrap();
    let mut found = BTreeMap::new();
    let mut left = vec![(String::new(), schema.clone())];
    while let Some((path, node)) = left.pop() {
        let below = |name: &str| match path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        if let Some(name) = node.get("$ref").and_then(Json::as_str) {
            let target = schema.pointer(name.trim_start_matches('#')).unwrap().clone();
            left.push((path, target));
            continue;
        }
        if let Some(any) = node.get("anyOf").and_then(Json::as_array) {
            left.extend(any.iter().map(|one| (path.clone(), one.clone())));
            continue;
        }
        let before = left.len();
        for (name, inner) in node.get("properties").and_then(Json::as_object).into_iter().flatten()
        {
            left.push((below(name), inner.clone()));
        }
        let patterns =
            node.get("patternProperties").and_then(Json::as_object).into_iter().flatten();
        let named = patterns.map(|(_, inner)| inner).chain(node.get("additionalProperties"));
        left.extend(named.filter(|it| it.is_object()).map(|inner| (below("*"), inner.clone())));
        if let Some(inner) = node.get("items") {
            left.push((below("[]"), inner.clone()));
        }
        if left.len() == before && node.get("type") != Some(&Json::from("null")) {
            found.insert(path, node);
        }
    }
    found
}

/// Puts other values into one place, until one makes a manifest.
fn changed(field: &str, schema: &Json, base: &Table) -> Option<Table> {
    let edits = together(field);
    if !edits.is_empty() {
        let mut document = base.clone();
        for (path, value) in edits {
            let (parent, name) = path.rsplit_once('.').unwrap();
            let table = place(&mut document, parent).unwrap().as_table_mut().unwrap();
            match value {
                Some(text) => {
                    let one: Table = toml::from_str(&format!("it = {text}")).unwrap();
                    table.insert(name.to_owned(), one["it"].clone());
                }
                None => drop(table.remove(name)),
            }
        }
        parse(&document).unwrap_or_else(|faults| panic!("{field}: {faults}"));
        return Some(document);
    }
    let was = place(&mut base.clone(), field)
        .unwrap_or_else(|| panic!("{field} is not in the whole manifest"))
        .clone();
    others(&was, schema).into_iter().find_map(|value| {
        let mut document = base.clone();
        *place(&mut document, field)? = value;
        (parse(&document).ok()? != parse(base).unwrap()).then_some(document)
    })
}

/// The first place of a field.
fn place<'a>(document: &'a mut Table, field: &str) -> Option<&'a mut Value> {
    let (first, rest) = field.split_once('.').unwrap_or((field, ""));
    let parts: Vec<&str> = rest.split('.').filter(|part| !part.is_empty()).collect();
    reach(document.get_mut(first)?, &parts)
}

fn reach<'a>(value: &'a mut Value, parts: &[&str]) -> Option<&'a mut Value> {
    let [first, rest @ ..] = parts else { return Some(value) };
    match (*first, value) {
        ("*", Value::Table(table)) => {
            // The first name below which the field is.
            let name = table
                .iter_mut()
                .find_map(|(name, inner)| reach(inner, rest).is_some().then(|| name.clone()))?;
            reach(table.get_mut(&name)?, rest)
        }
        ("[]", Value::Array(array)) => reach(array.first_mut()?, rest),
        (name, Value::Table(table)) => reach(table.get_mut(name)?, rest),
        _ => None,
    }
}

/// Takes a field away, if what is left is a manifest.
fn removed(field: &str, base: &Table) -> Option<Table> {
    let mut document = base.clone();
    match field.rsplit_once('.') {
        Some((parent, "[]")) => {
            place(&mut document, parent)?.as_array_mut()?.remove(0);
        }
        Some((parent, name)) => {
            let table = place(&mut document, parent)?.as_table_mut()?;
            let name = match name {
                "*" => table.keys().next()?.clone(),
                name => name.to_owned(),
            };
            table.remove(&name)?;
        }
        None => {
            document.remove(field)?;
        }
    }
    (parse(&document).ok()? != parse(base).unwrap()).then_some(document)
}

fn others(was: &Value, schema: &Json) -> Vec<Value> {
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let constants = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    let words = listed.chain(constants.filter_map(|one| one.get("const"))).filter_map(Json::as_str);
    let mut others: Vec<Value> = words.map(Value::from).collect();
    match was {
        Value::Boolean(was) => others.push((!was).into()),
        Value::Integer(was) => others.extend([Value::from(was + 1), Value::from(was - 1)]),
        Value::Float(was) => others.push(Value::from(was + 1.0)),
        Value::String(was) => {
            let mut shorter = was.clone();
            shorter.pop();
            others.extend(
                ["a", "0", "1", "2", "x"].map(|end| Value::from(format!("{shorter}{end}"))),
            );
            others.extend(["x", "2"].map(|end| Value::from(format!("{was}{end}"))));
            others.extend(
                [
                    "payments/*",
                    "/other",
                    "age1y8m84r6pwd4da5d45zzk03rlgv2xr7fn9px80suw3psrahul44ashl0usm",
                    "machine",
                ]
                .map(Value::from),
            );
            others.push(Value::from(format!("sha256:{}", "5".repeat(64))));
        }
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {}
    }
    others.retain(|other| other != was);
    others
}

fn matches(pattern: &str, field: &str) -> bool {
    match pattern.strip_suffix(".*.*") {
        Some(start) => field.starts_with(start),
        None => pattern == field,
    }
}

#[test]
fn every_field_is_told_or_means_nothing() {
    let base = whole();
    let old = parse(&base).unwrap_or_else(|faults| panic!("{faults}"));
    let mut faults: Vec<String> = Vec::new();
    let mut unused: BTreeSet<&str> =
        ONE_VALUE.into_iter().chain(SILENT.iter().map(|(pattern, _)| *pattern)).collect();
    for (field, schema) in fields() {
        let one_value = ONE_VALUE.iter().find(|pattern| **pattern == field);
        let silent = SILENT.iter().find(|(pattern, _)| matches(pattern, &field));
        unused.retain(|pattern| {
            Some(pattern) != one_value && silent.is_none_or(|(it, _)| it != pattern)
        });
        let new = changed(&field, &schema, &base);
        match (&new, one_value) {
            (None, Some(_)) | (Some(_), None) => {}
            (None, None) => faults.push(format!("{field}: no other value was found")),
            (Some(_), Some(_)) => faults.push(format!("{field}: has a second value")),
        }
        for (how, new) in [("changed", new), ("removed", removed(&field, &base))] {
            let Some(new) = new else { continue };
            let told = changes(&old, &parse(&new).unwrap());
            match (told.is_empty(), silent) {
                (true, None) => faults.push(format!("{field}: {how}, and it is not told")),
                (false, Some(_)) => faults.push(format!("{field}: {how}, and told: {told:?}")),
                (true, Some(_)) | (false, None) => {}
            }
        }
    }
    assert!(faults.is_empty() && unused.is_empty(), "{}\nunused: {unused:?}", faults.join("\n"));
}

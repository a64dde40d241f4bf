//! Tokens and policies, as Vault's clients expect to see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manifest::{Action, Manifest, PathGlob};
use protocol::grant::SecretText;
use serde::Serialize;

use crate::kv::MOUNT;
use crate::tokens::{About, Authenticated, Holder};

/// The member `auth` of an answer that brings or prolongs a token.
#[derive(Serialize)]
pub(super) struct AuthBlock {
    client_token: Option<SecretText>,
    accessor: String,
    policies: [String; 1],
    token_policies: [String; 1],
    metadata: BTreeMap<&'static str, String>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'static str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u8,
}

impl AuthBlock {
    pub(super) fn new(token: Option<SecretText>, about: &About, now: Timestamp) -> Self {
        Self {
            client_token: token,
            accessor: about.accessor.to_string(),
            policies: [about.holder.policy()],
            token_policies: [about.holder.policy()],
            metadata: BTreeMap::from([("role", about.holder.name().to_owned())]),
            lease_duration: about.left(now),
            renewable: about.renewable(),
            entity_id: "",
            token_type: "service",
            orphan: true,
            mfa_requirement: None,
            num_uses: 0,
        }
    }
}

/// What a lookup of a token tells.
#[derive(Serialize)]
pub(super) struct TokenBlock {
    id: SecretText,
    accessor: String,
    policies: [String; 1],
    display_name: String,
    path: &'static str,
    meta: BTreeMap<&'static str, String>,
    creation_time: i64,
    creation_ttl: u64,
    issue_time: Timestamp,
    expire_time: Timestamp,
    explicit_max_ttl: u64,
    ttl: u64,
    renewable: bool,
    num_uses: u8,
    orphan: bool,
    entity_id: &'static str,
    r#type: &'static str,
}

impl TokenBlock {
    /// `id` is the token, if the caller has it anyway, or empty.
    pub(super) fn new(id: SecretText, token: &Authenticated, now: Timestamp) -> Self {
        let about = token.about();
        Self {
            id,
            accessor: about.accessor.to_string(),
            policies: [about.holder.policy()],
            display_name: about.holder.policy(),
            path: match about.holder {
                Holder::Operator(_) => "auth/jwt/login",
                Holder::Workload(_) => "auth/attest/login",
            },
            meta: BTreeMap::from([("role", about.holder.name().to_owned())]),
            creation_time: about.issued.as_second(),
            creation_ttl: crate::tokens::seconds(about.expires.duration_since(about.issued)),
            issue_time: about.issued,
            expire_time: about.expires,
            explicit_max_ttl: crate::tokens::seconds(about.latest.duration_since(about.issued)),
            ttl: about.left(now),
            renewable: about.renewable(),
            num_uses: 0,
            orphan: true,
            entity_id: "",
            r#type: "service",
        }
    }
}

/// The rules of the manifest, as Vault's policies would say them; for reading only, since the manifest decides.
pub(super) fn policies(manifest: &Manifest) -> BTreeMap<String, String> {
    let operators = manifest.operator().iter().map(|(name, operator)| {
        let holder = Holder::Operator(name.as_str().to_owned());
        let mut text = head(manifest);
        for glob in &operator.paths {
            for (place, capabilities) in operator_rules(operator) {
                rule(&mut text, &format!("{MOUNT}/{place}/{glob}"), &capabilities);
            }
        }
        for (path, capability) in key_rules(operator) {
            rule(&mut text, path, &[capability]);
        }
        (holder.policy(), text)
    });
    let workloads = manifest.workload().keys().map(|name| {
        let holder = Holder::Workload(name.as_str().to_owned());
        let mut text = head(manifest);
        for (path, secret) in manifest.secret() {
            if secret.readers.contains(name) {
                text.push_str(&format!("# only the field \"{}\"\n", secret.field));
                rule(&mut text, &format!("{MOUNT}/data/{path}"), &["read"]);
                rule(&mut text, &format!("{MOUNT}/metadata/{path}"), &["read"]);
            }
        }
        (holder.policy(), text)
    });
    operators.chain(workloads).collect()
}

fn head(manifest: &Manifest) -> String {
    let deployment = manifest.deployment();
    format!("# from the manifest of {}, revision {}\n", deployment.name, deployment.revision)
}

fn rule(text: &mut String, path: &str, capabilities: &[&str]) {
    let quoted: Vec<String> = capabilities.iter().map(|one| format!("\"{one}\"")).collect();
    text.push_str(&format!("path \"{path}\" {{ capabilities = [{}] }}\n", quoted.join(", ")));
}

/// Whoever may renew the store's keys sees which is in force.
fn key_rules(operator: &manifest::Operator) -> &'static [(&'static str, &'static str)] {
    let everywhere = operator.paths.iter().any(|glob| glob.as_str() == "*");
    match everywhere && operator.may.contains(&Action::Rotate) {
        true => &[("sys/key-status", "read"), ("sys/rotate", "update")],
        false => &[],
    }
}

fn operator_rules(operator: &manifest::Operator) -> Vec<(&'static str, Vec<&'static str>)> {
    let may = |action| operator.may.contains(&action);
    let mut data = Vec::new();
    let mut metadata = Vec::new();
    if may(Action::Write) {
        data.extend(["create", "update", "patch"]);
        metadata.extend(["create", "update"]);
    }
    if may(Action::Read) {
        data.push("read");
    }
    if may(Action::List) {
        metadata.extend(["read", "list"]);
    }
    if may(Action::Delete) {
        data.push("delete");
        metadata.push("delete");
    }
    let mut rules = vec![("data", data), ("metadata", metadata)];
    if may(Action::Read) {
        rules.push(("subkeys", vec!["read"]));
    }
    if may(Action::Delete) {
        rules.extend([("delete", vec!["update"]), ("destroy", vec!["update"])]);
    }
    if may(Action::Write) {
        rules.push(("undelete", vec!["update"]));
    }
    rules.retain(|(_, capabilities)| !capabilities.is_empty());
    rules
}

/// What the holder of a token may do at a path of the API.
pub(super) fn capabilities(
    manifest: &Manifest,
    token: &Authenticated,
    path: &str,
) -> Vec<&'static str> {
    let path = path.trim_matches('/');
    let own = ["auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self"];
    if own.contains(&path) || path == "sys/capabilities-self" {
        return vec!["read", "update"];
    }
    if let Holder::Operator(name) = token.holder() {
        let mut operators = manifest.operator().iter();
        let operator = operators.find(|(other, _)| other.as_str() == name);
        let mut rules = operator.iter().flat_map(|(_, operator)| key_rules(operator));
        if let Some((_, capability)) = rules.find(|(other, _)| *other == path) {
            return vec![capability];
        }
    }
    let below = path.strip_prefix(MOUNT).and_then(|rest| rest.strip_prefix('/'));
    let Some((place, secret)) = below.and_then(|rest| rest.split_once('/')) else {
        return vec!["deny"];
    };
    let name = token.holder().name();
    let found = match token.holder() {
        Holder::Operator(_) => manifest
            .operator()
            .iter()
            .filter(|(other, operator)| {
                other.as_str() == name && operator.paths.iter().any(|glob| covers(glob, secret))
            })
            .flat_map(|(_, operator)| operator_rules(operator))
            .find(|(other, _)| *other == place)
            .map(|(_, capabilities)| capabilities),
        Holder::Workload(_) => manifest
            .secret()
            .iter()
            .any(|(path, rules)| {
                path.as_str() == secret
                    && rules.readers.iter().any(|reader| reader.as_str() == name)
            })
            .then(|| match place {
                "data" | "metadata" => vec!["read"],
                _ => vec!["deny"],
            }),
    };
    found.unwrap_or_else(|| vec!["deny"])
}

fn covers(glob: &PathGlob, path: &str) -> bool {
    match glob.as_str().strip_suffix('*') {
        Some(folder) => path.starts_with(folder),
        None => path == glob.as_str(),
    }
}

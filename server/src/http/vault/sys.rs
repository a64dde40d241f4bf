//! `sys/`: how the server is, and what the manifest owns, for reading.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use manifest::Action;
use protocol::grant::SecretText;
use serde::Deserialize;
use serde_json::json;

use super::describe;
use crate::grant::decide;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::http::request::{Head, Request, Verb};
use crate::http::route::{Context, Standing};
use crate::kv::MOUNT;
use crate::tokens::{self, Authenticated, TokenText};

pub(super) fn health(context: &Context, head: &Head) -> Result<Reply, Refusal> {
    let (parameter, usual) = match context.standing {
        Standing::Serving => ("activecode", StatusCode::OK),
        Standing::Unconfirmed => ("sealedcode", StatusCode::SERVICE_UNAVAILABLE),
    };
    let status = match head.parameter(parameter) {
        None => usual,
        Some(text) => text
            .parse::<u16>()
            .ok()
            .filter(|code| (200..600).contains(code))
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| Refusal::malformed("not a status code"))?,
    };
    let core = &context.core;
    let health = json!({
        "initialized": true,
        "sealed": context.standing == Standing::Unconfirmed,
        "standby": false,
        "performance_standby": false,
        "replication_performance_mode": "disabled",
        "replication_dr_mode": "disabled",
        "server_time_utc": core.now().as_second(),
        "version": VERSION,
        "enterprise": false,
        "cluster_name": core.trust_root.deployment(),
        "cluster_id": core.identity.id(),
    });
    Reply::json(status, &health)
}

pub(super) fn seal_status(context: &Context) -> Result<Reply, Refusal> {
    let core = &context.core;
    let header = core.store.header();
    let shares = header.shares();
    let status = json!({
        "type": "vouchsafe",
        "initialized": true,
        "sealed": context.standing == Standing::Unconfirmed,
        "t": shares.threshold,
        "n": shares.shares.len(),
        "progress": 0,
        "nonce": "",
        "version": VERSION,
        "build_date": "",
        "migration": false,
        "cluster_name": core.trust_root.deployment(),
        "cluster_id": core.identity.id(),
        "recovery_seal": true,
        "storage_type": "vouchsafe",
    });
    Reply::json(StatusCode::OK, &status)
}

pub(super) fn leader() -> Result<Reply, Refusal> {
    let leader = json!({
        "ha_enabled": false,
        "is_self": true,
        "active_time": Timestamp::UNIX_EPOCH,
        "leader_address": "",
        "leader_cluster_address": "",
        "performance_standby": false,
        "performance_standby_last_remote_wal": 0,
    });
    Reply::json(StatusCode::OK, &leader)
}

pub(super) fn init() -> Result<Reply, Refusal> {
    Reply::json(StatusCode::OK, &json!({ "initialized": true }))
}

pub(super) fn answer(
    context: &Context,
    request: &Request,
    token: &Authenticated,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let (id, manifest) = (context.id, &context.in_force.manifest);
    match (request.head.verb(), path) {
        (Verb::Read, ["mounts"]) => Reply::data(id, &mounts()),
        (Verb::Read, ["mounts", name]) => match mounts().remove(&format!("{name}/")) {
            Some(mount) => Reply::data(id, &mount),
            None => Err(Refusal::malformed("no such mount")),
        },
        (Verb::Read, ["auth"]) => Reply::data(id, &logins()),
        (Verb::Read, ["audit"]) => Reply::data(id, &json!({})),
        (Verb::Read, ["internal", "ui", "mounts"]) => {
            Reply::data(id, &json!({ "auth": logins(), "secret": mounts() }))
        }
        (Verb::Read, ["internal", "ui", "mounts", inside, ..]) => {
            let name = format!("{inside}/");
            let mut mount = mounts()
                .remove(&name)
                .ok_or_else(|| Refusal::denied("preflight for a mount that is not there"))?;
            if let Some(members) = mount.as_object_mut() {
                members.insert("path".to_owned(), name.into());
            }
            Reply::data(id, &mount)
        }
        (Verb::Read | Verb::List, ["policies", "acl"]) | (Verb::List, ["policy"]) => {
            let names: Vec<String> = describe::policies(manifest).into_keys().collect();
            Reply::data(id, &json!({ "keys": names }))
        }
        (Verb::Read, ["policy"]) => {
            let names: Vec<String> = describe::policies(manifest).into_keys().collect();
            Reply::data(id, &json!({ "keys": &names, "policies": &names }))
        }
        (Verb::Read, ["policies", "acl", name]) => {
            let text = policy(context, name)?;
            Reply::data(id, &json!({ "name": name, "policy": text }))
        }
        (Verb::Read, ["policy", name]) => {
            let text = policy(context, name)?;
            Reply::data(id, &json!({ "name": name, "rules": text }))
        }
        (Verb::Write, ["capabilities-self"]) => capabilities(context, request, token),
        (Verb::Write, ["capabilities"]) => {
            decide::everywhere(manifest, token, Action::List)?;
            capabilities_of_another(context, request)
        }
        (Verb::Write, ["leases", "lookup"]) => Err(Refusal::malformed("invalid lease")),
        (Verb::Write, ["leases", "renew" | "revoke"] | ["renew" | "revoke", ..]) => {
            Err(Refusal::malformed("lease not found"))
        }
        (Verb::List, ["leases", "lookup", ..]) => {
            Err(Refusal::nothing_there("there are no leases"))
        }
        (_, ["mounts" | "auth" | "policies" | "policy" | "audit" | "remount", ..]) => {
            Err(Refusal::owned_by_manifest())
        }
        (
            _,
            [
                "health" | "seal-status" | "leader" | "init" | "capabilities" | "capabilities-self"
                | "leases" | "rotate" | "key-status",
                ..,
            ],
        ) => Err(Refusal::not_supported("unsupported operation")),
        _ => Err(Refusal::unsupported_path()),
    }
}

fn mounts() -> BTreeMap<String, serde_json::Value> {
    let mount = |kind: &str, description: &str, options: serde_json::Value| {
        json!({
            "accessor": format!("{kind}_vouchsafe"),
            "config": { "default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false },
            "description": description,
            "external_entropy_access": false,
            "local": false,
            "options": options,
            "plugin_version": "",
            "running_plugin_version": "",
            "running_sha256": "",
            "deprecation_status": "supported",
            "seal_wrap": false,
            "type": kind,
            "uuid": "",
        })
    };
    BTreeMap::from([
        (format!("{MOUNT}/"), mount("kv", "secrets", json!({ "version": "2" }))),
        ("sys/".to_owned(), mount("system", "the server", json!(null))),
    ])
}

fn logins() -> BTreeMap<&'static str, serde_json::Value> {
    let login = |kind: &str, description: &str| {
        json!({
            "accessor": format!("auth_{kind}_vouchsafe"),
            "config": { "default_lease_ttl": 0, "max_lease_ttl": 0, "token_type": "service" },
            "description": description,
            "external_entropy_access": false,
            "local": false,
            "options": null,
            "seal_wrap": false,
            "type": kind,
            "uuid": "",
        })
    };
    BTreeMap::from([
        ("attest/", login("attest", "workloads, by their evidence")),
        ("jwt/", login("jwt", "operators, by their identity provider")),
        ("token/", login("token", "tokens of a login")),
    ])
}

fn policy(context: &Context, name: &str) -> Result<String, Refusal> {
    describe::policies(&context.in_force.manifest)
        .remove(name)
        .ok_or_else(|| Refusal::nothing_there("no such policy"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    path: Option<String>,
    paths: Option<Vec<String>>,
    token: Option<SecretText>,
}

fn capabilities(
    context: &Context,
    request: &Request,
    token: &Authenticated,
) -> Result<Reply, Refusal> {
    let asked: Asked = request.json()?;
    tell(context, asked, token)
}

fn capabilities_of_another(context: &Context, request: &Request) -> Result<Reply, Refusal> {
    let asked: Asked = request.json()?;
    let bad = || Refusal::malformed("bad token");
    let text = asked.token.as_ref().ok_or_else(bad)?;
    let text = TokenText::parse(text.expose_secret()).map_err(|_| bad())?;
    let Context { core, in_force, .. } = context;
    let other = tokens::authenticate(&core.store, &in_force.manifest, &text, core.now());
    tell(context, asked, &other.map_err(|_| bad())?)
}

fn tell(context: &Context, asked: Asked, token: &Authenticated) -> Result<Reply, Refusal> {
    let paths: Vec<String> = asked.paths.into_iter().flatten().chain(asked.path).collect();
    if paths.is_empty() || paths.len() > 100 {
        return Err(Refusal::malformed("paths: from 1 to 100"));
    }
    let manifest = &context.in_force.manifest;
    let mut data = serde_json::Map::new();
    for path in &paths {
        data.insert(path.clone(), json!(describe::capabilities(manifest, token, path)));
    }
    if let [only] = paths.as_slice() {
        data.insert(
            "capabilities".to_owned(),
            json!(describe::capabilities(manifest, token, only)),
        );
    }
    Reply::data(context.id, &data)
}

/// Clients compare it with the versions of Vault that brought what they use; the rest of it says who we are.
const VERSION: &str = concat!("1.18.0+vouchsafe.", env!("CARGO_PKG_VERSION"));

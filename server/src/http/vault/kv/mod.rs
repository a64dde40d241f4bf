//! `secret/`: the key-value engine, version 2, over HTTP.

mod body;

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use manifest::SecretPath;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::secret_path;
use crate::audit::Draft;
use crate::grant::{Secret, SecretContent, Which, decide, release};
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::http::request::{Request, Verb};
use crate::http::route::Context;
use crate::kv::{self, Fields, KvError, Written};
use crate::tokens::Authenticated;
use body::{Write, settings, versions};

pub(super) async fn answer(
    context: &Context,
    draft: &mut Draft,
    request: &Request,
    token: &Authenticated,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let verb = request.head.verb();
    let (place, rest) = match path {
        ["config"] if verb == Verb::Read => return config(context),
        ["config"] => return Err(Refusal::owned_by_manifest()),
        [place, rest @ ..] => (*place, rest),
        [] => return Err(Refusal::unsupported_path()),
    };
    draft.operation = operation(verb, place)?;
    if draft.operation == "secret-list" {
        let folder = if rest.is_empty() { None } else { Some(secret_path(rest)?) };
        draft.paths = vec![rest.join("/")];
        return list(context, draft, token, folder).await;
    }
    let path = secret_path(rest)?;
    draft.paths = vec![path.as_str().to_owned()];
    let (store, manifest) = (&context.core.store, &context.in_force.manifest);
    match draft.operation {
        "secret-read" => read(context, draft, request, token, path).await,
        "secret-subkeys" => subkeys(context, draft, request, token, path).await,
        "secret-write" => {
            let permitted = decide::write(manifest, token, path)?;
            let asked: Write<'_> = request.json()?;
            let new = asked.new_version(verb)?;
            written(context, &kv::write(store, &permitted, &new, draft).await?)
        }
        "secret-delete" => {
            let permitted = decide::delete(manifest, token, path)?;
            let asked = if place == "delete" { Some(versions(request)?) } else { None };
            kv::delete_versions(store, &permitted, asked.as_ref(), draft).await?;
            Ok(Reply::nothing())
        }
        "secret-undelete" => {
            let permitted = decide::write(manifest, token, path)?;
            kv::undelete_versions(store, &permitted, &versions(request)?, draft).await?;
            Ok(Reply::nothing())
        }
        "secret-destroy" => {
            let permitted = decide::delete(manifest, token, path)?;
            kv::destroy_versions(store, &permitted, &versions(request)?, draft).await?;
            Ok(Reply::nothing())
        }
        "secret-metadata" => metadata(context, draft, token, path).await,
        "secret-metadata-write" => {
            let permitted = decide::write(manifest, token, path)?;
            let settings = settings(request)?;
            kv::set_metadata(store, &permitted, &settings, draft).await?;
            Ok(Reply::nothing())
        }
        "secret-delete-all" => {
            let permitted = decide::delete(manifest, token, path)?;
            kv::delete_all(store, &permitted, draft).await?;
            Ok(Reply::nothing())
        }
        _ => Err(Refusal::unsupported_path()),
    }
}

fn operation(verb: Verb, place: &str) -> Result<&'static str, Refusal> {
    Ok(match (verb, place) {
        (Verb::Read, "data") => "secret-read",
        (Verb::Write | Verb::Patch, "data") => "secret-write",
        (Verb::Delete, "data") | (Verb::Write, "delete") => "secret-delete",
        (Verb::Write, "undelete") => "secret-undelete",
        (Verb::Write, "destroy") => "secret-destroy",
        (Verb::Read, "subkeys") => "secret-subkeys",
        (Verb::List, "metadata") => "secret-list",
        (Verb::Read, "metadata") => "secret-metadata",
        (Verb::Write, "metadata") => "secret-metadata-write",
        (Verb::Delete, "metadata") => "secret-delete-all",
        (_, "data" | "delete" | "undelete" | "destroy" | "subkeys" | "metadata") => {
            return Err(Refusal::not_supported("unsupported operation"));
        }
        _ => return Err(Refusal::unsupported_path()),
    })
}

fn config(context: &Context) -> Result<Reply, Refusal> {
    let config = json!({ "cas_required": false, "delete_version_after": "0s", "max_versions": 0 });
    Reply::data(context.id, &config)
}

/// One version's metadata, as Vault says it.
#[derive(Serialize)]
struct VersionBlock<'a> {
    created_time: Timestamp,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

impl<'a> VersionBlock<'a> {
    fn of(secret: &'a Secret) -> Self {
        Self {
            created_time: secret.state.created,
            custom_metadata: Some(&secret.custom_metadata).filter(|notes| !notes.is_empty()),
            deletion_time: secret.deletion_time().map_or_else(String::new, |at| at.to_string()),
            destroyed: secret.state.destroyed,
            version: secret.version,
        }
    }
}

fn written(context: &Context, written: &Written) -> Result<Reply, Refusal> {
    let notes = Some(&written.custom_metadata).filter(|notes| !notes.is_empty());
    let block = VersionBlock {
        created_time: written.created,
        custom_metadata: notes,
        deletion_time: String::new(),
        destroyed: false,
        version: written.version,
    };
    Reply::data(context.id, &block)
}

async fn one(
    context: &Context,
    draft: &Draft,
    request: &Request,
    token: &Authenticated,
    path: SecretPath,
) -> Result<Secret, Refusal> {
    let which = match request.head.parameter("version").as_deref() {
        None | Some("" | "0") => Which::Current,
        Some(text) => {
            Which::Version(text.parse().map_err(|_| Refusal::malformed("version is a number"))?)
        }
    };
    let grant = decide::for_token(&context.in_force.manifest, token, path, which)?;
    let mut released = release(&context.core.store, grant, draft).await?;
    match released.secrets.pop_first() {
        Some((_, secret)) => Ok(secret),
        None => Err(Refusal::nothing_there("nothing was granted")),
    }
}

async fn read(
    context: &Context,
    draft: &Draft,
    request: &Request,
    token: &Authenticated,
    path: SecretPath,
) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Data<'a, D> {
        data: D,
        metadata: VersionBlock<'a>,
    }
    let secret = one(context, draft, request, token, path).await?;
    let metadata = VersionBlock::of(&secret);
    let damaged = |_| Refusal::unavailable("the stored secret is not readable");
    match &secret.content {
        SecretContent::Whole(value) => {
            let data: &RawValue = serde_json::from_slice(value.expose_secret()).map_err(damaged)?;
            Reply::data(context.id, &Data { data, metadata })
        }
        SecretContent::Field { name, json } => {
            let json: &RawValue = serde_json::from_str(json.expose_secret()).map_err(damaged)?;
            Reply::data(context.id, &Data { data: BTreeMap::from([(name, json)]), metadata })
        }
        SecretContent::Gone => {
            let reply = Reply::data(context.id, &Data { data: None::<()>, metadata })?;
            Ok(reply.with_status(StatusCode::NOT_FOUND))
        }
    }
}

/// The names of the fields, objects opened, values left out.
async fn subkeys(
    context: &Context,
    draft: &Draft,
    request: &Request,
    token: &Authenticated,
    path: SecretPath,
) -> Result<Reply, Refusal> {
    #[derive(Serialize)]
    struct Data<'a> {
        subkeys: serde_json::Value,
        metadata: VersionBlock<'a>,
    }
    let depth = match request.head.parameter("depth").as_deref() {
        None | Some("" | "0") => usize::MAX,
        Some(text) => text.parse().map_err(|_| Refusal::malformed("depth is a number"))?,
    };
    let secret = one(context, draft, request, token, path).await?;
    let metadata = VersionBlock::of(&secret);
    let (subkeys, status) = match &secret.content {
        SecretContent::Whole(value) => {
            (names(&Fields::parse(value.expose_secret())?, depth, 0)?, StatusCode::OK)
        }
        SecretContent::Field { name, .. } => (json!({ name.as_str(): null }), StatusCode::OK),
        SecretContent::Gone => (json!(null), StatusCode::NOT_FOUND),
    };
    Ok(Reply::data(context.id, &Data { subkeys, metadata })?.with_status(status))
}

fn names(fields: &Fields<'_>, depth: usize, level: usize) -> Result<serde_json::Value, KvError> {
    let mut out = serde_json::Map::new();
    for (name, value) in fields.iter() {
        let inner = match Fields::parse(value.get().as_bytes()) {
            Ok(inner) if level + 1 < depth.min(DEEPEST) => names(&inner, depth, level + 1)?,
            Ok(_) | Err(_) => json!(null),
        };
        out.insert(name.to_owned(), inner);
    }
    Ok(out.into())
}

async fn list(
    context: &Context,
    draft: &Draft,
    token: &Authenticated,
    folder: Option<SecretPath>,
) -> Result<Reply, Refusal> {
    let store = &context.core.store;
    let permitted = decide::list(&context.in_force.manifest, token, folder)?;
    let keys = kv::list(store, &permitted);
    if keys.is_empty() {
        return Err(Refusal::nothing_there("the folder is empty"));
    }
    store.append_audit(draft.time(), draft.granted()?).await?;
    Reply::data(context.id, &json!({ "keys": keys }))
}

async fn metadata(
    context: &Context,
    draft: &Draft,
    token: &Authenticated,
    path: SecretPath,
) -> Result<Reply, Refusal> {
    let store = &context.core.store;
    let _permitted = decide::metadata(&context.in_force.manifest, token, path.clone())?;
    let metadata = kv::metadata(store, &path)?
        .ok_or_else(|| Refusal::nothing_there("there is no such secret"))?;
    store.append_audit(draft.time(), draft.granted()?).await?;
    let versions: BTreeMap<String, serde_json::Value> = metadata
        .versions
        .iter()
        .map(|(number, state)| {
            let deletion_time = state.deleted.map_or_else(String::new, |at| at.to_string());
            let version = json!({
                "created_time": state.created,
                "deletion_time": deletion_time,
                "destroyed": state.destroyed,
            });
            (number.to_string(), version)
        })
        .collect();
    let notes = Some(&metadata.custom_metadata).filter(|notes| !notes.is_empty());
    let block = json!({
        "cas_required": metadata.cas_required,
        "created_time": metadata.created,
        "current_version": metadata.current_version,
        "custom_metadata": notes,
        "delete_version_after": "0s",
        "max_versions": metadata.max_versions,
        "oldest_version": metadata.oldest_version(),
        "updated_time": metadata.updated,
        "versions": versions,
    });
    Reply::data(context.id, &block)
}

const DEEPEST: usize = 64;

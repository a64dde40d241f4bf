//! Resource management: `https://management.azure.com` (azure.md F, D.6).
//!
//! Every request needs a bearer token for `https://management.azure.com/`, an api-version that the resource type has, and a role of the caller
//! that permits the action at the resource's scope. Ids compare without case.
//! Resource types that our programs do not use are answered as unknown; deployments (templates, what-if) are not simulated.
//! Facts that data planes need are published through [`crate::core::inventory`].

mod attestation;
mod body;
pub(crate) mod container_groups;
mod deleted_vaults;
mod error;
mod groups;
mod identities;
mod operations;
mod page;
mod path;
mod registries;
mod resources;
mod roles;
mod state;
mod storage;
#[cfg(test)]
mod tests;
mod vaults;
mod workspaces;

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::body::Object;
use self::error::{Answer, ArmError, invalid_content, method_not_allowed};
use self::operations::Poll;
use self::path::{Path, subscription_id};
use self::resources::Named;
use crate::blob::{Account, SharedKeyAccess};
use crate::core::token::{self, Caller, TokenFault};
use crate::core::{Cloud, Request, Response, encoding};
use crate::rbac;

pub use self::state::{ArmState, Kind, Resource};

/// Answers one request.
///
/// # Errors
/// The refusal in the service's envelope.
pub async fn handle(cloud: &Arc<Cloud>, request: Request) -> Result<Response, Response> {
    let now = cloud.now();
    let outcome = authenticate(cloud, &request).and_then(|caller| {
        let version = request.query.value("api-version").ok_or_else(|| {
            ArmError::new(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        })?;
        route(&Cx { cloud, caller: &caller, request: &request, version, now })
    });
    outcome.map_err(Response::from)
}

/// A storage account by name, with its keys, for its data plane.
pub fn storage_account(cloud: &Cloud, name: &str) -> Option<Account> {
    let resource = by_name(cloud, Kind::StorageAccount, name)?;
    let key = |name: &&str| encoding::from_b64(resource.secret.get(*name)?.as_str()?);
    let permitted = resource.properties.get("allowSharedKeyAccess") != Some(&Value::Bool(false));
    Some(Account {
        name: resource.name.clone(),
        id: resource.id.clone(),
        keys: storage::KEYS.iter().filter_map(key).collect(),
        shared_key: if permitted { SharedKeyAccess::Permitted } else { SharedKeyAccess::Refused },
    })
}

/// A registry's resource id by its name, for its data plane.
pub fn registry_named(cloud: &Cloud, name: &str) -> Option<String> {
    by_name(cloud, Kind::Registry, name).map(|resource| resource.id)
}

fn by_name(cloud: &Cloud, kind: Kind, name: &str) -> Option<Resource> {
    cloud.arm.read(|state| {
        state
            .resources
            .values()
            .find(|resource| resource.kind == kind && resource.name.eq_ignore_ascii_case(name))
            .cloned()
    })
}

/// One request with what is known about it.
#[derive(Debug)]
struct Cx<'a> {
    cloud: &'a Arc<Cloud>,
    caller: &'a Caller,
    request: &'a Request,
    version: &'a str,
    now: Timestamp,
}

impl<'a> Cx<'a> {
    fn method(&self) -> &'a Method {
        &self.request.method
    }

    /// The caller's roles permit the action at the scope.
    fn permit(&self, action: &str, scope: &str) -> Answer<()> {
        match rbac::authorize(self.cloud, self.caller.oid, rbac::Operation::Action(action), scope) {
            Ok(_) => Ok(()),
            Err(_) => Err(ArmError::new(
                403,
                "AuthorizationFailed",
                format!(
                    "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                    self.caller.appid, self.caller.oid
                ),
            )),
        }
    }

    /// An action on another resource that this one is to be tied to.
    fn permit_linked(&self, action: &str, linked: &str, scope: &str) -> Answer<()> {
        self.permit(action, linked).map_err(|_| {
            ArmError::new(
                403,
                "LinkedAuthorizationFailed",
                format!(
                    "The client '{}' with object id '{}' has permission to perform action on scope '{scope}'; however, it does not have permission to perform action(s) '{action}' on the linked scope(s) '{linked}' (respectively) or the linked scope(s) are invalid.",
                    self.caller.appid, self.caller.oid
                ),
            )
        })
    }

    /// The api-version is one of these.
    fn supported(&self, kind: &str, versions: &[&str]) -> Answer<()> {
        if versions.contains(&self.version) {
            return Ok(());
        }
        Err(ArmError::new(
            400,
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for API version '{}' for type '{kind}'. The supported api-versions are '{}'.",
                self.version,
                versions.join(", ")
            ),
        ))
    }
}

fn route(cx: &Cx<'_>) -> Answer {
    let path = Path::parse(cx.request.segments())?;
    let lower = path.lower();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    // Roles attach to any scope, so they are looked for first.
    if let Some(at) = path.last_providers()
        && let [
            "providers",
            "microsoft.authorization",
            kind @ ("roleassignments" | "roledefinitions"),
            rest @ ..,
        ] = lower.get(at..).unwrap_or_default()
    {
        cx.supported(
            &format!("Microsoft.Authorization/{kind}"),
            &["2015-07-01", "2018-01-01-preview", "2022-04-01"],
        )?;
        let scope =
            if at == 0 { subscription_id(cx.cloud.settings.subscription) } else { path.prefix(at) };
        in_subscription(cx, scope.split('/').nth(2).unwrap_or_default())?;
        let name = match (rest, path.from(at.saturating_add(3)).as_slice()) {
            ([], _) => None,
            (_, [name]) => Some((*name).to_owned()),
            _ => return Err(unknown_route()),
        };
        return match *kind {
            "roleassignments" => roles::assignments(cx, &scope, name.as_deref()),
            _ => roles::definitions(cx, &scope, name.as_deref()),
        };
    }
    match lower.as_slice() {
        ["tenants"] => {
            let tenant = cx.cloud.settings.tenant;
            page::page(
                cx.request,
                vec![json!({ "id": format!("/tenants/{tenant}"), "tenantId": tenant })],
            )
        }
        ["subscriptions"] => page::page(cx.request, vec![subscription(cx)]),
        ["subscriptions", given, rest @ ..] => {
            in_subscription(cx, given)?;
            let original = path.from(2);
            in_the_subscription(cx, rest, &original)
        }
        _ => Err(unknown_route()),
    }
}

fn in_the_subscription(cx: &Cx<'_>, lower: &[&str], original: &[&str]) -> Answer {
    let name = |at: usize| original.get(at).copied().unwrap_or_default();
    match lower {
        [] => match *cx.method() {
            Method::GET => Ok(Response::json(StatusCode::OK, &subscription(cx))),
            _ => Err(method_not_allowed()),
        },
        ["resources"] => resources::list_all(cx, None),
        ["resourcegroups"] => {
            groups_version(cx)?;
            groups::list(cx)
        }
        ["resourcegroups", _] => {
            groups_version(cx)?;
            groups::handle(cx, name(1))
        }
        ["resourcegroups", _, "resources"] => resources::list_all(cx, Some(name(1))),
        ["resourcegroups", _, "providers", namespace, kind] => {
            let kind = known(cx, namespace, kind)?;
            resources::list(cx, kind, Some(name(1)))
        }
        ["resourcegroups", _, "providers", namespace, kind, _, rest @ ..] => {
            let kind = known(cx, namespace, kind)?;
            let named = Named::new(cx, kind, name(1), name(5));
            resource(cx, &named, rest, original.get(6..).unwrap_or_default())
        }
        ["providers", namespace] => provider(cx, namespace),
        ["providers", namespace, "register"] => provider(cx, namespace),
        [
            "providers",
            _,
            "locations",
            _,
            folder @ ("operationstatuses" | "operationresults"),
            _,
        ] => {
            let poll =
                if *folder == "operationstatuses" { Poll::AsyncOperation } else { Poll::Location };
            let url = format!(
                "https://{}{}?api-version={}",
                cx.request.host, cx.request.path, cx.version
            );
            operations::poll(cx.cloud, poll, name(5), &url, cx.now)
        }
        ["providers", "microsoft.keyvault", "deletedvaults"] => {
            cx.supported("Microsoft.KeyVault/deletedVaults", Kind::Vault.versions())?;
            deleted_vaults::list(cx)
        }
        ["providers", "microsoft.keyvault", "locations", _, "deletedvaults", _, rest @ ..] => {
            cx.supported("Microsoft.KeyVault/locations/deletedVaults", Kind::Vault.versions())?;
            match rest {
                [] => deleted_vaults::handle(cx, name(3), name(5), None),
                [action] => deleted_vaults::handle(cx, name(3), name(5), Some(action)),
                _ => Err(unknown_route()),
            }
        }
        ["providers", "microsoft.attestation", "defaultproviders"] => {
            cx.supported(
                "Microsoft.Attestation/defaultProviders",
                Kind::AttestationProvider.versions(),
            )?;
            attestation::default_providers(cx, None)
        }
        ["providers", "microsoft.attestation", "locations", _, "defaultprovider"] => {
            cx.supported(
                "Microsoft.Attestation/locations/defaultProvider",
                Kind::AttestationProvider.versions(),
            )?;
            attestation::default_providers(cx, Some(name(3)))
        }
        ["providers", namespace, "checknameavailability"] => check_name(cx, namespace),
        ["providers", namespace, kind] => {
            let kind = known(cx, namespace, kind)?;
            resources::list(cx, kind, None)
        }
        _ => Err(unknown_route()),
    }
}

/// A resource, a part of it, or an action on it.
fn resource(cx: &Cx<'_>, named: &Named, rest: &[&str], original: &[&str]) -> Answer {
    match (named.kind, rest) {
        (_, []) => resources::handle(cx, named),
        (Kind::StorageAccount, [action @ ("listkeys" | "regeneratekey")]) => {
            storage::keys(cx, named, action)
        }
        (Kind::StorageAccount, ["blobservices", "default", part @ ..]) => {
            let tail: Vec<&str> = match part {
                [] => vec!["default"],
                ["containers"] => vec!["default", "containers"],
                ["containers", _] => {
                    vec!["default", "containers", original.get(3).copied().unwrap_or_default()]
                }
                _ => return Err(unknown_route()),
            };
            storage::blob_services(cx, named, &tail)
        }
        (Kind::Workspace, ["sharedkeys"]) => workspaces::shared_keys(cx, named),
        (Kind::ContainerGroup, [action @ ("start" | "stop" | "restart")]) => {
            container_groups::act(cx, named, action)
        }
        (Kind::ContainerGroup, ["containers", container, "logs"]) => {
            container_groups::logs(cx, named, container)
        }
        _ => Err(unknown_route()),
    }
}

fn authenticate(cloud: &Cloud, request: &Request) -> Answer<Caller> {
    token::caller(cloud, request, &["https://management.azure.com", "https://management.core.windows.net"]).map_err(|fault| {
        let (code, message) = match fault {
            TokenFault::Missing => ("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."),
            TokenFault::Invalid => ("InvalidAuthenticationToken", "The access token is invalid."),
            TokenFault::Audience => (
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'.",
            ),
            TokenFault::Expired => ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."),
        };
        ArmError {
            challenge: Some(format!(
                "Bearer authorization_uri=\"https://login.microsoftonline.com/{}\", error=\"invalid_token\", error_description=\"{message}\"",
                cloud.settings.tenant
            )),
            ..ArmError::new(401, code, message)
        }
    })
}

fn in_subscription(cx: &Cx<'_>, given: &str) -> Answer<()> {
    if given.parse::<uuid::Uuid>().is_ok_and(|given| given == cx.cloud.settings.subscription) {
        return Ok(());
    }
    Err(ArmError::new(
        404,
        "SubscriptionNotFound",
        format!("The subscription '{given}' could not be found."),
    ))
}

fn known(cx: &Cx<'_>, namespace: &str, kind: &str) -> Answer<Kind> {
    let found = Kind::of(namespace, kind).ok_or_else(|| {
        ArmError::new(
            404,
            "InvalidResourceType",
            format!("The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{}'.", cx.version),
        )
    })?;
    cx.supported(found.type_name(), found.versions())?;
    Ok(found)
}

fn groups_version(cx: &Cx<'_>) -> Answer<()> {
    cx.supported(
        "Microsoft.Resources/resourceGroups",
        &[
            "2020-06-01",
            "2020-10-01",
            "2021-01-01",
            "2021-04-01",
            "2022-09-01",
            "2024-03-01",
            "2024-07-01",
            "2024-11-01",
            "2025-03-01",
            "2025-04-01",
        ],
    )
}

/// "Providers - Get" and "Providers - Register": everything is registered.
fn provider(cx: &Cx<'_>, namespace: &str) -> Answer {
    let mut kinds = Kind::ALL.into_iter().filter(|kind| {
        kind.type_name()
            .split('/')
            .next()
            .is_some_and(|known| known.eq_ignore_ascii_case(namespace))
    });
    let kind = kinds.next().ok_or_else(|| {
        ArmError::new(
            404,
            "InvalidResourceNamespace",
            format!("The resource namespace '{namespace}' is invalid."),
        )
    })?;
    let (namespace, name) = kind.type_name().split_once('/').unwrap_or_default();
    let subscription = subscription_id(cx.cloud.settings.subscription);
    Ok(Response::json(
        StatusCode::OK,
        &json!({
            "id": format!("{subscription}/providers/{namespace}"),
            "namespace": namespace,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [{ "resourceType": name, "apiVersions": kind.versions() }],
        }),
    ))
}

fn check_name(cx: &Cx<'_>, namespace: &str) -> Answer {
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    let name = body.needed_text("name")?;
    match namespace {
        "microsoft.storage" => storage::check_name(cx, name),
        "microsoft.containerregistry" => registries::check_name(cx, name),
        _ => Err(unknown_route()),
    }
}

fn subscription(cx: &Cx<'_>) -> Value {
    let settings = &cx.cloud.settings;
    json!({
        "id": subscription_id(settings.subscription),
        "subscriptionId": settings.subscription,
        "tenantId": settings.tenant,
        "displayName": "Local cloud",
        "state": "Enabled",
    })
}

/// A scope that is a group or a resource exists. Parts of a resource (a key, a secret, a container) are not looked up.
fn scope_exists(cloud: &Cloud, scope: &str) -> Answer<()> {
    let segments: Vec<&str> = scope.split('/').skip(1).collect();
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match lower.as_slice() {
        ["subscriptions", _] => Ok(()),
        ["subscriptions", _, "resourcegroups", group, rest @ ..] => {
            if groups::find(cloud, group).is_none() {
                return Err(error::group_not_found(group));
            }
            match rest {
                [] => Ok(()),
                ["providers", namespace, kind, name, ..] => {
                    let id = segments
                        .iter()
                        .take(8)
                        .map(|segment| format!("/{segment}"))
                        .collect::<String>();
                    let found = cloud
                        .arm
                        .read(|state| state.resources.contains_key(&id.to_ascii_lowercase()));
                    if found {
                        Ok(())
                    } else {
                        Err(error::not_found(&format!("{namespace}/{kind}"), name, group))
                    }
                }
                _ => Err(unknown_route()),
            }
        }
        _ => Err(unknown_route()),
    }
}

fn unknown_route() -> ArmError {
    ArmError::new(404, "NotFound", "The local cloud has no such resource type, part or action.")
}

fn infallible(done: Result<(), std::convert::Infallible>) {
    match done {
        Ok(()) => {}
    }
}

/// Fresh random bytes for keys that a provider makes.
fn random<const N: usize>() -> Answer<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ArmError::new(500, "InternalServerError", "no randomness"))?;
    Ok(bytes)
}

//! Who calls, in which version of the interface, and whether a role permits it (azure.md C.1, C.5).

use std::sync::Arc;

use hyper::StatusCode;

use super::errors::{bad, forbidden, refusal};
use crate::core::inventory::Vault;
use crate::core::token::{Caller, TokenFault, caller, issuer};
use crate::core::{Cloud, Request, Response};
use crate::rbac::{self, Assignment, Operation};

/// An authenticated call to a vault that exists.
pub(super) struct Access<'a> {
    pub(super) cloud: &'a Arc<Cloud>,
    /// The vault's facts.
    pub(super) vault: Vault,
    /// Its name in lower case: the key of its state.
    pub(super) key: String,
    pub(super) caller: Caller,
    pub(super) version: ApiVersion,
    pub(super) request: &'a Request,
}

/// A version of the interface that the service has (azure.md C.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiVersion(String);

impl ApiVersion {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Keys that leave the vault came with 7.3-preview (azure.md C.5, `AKV.SKR.1001`).
    pub(super) fn has_release(&self) -> bool {
        !matches!(self.0.as_str(), "7.0" | "7.1" | "7.2")
    }
}

/// A call without a valid token gets the challenge, whatever else it says (azure.md C.1, recorded).
pub(super) fn authenticate(cloud: &Cloud, request: &Request) -> Result<Caller, Response> {
    caller(cloud, request, &["https://vault.azure.net"]).map_err(|fault| {
        let message = match fault {
            TokenFault::Missing => "AKV10000: Request is missing a Bearer or PoP token.",
            TokenFault::Expired => "[TokenExpired] Error validating token: 'S2S12086'.",
            TokenFault::Audience => "AKV10022: Invalid audience. Expected https://vault.azure.net.",
            TokenFault::Invalid => "AKV10001: Token validation failed.",
        };
        let challenge = format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"https://vault.azure.net\"",
            cloud.settings.tenant
        );
        refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message).with("www-authenticate", &challenge)
    })
}

/// The `api-version` parameter; the texts are ours.
pub(super) fn api_version(request: &Request) -> Result<ApiVersion, Response> {
    let version =
        request.query.value("api-version").ok_or_else(|| bad("api-version must be specified"))?;
    if VERSIONS.contains(&version) {
        return Ok(ApiVersion(version.to_owned()));
    }
    Err(bad(&format!(
        "The specified version ({version}) is not recognized. Consider using the latest supported version (2025-07-01)."
    )))
}

impl<'a> Access<'a> {
    pub(super) fn new(
        cloud: &'a Arc<Cloud>,
        vault: &str,
        caller: Caller,
        version: ApiVersion,
        request: &'a Request,
    ) -> Result<Self, Response> {
        let facts = cloud
            .inventory
            .read(|inventory| inventory.vaults.get(vault).cloned())
            .ok_or_else(|| {
                refusal(
                    StatusCode::NOT_FOUND,
                    "VaultNotFound",
                    &format!("There is no vault {vault}."),
                )
            })?;
        if !facts.public {
            let message = "Public network access is disabled and request is not from a trusted service nor via an approved private link.";
            return Err(forbidden(message, "ForbiddenByConnection"));
        }
        if !facts.rbac {
            // Ours: access policies are not simulated, so nobody has one.
            let message = "The vault uses access policies, which the local cloud does not simulate; set enableRbacAuthorization.";
            return Err(forbidden(message, "AccessDenied"));
        }
        Ok(Self { cloud, key: vault.to_owned(), vault: facts, caller, version, request })
    }

    /// Checks a data action at the vault, or at a key or secret of it (`keys/NAME`).
    pub(super) fn authorize(
        &self,
        action: &str,
        below: Option<&str>,
    ) -> Result<Assignment, Response> {
        let action = format!("Microsoft.KeyVault/vaults/{action}");
        let scope = match below {
            Some(path) => format!("{}/{path}", self.vault.id),
            None => self.vault.id.clone(),
        };
        rbac::authorize(self.cloud, self.caller.oid, Operation::DataAction(&action), &scope).map_err(|_| {
            let scope = scope.replace("Microsoft.KeyVault", "microsoft.keyvault");
            // azure.md C.5, recorded.
            let message = format!(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: appid={};oid={};iss={}\r\nAction: '{action}'\r\nResource: '{scope}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: {};location={}\r\n",
                self.caller.appid,
                self.caller.oid,
                issuer(self.caller.tid),
                self.vault.name,
                self.vault.location
            );
            forbidden(&message, "ForbiddenByRbac")
        })
    }

    /// `https://NAME.vault.azure.net`.
    pub(super) fn base(&self) -> String {
        format!("https://{}.vault.azure.net", self.key)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.cloud.now().as_second()
    }
}

/// Headers that say which assignment let the call through (azure.md C.1).
pub(super) fn granted(response: Response, assignment: &Assignment) -> Response {
    response
        .with("x-ms-keyvault-rbac-assignment-id", &assignment.name.simple().to_string())
        .with("x-ms-keyvault-rbac-cache", "ra_age=0;rd_age=0;brd_age=0;ra_notif_recvd=0;dec_lev=0;")
}

/// azure.md C.1. The previews are those that clients send by default.
const VERSIONS: &[&str] = &[
    "7.0",
    "7.1",
    "7.2",
    "7.3-preview",
    "7.3",
    "7.4-preview.1",
    "7.4",
    "7.5-preview.1",
    "7.5",
    "7.6-preview.1",
    "7.6-preview.2",
    "7.6",
    "2025-06-01-preview",
    "2025-07-01",
    "2026-04-01",
    "2026-07-01-preview",
];

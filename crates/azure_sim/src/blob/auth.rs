//! Who may do what to an account's blobs: account keys ([`super::shared_key`]) or tokens with roles.
//!
//! Source: "Authorize requests to Azure Storage", "Authorize with Microsoft Entra ID", "Prevent Shared Key authorization".

use jiff::Timestamp;
use uuid::Uuid;

use super::error::BlobError;
use super::operation::{Operation, Permission, Target};
use super::shared_key::{self, Signed};
use crate::core::token::{self, TokenFault};
use crate::core::{Cloud, Request};
use crate::rbac;

/// A storage account as its data plane sees it.
#[derive(Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its resource id.
    pub id: String,
    /// The two keys.
    pub keys: Vec<Vec<u8>>,
    /// `allowSharedKeyAccess`.
    pub shared_key: SharedKeyAccess,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("shared_key", &self.shared_key)
            .finish_non_exhaustive()
    }
}

/// Whether account keys may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedKeyAccess {
    /// The default.
    Permitted,
    /// `allowSharedKeyAccess: false`.
    Refused,
}

/// Who the credentials stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// A holder of an account key, who may do everything.
    KeyHolder,
    /// A principal, who may do what its roles say.
    Principal(Uuid),
}

/// Verify the credentials.
pub(super) fn authenticate(
    cloud: &Cloud,
    account: &Account,
    request: &Request,
    now: Timestamp,
) -> Result<Identity, BlobError> {
    let Some(authorization) = request.header("authorization") else {
        return Err(challenge(cloud, "NoAuthenticationInformation"));
    };
    match authorization.split_once(' ') {
        Some(("SharedKey", credentials)) => {
            if account.shared_key == SharedKeyAccess::Refused {
                return Err(BlobError::new(
                    403,
                    "KeyBasedAuthenticationNotPermitted",
                    "Key based authentication is not permitted on this storage account.",
                ));
            }
            let signed = Signed {
                method: &request.method,
                path: &request.path,
                query: &request.query,
                headers: &request.headers,
            };
            shared_key::verify(&account.name, &account.keys, credentials, &signed, now)?;
            Ok(Identity::KeyHolder)
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => {
            let own = format!("https://{}.blob.core.windows.net", account.name);
            match token::caller(cloud, request, &["https://storage.azure.com", &own]) {
                Ok(caller) => Ok(Identity::Principal(caller.oid)),
                Err(
                    TokenFault::Missing
                    | TokenFault::Invalid
                    | TokenFault::Audience
                    | TokenFault::Expired,
                ) => Err(challenge(cloud, "InvalidAuthenticationInfo")),
            }
        }
        _ => Err(challenge(cloud, "InvalidAuthenticationInfo")),
    }
}

/// Verify the credentials, and that they permit the operation on the target.
pub(super) fn authorize(
    cloud: &Cloud,
    account: &Account,
    request: &Request,
    target: &Target,
    operation: Operation,
    now: Timestamp,
) -> Result<(), BlobError> {
    let Identity::Principal(oid) = authenticate(cloud, account, request, now)? else {
        return Ok(());
    };
    let scope = match target {
        Target::Service => account.id.clone(),
        Target::Container(container) | Target::Blob(container, _) => {
            format!("{}/blobServices/default/containers/{container}", account.id)
        }
    };
    let wanted = match operation.permission() {
        Permission::Action(name) => rbac::Operation::Action(name),
        Permission::DataAction(name) => rbac::Operation::DataAction(name),
    };
    match rbac::authorize(cloud, oid, wanted, &scope) {
        Ok(_) => Ok(()),
        Err(_) => Err(BlobError::new(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        )),
    }
}

/// 401 with the challenge of versions from 2019-12-12.
fn challenge(cloud: &Cloud, code: &'static str) -> BlobError {
    let tenant = cloud.settings.tenant;
    BlobError {
        challenge: Some(format!(
            "Bearer authorization_uri=https://login.microsoftonline.com/{tenant}/oauth2/authorize resource_id=https://storage.azure.com"
        )),
        ..BlobError::new(
            401,
            code,
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        )
    }
}

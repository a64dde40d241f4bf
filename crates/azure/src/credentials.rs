//! Who we are to Azure. The choice is explicit; nothing probes the environment for a credential that happens to work.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use serde::Deserialize;

use crate::endpoints::{Endpoints, Retries};
use crate::imds::Imds;
use crate::token_cache::Cached;

/// How to get access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Whoever `az login` logged in, in the given tenant. Needs the Azure CLI on the path.
    Cli {
        /// The tenant in which to act.
        tenant: String,
    },
    /// An identity of the machine or container group, from the instance metadata service.
    ManagedIdentity(ManagedIdentity),
    /// A federated token of a Kubernetes service account or a CI job, by the environment variables
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
    /// A JSON file `{"tenant","client_id","client_secret"}` that only its owner may read.
    ServicePrincipal(PathBuf),
}

/// Which managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// The only one there is; the metadata service refuses if there are several.
    Only,
    /// The one with this client id.
    ClientId(String),
}

/// A credential could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The service principal's file could not be read.
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Others than its owner may read the service principal's file.
    #[error("{} may be read by others than its owner", .0.display())]
    Exposed(PathBuf),
    /// The service principal's file lacks something; its content is not repeated here.
    #[error("{} is not a service principal: a JSON object with tenant, client_id and client_secret", .0.display())]
    File(PathBuf),
    /// The identity library refused its input.
    #[error("setting up the credential")]
    Sdk(#[source] azure_core::Error),
}

impl AuthError {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read(..) => "check the path given with --auth sp",
            Self::Exposed(_) => "chmod 600 the file",
            Self::File(_) => "write {\"tenant\",\"client_id\",\"client_secret\"} into the file",
            Self::Sdk(_) => "check the environment variables that the chosen --auth reads",
        }
    }
}

impl Auth {
    /// Makes the credential. No request is sent before a token is needed.
    pub fn credential(&self, endpoints: &Endpoints) -> Result<Arc<dyn TokenCredential>, AuthError> {
        let client_options = || endpoints.client_options(Retries::Patient);
        Ok(match self {
            Self::Cli { tenant } => {
                // The CLI credential starts a process for every token.
                Arc::new(Cached::new(
                    AzureCliCredential::new(Some(AzureCliCredentialOptions {
                        tenant_id: Some(tenant.clone()),
                        ..AzureCliCredentialOptions::default()
                    }))
                    .map_err(AuthError::Sdk)?,
                ))
            }
            Self::ManagedIdentity(identity) => {
                Arc::new(Cached::new(Arc::new(Imds::new(endpoints, identity.clone()))))
            }
            Self::WorkloadIdentity => {
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: client_options(),
                    },
                    ..WorkloadIdentityCredentialOptions::default()
                }))
                .map_err(AuthError::Sdk)?
            }
            Self::ServicePrincipal(path) => {
                let file = ServicePrincipal::read(path)?;
                ClientSecretCredential::new(
                    &file.tenant,
                    file.client_id,
                    file.client_secret,
                    Some(ClientSecretCredentialOptions { client_options: client_options() }),
                )
                .map_err(AuthError::Sdk)?
            }
        })
    }
}

/// Unknown members are allowed: tools that write such files add what they like.
#[derive(Deserialize)]
struct ServicePrincipal {
    tenant: String,
    client_id: String,
    client_secret: Secret,
}

impl ServicePrincipal {
    fn read(path: &Path) -> Result<Self, AuthError> {
        use std::os::unix::fs::PermissionsExt;
        let error = |error| AuthError::Read(path.to_owned(), error);
        let file = std::fs::File::open(path).map_err(error)?;
        if file.metadata().map_err(error)?.permissions().mode() & 0o077 != 0 {
            return Err(AuthError::Exposed(path.to_owned()));
        }
        let mut text = zeroize::Zeroizing::new(Vec::with_capacity(FILE));
        file.take(u64::try_from(FILE).unwrap_or(u64::MAX)).read_to_end(&mut text).map_err(error)?;
        serde_json::from_slice(&text).map_err(|_| AuthError::File(path.to_owned()))
    }
}

const FILE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(mode: u32, content: &str) -> Result<(), AuthError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let endpoints = Endpoints::public().unwrap();
        Auth::ServicePrincipal(file.path().to_owned()).credential(&endpoints).map(|_| ())
    }

    #[test]
    fn reads_a_service_principal_that_only_its_owner_may_read() {
        let good = r#"{"tenant":"11111111-1111-1111-1111-111111111111","client_id":"a","client_secret":"b","oid":"c"}"#;
        check(0o600, good).unwrap();
        assert!(matches!(check(0o640, good), Err(AuthError::Exposed(_))));
        let error = check(0o600, r#"{"tenant":"t","client_secret":"hunter2"}"#).unwrap_err();
        assert!(matches!(error, AuthError::File(_)));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}

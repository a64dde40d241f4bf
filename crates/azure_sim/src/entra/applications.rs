//! Applications and their service principals, which authenticate by secret, certificate or federated credential.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::core::Cloud;
use crate::core::cloud::{ADMINISTRATOR, OpenError};
use crate::core::encoding::b64url;
use crate::core::store::write_atomically;
use crate::rbac::{Assignment, OWNER};

/// Persistent state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EntraState {
    /// Applications by client id.
    pub applications: BTreeMap<Uuid, Application>,
}

/// An application and its service principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Application {
    /// Display name.
    pub name: String,
    /// Client id.
    pub client_id: Uuid,
    /// Object id of its service principal.
    pub oid: Uuid,
    /// SHA-256 of its secret, hexadecimal.
    pub secret_sha256: String,
    /// Certificates (PEM) that may sign its assertions.
    pub certificates: Vec<String>,
    /// Foreign issuers whose tokens stand for it (workload identity).
    pub federated: Vec<FederatedCredential>,
}

/// A federated credential. Real Entra fetches the issuer's keys; here they are given (ours).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// Exact `iss`.
    pub issuer: String,
    /// Exact `sub`.
    pub subject: String,
    /// Exact `aud`, usually `api://AzureADTokenExchange`.
    pub audience: String,
    /// The issuer's public key, PEM (SubjectPublicKeyInfo, RSA).
    pub public_key: String,
}

/// What `POST /principals` of the control host takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApplication {
    /// Display name.
    pub name: String,
    /// Certificates, PEM.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Federated credentials.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
}

/// What its owner needs to log in: the content of `service-principal.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// Tenant.
    pub tenant: Uuid,
    /// Client id.
    pub client_id: Uuid,
    /// Secret.
    pub client_secret: String,
    /// Object id of the service principal.
    pub oid: Uuid,
}

/// A new application that cannot be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum NewApplicationFault {
    /// The system has no randomness.
    #[error("no randomness")]
    Randomness,
}

/// Makes an application with a fresh secret, and no role.
///
/// # Errors
/// The system has no randomness.
pub fn add_application(
    cloud: &Cloud,
    new: NewApplication,
) -> Result<Credentials, NewApplicationFault> {
    add_application_as(cloud, new, Uuid::new_v4())
}

fn add_application_as(
    cloud: &Cloud,
    new: NewApplication,
    oid: Uuid,
) -> Result<Credentials, NewApplicationFault> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| NewApplicationFault::Randomness)?;
    let client_secret = b64url(secret);
    let application = Application {
        name: new.name,
        client_id: Uuid::new_v4(),
        oid,
        secret_sha256: hash_secret(&client_secret),
        certificates: new.certificates,
        federated: new.federated,
    };
    let credentials = Credentials {
        tenant: cloud.settings.tenant,
        client_id: application.client_id,
        client_secret,
        oid: application.oid,
    };
    cloud.entra.change(|state| {
        state.applications.insert(application.client_id, application);
        Ok(credentials)
    })
}

/// Makes the administrator, *Owner* of the subscription, at first start and writes `service-principal.json` (mode 0600).
///
/// # Errors
/// The file cannot be written.
pub fn ensure_administrator(cloud: &Cloud) -> Result<(), OpenError> {
    let path = cloud.directory().join("service-principal.json");
    if path.exists() {
        return Ok(());
    }
    let new = NewApplication {
        name: "administrator".to_owned(),
        certificates: Vec::new(),
        federated: Vec::new(),
    };
    let credentials =
        add_application_as(cloud, new, ADMINISTRATOR).map_err(std::io::Error::other)?;
    let assignment = Assignment {
        name: Uuid::new_v4(),
        scope: format!("/subscriptions/{}", cloud.settings.subscription),
        role: OWNER,
        principal: credentials.oid,
        principal_type: "ServicePrincipal".to_owned(),
        created: cloud.now(),
    };
    cloud.rbac.change(|state| {
        state.assignments.insert(assignment.key(), assignment);
        Ok::<_, OpenError>(())
    })?;
    let text = serde_json::to_vec_pretty(&credentials).map_err(std::io::Error::other)?;
    Ok(write_atomically(&path, &text)?)
}

pub(super) fn hash_secret(secret: &str) -> String {
    hex::encode(digest(&SHA256, secret.as_bytes()))
}

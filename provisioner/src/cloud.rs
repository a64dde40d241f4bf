//! The clients with which we speak to one deployment's Azure, and who we are there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use azure::blob::{self, Leases};
use azure::{Endpoints, LocalCloud, arm, keys, maa, secrets};
use azure_core::credentials::TokenCredential;
use infra::{Deployer, DeployerKind};
use manifest::{HttpsUrl, Manifest, Place};
use object_store::ObjectStore;
use serde::Deserialize;
use url::Url;

use crate::deployment::Deployment;
use crate::failure::{Failure, While as _};
use crate::revocation::Lists;

/// One deployment's Azure.
pub struct Cloud {
    /// The transport.
    pub endpoints: Endpoints,
    /// Who we are.
    pub credential: Arc<dyn TokenCredential>,
    /// Resource Manager.
    pub arm: arm::Client,
    /// The vault's keys.
    pub keys: keys::Client,
    /// The vault's secrets.
    pub secrets: secrets::Client,
    /// The attestation provider.
    pub maa: maa::Client,
    /// The store's container, for the signed manifest.
    pub objects: Arc<dyn ObjectStore>,
    /// The leases in it.
    pub leases: Leases,
    /// AMD's revocation lists.
    pub lists: Lists,
}

impl Cloud {
    /// Sets up the clients; nothing is sent yet.
    ///
    /// # Errors
    /// No credential, or an address that is none.
    pub fn open(deployment: &Deployment) -> Result<Self, Failure> {
        let manifest = &deployment.manifest;
        let endpoints = match manifest.azure().place() {
            Place::Public => Endpoints::public(),
            Place::InsecureLocal(local) => Endpoints::insecure_local(&LocalCloud {
                cloud: SocketAddr::new(IpAddr::V4(local.address), CLOUD_PORT),
                imds: SocketAddr::new(IpAddr::V4(local.address), IMDS_PORT),
                ca_sha256: *local.ca_sha256.as_bytes(),
            }),
        };
        let endpoints = endpoints
            .map_err(|error| Failure::of("setting up the connection to Azure", error, REPORT))?;
        let credential =
            deployment.auth().credential(&endpoints).during(|| "setting up --auth".to_owned())?;
        let vault = address(&manifest.master_key().address)?;
        let storage = storage_address(manifest)?;
        let container = manifest.storage().container.as_str();
        let bearer = blob::Auth::Bearer(credential.clone());
        let setting_up = |what: &'static str| move || format!("setting up {what}");
        Ok(Self {
            arm: arm::Client::new(&endpoints, credential.clone())
                .during(setting_up("resource manager"))?,
            keys: keys::Client::new(&endpoints, &vault, credential.clone())
                .during(setting_up("the vault's keys"))?,
            secrets: secrets::Client::new(&endpoints, &vault, credential.clone())
                .during(setting_up("the vault's secrets"))?,
            maa: maa::Client::new(
                &endpoints,
                &address(&manifest.attestation().address)?,
                credential.clone(),
            ),
            objects: blob::object_store(&endpoints, &storage, container, &bearer)
                .during(setting_up("the storage container"))?,
            leases: Leases::new(&endpoints, &storage, container, credential.clone())
                .during(setting_up("the storage container"))?,
            lists: Lists::new(&deployment.target().crl, endpoints.clone())?,
            endpoints,
            credential,
        })
    }

    /// Who deploys, as our own access token says.
    ///
    /// # Errors
    /// No token, or one that does not say.
    pub async fn deployer(&self) -> Result<Deployer, Failure> {
        let token = self.credential.get_token(&[ARM_SCOPE], None).await.map_err(|error| {
            Failure::of(
                "getting an access token",
                error,
                "check --auth; for the local cloud, that it runs: cargo xtask local status",
            )
        })?;
        let claims = token
            .token
            .secret()
            .split('.')
            .nth(1)
            .and_then(|part| protocol::b64::decode(part).ok());
        let claims: Option<TokenClaims> =
            claims.and_then(|json| serde_json::from_slice(&json).ok());
        let odd =
            || Failure::new("our access token does not say who we are", "choose another --auth");
        let claims = claims.ok_or_else(odd)?;
        let kind = match claims.idtyp.as_deref() {
            Some("user") => DeployerKind::User,
            _ => DeployerKind::ServicePrincipal,
        };
        Ok(Deployer { object_id: claims.oid.parse().map_err(|_| odd())?, kind })
    }
}

/// Entra's claims about who a token was issued to ("Access token claims reference").
#[derive(Deserialize)]
struct TokenClaims {
    oid: String,
    #[serde(default)]
    idtyp: Option<String>,
}

/// The address of the storage account's blobs.
///
/// # Errors
/// The account's name makes no address.
pub fn storage_address(manifest: &Manifest) -> Result<Url, Failure> {
    let text = format!("https://{}.blob.core.windows.net", manifest.storage().account);
    Url::parse(&text).map_err(|error| Failure::of(text, error, "check [storage] in the manifest"))
}

fn address(text: &HttpsUrl) -> Result<Url, Failure> {
    Url::parse(text.as_str())
        .map_err(|error| Failure::of(text.as_str(), error, "check the address in the manifest"))
}

/// The ports of a local cloud, at the address that the manifest names.
const CLOUD_PORT: u16 = 8443;
const IMDS_PORT: u16 = 8480;
const ARM_SCOPE: &str = "https://management.azure.com/.default";
const REPORT: &str = "this is a fault of ours; please report it";

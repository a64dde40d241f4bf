//! Reading Azure.

use std::collections::BTreeSet;

use azure::arm::{ApiVersion, ArmError, ResourceId};
use azure::maa::{AttestationType, MaaError};
use azure::registry::{self, RegistryError};
use evidence::Sha256;
use futures::StreamExt as _;
use infra::{Kind, Rendered, Resource, WorkspaceAccess};
use jiff::Timestamp;
use maa::policy_jws::{self, Content};
use maa::token::{Jwks, VerifiedToken};
use manifest::{Manifest, StorageAuth};
use object_store::path::Path;
use object_store::{Error as ObjectError, ObjectStore, ObjectStoreExt as _};
use protocol::signed_manifest::{BLOB, SignedManifest};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{
    AttestationPolicy, Birth, Deleted, FoundManifest, Inventory, Objects, Presence, Reading, vault,
};
use crate::cloud::Cloud;
use crate::failure::{Failure, While as _};
use crate::measure;
use crate::plan::signer_fingerprint;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// What it means in Azure.
    pub rendered: &'a Rendered,
    /// Names of keys that the lock or the record know.
    pub keys: &'a BTreeSet<String>,
    /// The time.
    pub now: Timestamp,
}

/// Reads everything that a plan compares.
///
/// # Errors
/// A service that does not answer. What does not exist, or may not be looked at yet, is no error.
pub async fn read(cloud: &Cloud, want: Want<'_>) -> Result<Inventory, Failure> {
    let mut have = Inventory::default();
    let all: Vec<&Resource> = want.rendered.resources.all().collect();
    let mut reads = futures::stream::iter(all)
        .map(|resource| async move { (resource, fetch(cloud, resource).await) })
        .buffer_unordered(8);
    while let Some((resource, found)) = reads.next().await {
        if let Some(body) = found? {
            have.resources.insert(resource.id().as_str().to_ascii_lowercase(), body);
        }
    }
    drop(reads);
    let exists = |kind: Kind| {
        want.rendered
            .resources
            .find(kind)
            .is_some_and(|resource| have.resource(resource.id()).is_some())
    };
    let (provider, vault_exists) = (exists(Kind::AttestationProvider), exists(Kind::KeyVault));
    let (container, registry) = (exists(Kind::StorageContainer), exists(Kind::Registry));
    let account = exists(Kind::StorageAccount);
    outputs(want.rendered, &mut have);
    let deleted = async {
        match vault_exists {
            true => Ok(None),
            false => deleted_vault(cloud, want.manifest).await,
        }
    };
    let (deleted_vault, policy, vault, store, image, access_key) = futures::try_join!(
        deleted,
        when(provider, attestation_policy(cloud, want)),
        when(vault_exists, vault::read(cloud, want)),
        when(container, objects(cloud, want)),
        when(registry, image(cloud, want)),
        access_key(cloud, want, account),
    )?;
    have.deleted_vault = deleted_vault;
    have.policy = policy;
    have.vault = vault;
    have.store = store;
    have.image = image;
    have.access_key = access_key;
    Ok(have)
}

async fn when<T>(
    exists: bool,
    read: impl Future<Output = Result<Reading<T>, Failure>>,
) -> Result<Reading<T>, Failure> {
    if exists { read.await } else { Ok(Reading::Absent) }
}

/// Reads one resource.
///
/// # Errors
/// Any answer but the resource or its absence.
pub(crate) async fn fetch(cloud: &Cloud, resource: &Resource) -> Result<Option<Value>, Failure> {
    let id = id(resource.id().as_str())?;
    match cloud.arm.get(&id, version(resource)).await {
        Ok(body) => Ok(Some(body)),
        Err(ArmError::NotFound(_)) => Ok(None),
        Err(error) => {
            Err(error).during(|| format!("reading {} {}", resource.kind(), resource.id().name()))
        }
    }
}

/// A path for Resource Manager.
///
/// # Errors
/// The text is none.
pub(crate) fn id(text: &str) -> Result<ResourceId, Failure> {
    ResourceId::parse(text)
        .map_err(|error| Failure::of(text, error, "check the names in the manifest"))
}

/// The version of a resource's requests.
#[must_use]
pub(crate) fn version(resource: &Resource) -> ApiVersion {
    ApiVersion(resource.kind().api_version())
}

/// Takes from the resources what others need of them.
pub(crate) fn outputs(rendered: &Rendered, have: &mut Inventory) {
    let text = |kind: Kind, pointer: &str| {
        let body = have.resource(rendered.resources.find(kind)?.id())?;
        body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    let server_principal = text(Kind::ManagedIdentity, "/properties/principalId");
    let workspace = text(Kind::LogWorkspace, "/properties/customerId")
        .map(|customer_id| WorkspaceAccess { customer_id, shared_key: None });
    have.outputs.server_principal = server_principal;
    have.outputs.workspace = workspace;
}

async fn deleted_vault(cloud: &Cloud, manifest: &Manifest) -> Result<Option<Deleted>, Failure> {
    let path = deleted_vault_id(manifest)?;
    let version = ApiVersion(Kind::KeyVault.api_version());
    match cloud.arm.get(&path, version).await {
        Ok(body) => {
            let purged = body.pointer("/properties/scheduledPurgeDate").and_then(Value::as_str);
            Ok(Some(Deleted { purged: purged.and_then(|date| date.parse().ok()) }))
        }
        Err(ArmError::NotFound(_)) => Ok(None),
        Err(error) => Err(error).during(|| "looking for a soft-deleted vault".to_owned()),
    }
}

/// Where Azure shows a soft-deleted vault.
///
/// # Errors
/// The manifest's names make no path.
pub(crate) fn deleted_vault_id(manifest: &Manifest) -> Result<ResourceId, Failure> {
    let azure = manifest.azure();
    id(&format!(
        "/subscriptions/{}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
        azure.subscription,
        azure.location,
        manifest.master_key().vault
    ))
}

async fn attestation_policy(
    cloud: &Cloud,
    want: Want<'_>,
) -> Result<Reading<AttestationPolicy>, Failure> {
    let doing = || "reading the attestation policy".to_owned();
    let answers = futures::future::try_join(
        cloud.maa.policy(AttestationType::SevSnpVm),
        cloud.maa.certificates(),
    );
    let (policy, certificates) = match answers.await {
        Ok(answers) => answers,
        Err(MaaError::Denied(_)) => return Ok(Reading::Denied),
        Err(error) => return Err(error).during(doing),
    };
    let policy = verified(cloud, want, policy.as_str()).await?;
    let jws = policy.claims().get("x-ms-policy").and_then(Value::as_str).unwrap_or_default();
    let text = match policy_jws::parse(jws).map(|jws| jws.content().clone()) {
        Ok(Content::Policy(text)) => Some(text),
        Ok(Content::Reset) | Err(_) => None,
    };
    let certificates = verified(cloud, want, certificates.as_str()).await?;
    let keys =
        certificates.claims().get("x-ms-policy-certificates").and_then(|set| set.get("keys"));
    let signers = keys.and_then(Value::as_array).into_iter().flatten().map(|key| {
        let certificate = key.pointer("/x5c/0").and_then(Value::as_str).unwrap_or_default();
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.decode(certificate);
        signer_fingerprint(&der.unwrap_or_default())
    });
    let signers = signers.collect();
    Ok(Reading::Found(AttestationPolicy { text, signers }))
}

/// Verifies a token in which the provider answers.
///
/// # Errors
/// It is not by this provider.
pub(crate) async fn verified(
    cloud: &Cloud,
    want: Want<'_>,
    token: &str,
) -> Result<VerifiedToken, Failure> {
    let doing = || "verifying the attestation provider's answer".to_owned();
    let remedy = "check the provider's address in the manifest, and this machine's clock";
    let keys = cloud.maa.certs().await.during(doing)?;
    let keys = Jwks::parse(keys.as_str().as_bytes())
        .map_err(|error| Failure::of(doing(), error, remedy))?;
    let issuer = want.manifest.attestation().address.as_str();
    maa::token::verify(token, &keys, issuer, want.now)
        .map_err(|error| Failure::of(doing(), error, remedy))
}

async fn access_key(
    cloud: &Cloud,
    want: Want<'_>,
    exists: bool,
) -> Result<Option<Sha256>, Failure> {
    let account = want.rendered.resources.find(Kind::StorageAccount);
    let (true, StorageAuth::AccessKey, Some(account)) =
        (exists, want.manifest.storage().auth, account)
    else {
        return Ok(None);
    };
    match cloud.arm.storage_keys(&id(account.id().as_str())?, version(account)).await {
        Ok(keys) => Ok(keys.first().map(|key| Sha256::of(key.value.expose_secret().as_bytes()))),
        Err(ArmError::Denied(_)) => Ok(None),
        Err(error) => Err(error).during(|| "reading the storage account's access key".to_owned()),
    }
}

async fn image(cloud: &Cloud, want: Want<'_>) -> Result<Reading<Presence>, Failure> {
    let (client, repository) = measure::registry(want.manifest, cloud)?;
    let reference = want.rendered.group.image();
    let digest = reference.rsplit('@').next().and_then(|digest| digest.parse().ok());
    let digest: registry::Digest = digest.ok_or_else(|| {
        Failure::new("naming the image", "this is a fault of ours; please report it")
    })?;
    match client.manifest_presence(&repository, &digest).await {
        Ok(registry::Presence::Present) => Ok(Reading::Found(Presence::Present)),
        Ok(registry::Presence::Absent) => Ok(Reading::Found(Presence::Missing)),
        Err(RegistryError::NotFound(_)) => Ok(Reading::Found(Presence::Missing)),
        Err(RegistryError::Denied(_)) => Ok(Reading::Denied),
        Err(error) => Err(error).during(|| "looking for the image in the registry".to_owned()),
    }
}

async fn objects(cloud: &Cloud, want: Want<'_>) -> Result<Reading<Objects>, Failure> {
    let failed = |error: ObjectError| {
        Failure::of("reading the storage container", error, "check the network and Azure's status")
    };
    let manifest = match cloud.objects.get(&Path::from(BLOB)).await {
        Ok(found) => {
            let bytes = found.bytes().await.map_err(failed)?;
            let text = String::from_utf8_lossy(&bytes);
            let signers = want.rendered.trust_root.signers();
            let name = want.manifest.deployment().name.as_str();
            match SignedManifest::verify(&text, name, signers) {
                Ok(signed) => FoundManifest::Signed {
                    revision: signed.manifest().deployment().revision,
                    digest: signed.manifest().digest(),
                },
                Err(error) => FoundManifest::Invalid(error.to_string()),
            }
        }
        Err(ObjectError::NotFound { .. }) => FoundManifest::Missing,
        Err(ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. }) => {
            return Ok(Reading::Denied);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut commits = cloud.objects.list(Some(&Path::from("log")));
    let birth = match commits.next().await.transpose().map_err(failed)? {
        Some(_) => Birth::Born,
        None => Birth::Unborn,
    };
    Ok(Reading::Found(Objects { manifest, birth }))
}

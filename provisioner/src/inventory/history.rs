//! The bundle's earlier versions: the signed one of the highest serial is in force, wherever it stands among them.
//!
//! Whoever may write the vault may put an old bundle over a newer one: it is signed, and is the newest version of its
//! secret. The highest serial among all versions tells, as long as none is hidden. A lock tells too, but only up to its
//! own serial, and a checkout may have an old one: so it comes on top of the history and not in its place.

use azure::Name;
use azure::secrets::SecretError;
use futures::StreamExt as _;
use protocol::bundle::Bundle;
use secrecy::ExposeSecret as _;

use super::{FoundBundle, Vault, Want};
use crate::cloud::Cloud;
use crate::failure::{Failure, While as _};

/// Takes the signed bundle of the highest serial for the one in force.
pub(super) async fn consult(
    cloud: &Cloud,
    want: Want<'_>,
    name: &Name,
    vault: &mut Vault,
) -> Result<(), Failure> {
    let doing = || "reading the bundle's versions".to_owned();
    let deployment = want.manifest.deployment().name.as_str();
    let signers = want.rendered.trust_root.signers();
    let newest = match &vault.bundle {
        FoundBundle::Signed(body) => body.serial,
        FoundBundle::Missing | FoundBundle::Invalid(_) => 0,
    };
    let mut highest = newest;
    let versions = cloud.secrets.versions(name).await.during(doing)?;
    let (enabled, disabled): (Vec<_>, Vec<_>) = versions.into_iter().partition(|it| it.enabled);
    vault.hidden.extend(disabled.iter().map(|about| about.version.to_string()));
    let mut reads = futures::stream::iter(enabled)
        .map(|about| async move {
            let read = cloud.secrets.get(name, Some(&about.version)).await;
            (about.version, read)
        })
        .buffered(8);
    while let Some((version, read)) = reads.next().await {
        let secret = match read {
            Err(SecretError::Disabled(_)) => {
                vault.hidden.push(version.to_string());
                continue;
            }
            read => read.during(doing)?,
        };
        // What no signer of ours signed says nothing, whoever put it there.
        let Ok(bundle) = Bundle::verify(secret.value.expose_secret(), deployment, signers) else {
            continue;
        };
        if bundle.body().serial > highest {
            highest = bundle.body().serial;
            vault.bundle = FoundBundle::Signed(Box::new(bundle.body().clone()));
            vault.put_back = Some(newest);
        }
    }
    Ok(())
}

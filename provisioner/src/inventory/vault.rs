//! Reading the vault: keys, the bundle, and the artefacts that the bundle names.

use std::collections::{BTreeMap, BTreeSet};

use azure::keys::KeyError;
use azure::secrets::SecretError;
use azure::{Name, Version};
use evidence::Sha256;
use protocol::bundle::{Artefact, Bundle, SecretRef, secret_name};
use secrecy::ExposeSecret as _;

use super::{
    Deleted, FoundArtefact, FoundBundle, FoundVersion, KeyState, Reading, Vault, Want, history,
};
use crate::cloud::Cloud;
use crate::failure::{Failure, While as _};
use crate::tls::Certificate;

pub(super) async fn read(cloud: &Cloud, want: Want<'_>) -> Result<Reading<Vault>, Failure> {
    let mut vault = Vault::default();
    let deployment = want.manifest.deployment().name.as_str();
    let bundle = parse(&secret_name(deployment))?;
    match cloud.secrets.get(&bundle, None).await {
        Ok(found) => {
            let text = found.value.expose_secret();
            let signers = want.rendered.trust_root.signers();
            vault.bundle = match Bundle::verify(text, deployment, signers) {
                Ok(bundle) => FoundBundle::Signed(Box::new(bundle.body().clone())),
                Err(error) => FoundBundle::Invalid(error.to_string()),
            };
        }
        Err(SecretError::NotFound(_)) => {}
        Err(SecretError::Deleted(_)) => vault.hidden.push("all, the secret is deleted".to_owned()),
        Err(SecretError::Disabled(_)) => {
            vault.bundle = FoundBundle::Invalid("it is disabled".to_owned());
        }
        Err(SecretError::Denied(_)) => return Ok(Reading::Denied),
        Err(error) => return Err(error).during(|| "reading the bundle".to_owned()),
    }
    history::consult(cloud, want, &bundle, &mut vault).await?;
    let mut names: BTreeSet<String> = want.keys.clone();
    names.insert(want.rendered.master_key.name().to_owned());
    if let FoundBundle::Signed(body) = &vault.bundle {
        names.insert(body.master_key.name.clone());
        (vault.artefacts, vault.wrapped_key) = artefacts(cloud, &body.artefacts).await?;
    }
    for name in names {
        match key(cloud, &name).await? {
            Reading::Found(state) => drop(vault.keys.insert(name, state)),
            Reading::Absent | Reading::Denied => return Ok(Reading::Denied),
        }
    }
    Ok(Reading::Found(vault))
}

async fn key(cloud: &Cloud, text: &str) -> Result<Reading<KeyState>, Failure> {
    let doing = || format!("reading the master key {text}");
    let name = parse(text)?;
    let versions = match cloud.keys.versions(&name).await {
        Ok(versions) => versions,
        Err(KeyError::NotFound(_)) => Vec::new(),
        Err(KeyError::Denied(_)) => return Ok(Reading::Denied),
        Err(error) => return Err(error).during(doing),
    };
    if versions.is_empty() {
        return Ok(Reading::Found(match cloud.keys.deleted(&name).await {
            Ok(deleted) => KeyState::Deleted(Deleted { purged: deleted.purged }),
            Err(KeyError::NotFound(_)) => KeyState::Missing,
            Err(KeyError::Denied(_)) => return Ok(Reading::Denied),
            Err(error) => return Err(error).during(doing),
        }));
    }
    let mut found = Vec::new();
    for about in versions {
        let key = cloud.keys.get(&name, &about.version).await.during(doing)?;
        found.push(FoundVersion { about, key });
    }
    Ok(Reading::Found(KeyState::Present(found)))
}

async fn artefacts(
    cloud: &Cloud,
    named: &BTreeMap<Artefact, SecretRef>,
) -> Result<(BTreeMap<Artefact, FoundArtefact>, Option<Sha256>), Failure> {
    let mut found = BTreeMap::new();
    let mut wrapped_key = None;
    for (artefact, reference) in named {
        let name = parse(&reference.secret)?;
        let state = match reference.version.parse::<Version>() {
            Err(_) => FoundArtefact::Missing,
            Ok(version) => match cloud.secrets.get(&name, Some(&version)).await {
                Ok(secret) => {
                    let noted = secret.about.tags.get(ACCESS_KEY_TAG);
                    wrapped_key = wrapped_key.or(noted.and_then(|noted| noted.parse().ok()));
                    match reference.check(secret.value.expose_secret()) {
                        Ok(text) => FoundArtefact::Same(Certificate::first(text)),
                        Err(_) => FoundArtefact::Other,
                    }
                }
                Err(
                    SecretError::NotFound(_) | SecretError::Deleted(_) | SecretError::Disabled(_),
                ) => FoundArtefact::Missing,
                Err(error) => {
                    return Err(error)
                        .during(|| format!("reading the artefact {}", artefact.name()));
                }
            },
        };
        found.insert(*artefact, state);
    }
    Ok((found, wrapped_key))
}

/// Beside a wrapped access key: the SHA-256 of what is in it, which is too random to be guessed from it.
pub(crate) const ACCESS_KEY_TAG: &str = "access-key-sha256";

/// A name in the vault.
///
/// # Errors
/// The text is none.
pub(crate) fn parse(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|error| Failure::of(text, error, "check the names in the manifest"))
}

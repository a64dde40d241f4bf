//! Tokens of a registry: Entra token → refresh token → access token for one repository.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::challenge::Challenge;
use super::{AccessTokens, Repository};
use crate::call::{Call, Fault, Malformed, Unavailable};
use crate::wire::{Asked, Wire, place};

/// The tokens at hand, and how to get others.
pub(super) struct Tokens {
    /// `None` shows nothing and asks for what everybody gets.
    credential: Option<Arc<dyn TokenCredential>>,
    access: AccessTokens,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(credential: Option<Arc<dyn TokenCredential>>) -> Self {
        Self { credential, access: AccessTokens::new() }
    }

    /// The access token for a repository, if there is one; whether it still holds, the registry says.
    pub(super) fn access(&self, repository: &Repository) -> Option<String> {
        self.access.get(&repository.0).map(|token| token.expose_secret().to_owned())
    }

    /// Gets an access token that meets a challenge.
    pub(super) async fn buy(
        &mut self,
        wire: &Wire,
        registry: &Url,
        repository: &Repository,
        challenge: &Challenge,
    ) -> Result<String, Fault> {
        let call = Call::new("get registry token", place(registry));
        let realm: Option<Url> = challenge.realm.parse().ok();
        let Some(credential) = self.credential.clone() else {
            let realm = realm.filter(|realm| realm.scheme() == registry.scheme());
            let realm = realm
                .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "a realm with https")))?;
            return self.ask_anonymously(wire, &call, realm, repository, challenge).await;
        };
        let realm = realm
            .filter(|realm| realm.origin() == registry.origin())
            .ok_or_else(|| Fault::Malformed(Malformed::new(&call, "a realm on the same host")))?;
        let entra = credential.get_token(&[SCOPE], None).await.map_err(|cause| {
            Fault::Unavailable(Unavailable::NoToken { call: call.clone(), cause: Box::new(cause) })
        })?;

        let mut exchange = realm.clone();
        exchange.set_path("/oauth2/exchange");
        let form = [
            ("grant_type", "access_token"),
            ("service", &challenge.service),
            ("access_token", entra.token.secret()),
        ];
        let refresh: RawRefresh = ask(wire, &call, exchange, &form).await?;
        let refresh = SecretString::from(refresh.refresh_token);

        let form = [
            ("grant_type", "refresh_token"),
            ("service", &challenge.service),
            ("scope", &challenge.scope),
            ("refresh_token", refresh.expose_secret()),
        ];
        let access: RawAccess = ask(wire, &call, realm, &form).await?;
        let token = access.access_token;
        self.access.insert(repository.0.clone(), token.clone().into());
        Ok(token)
    }

    /// Docker's token specification: a GET without any credential.
    async fn ask_anonymously(
        &mut self,
        wire: &Wire,
        call: &Call,
        mut realm: Url,
        repository: &Repository,
        challenge: &Challenge,
    ) -> Result<String, Fault> {
        let wanted = [("service", &challenge.service), ("scope", &challenge.scope)];
        realm.query_pairs_mut().extend_pairs(wanted);
        let got = wire.send(call, Asked::new(Method::Get, realm)).await?;
        let access: RawAnonymous = got.json(call, "a token")?;
        let token = access.token.or(access.access_token);
        let token = token.ok_or_else(|| Fault::Malformed(Malformed::new(call, "a token")))?;
        self.access.insert(repository.0.clone(), token.clone().into());
        Ok(token)
    }
}

async fn ask<T: serde::de::DeserializeOwned>(
    wire: &Wire,
    call: &Call,
    url: Url,
    form: &[(&str, &str)],
) -> Result<T, Fault> {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let asked = Asked::new(Method::Post, url).body("application/x-www-form-urlencoded", body);
    wire.send(call, asked).await?.json(call, "a token")
}

#[derive(Deserialize)]
struct RawRefresh {
    refresh_token: String,
}

#[derive(Deserialize)]
struct RawAccess {
    access_token: String,
}

/// Either name is in use.
#[derive(Deserialize)]
struct RawAnonymous {
    token: Option<String>,
    access_token: Option<String>,
}

/// Accepted also by registries that no longer accept tokens for Resource Manager.
const SCOPE: &str = "https://containerregistry.azure.net/.default";

//! Keeps access tokens until shortly before they end, for credentials that do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

/// A credential with a memory. One request at a time goes to the inner credential.
#[derive(Debug)]
pub(crate) struct Cached {
    inner: Arc<dyn TokenCredential>,
    tokens: Mutex<BTreeMap<String, AccessToken>>,
}

impl Cached {
    pub(crate) fn new(inner: Arc<dyn TokenCredential>) -> Self {
        Self { inner, tokens: Mutex::new(BTreeMap::new()) }
    }
}

#[async_trait::async_trait]
impl TokenCredential for Cached {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let key = scopes.join(" ");
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(&key)
            && token.expires_on - OffsetDateTime::now_utc() > MARGIN
        {
            return Ok(token.clone());
        }
        let token = self.inner.get_token(scopes, options).await?;
        tokens.insert(key, token.clone());
        Ok(token)
    }
}

const MARGIN: Duration = Duration::minutes(5);

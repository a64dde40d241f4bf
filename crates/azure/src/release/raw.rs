//! The release as it travels. Key Vault data plane, `KeyReleaseResult`: the JWS's header and payload, and `key_hsm` within
//! it. Members that say nothing to us are ignored, for the service adds some from time to time.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct RawHeader {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) x5c: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct RawPayload {
    pub(super) request: RawRequest,
    pub(super) response: RawResponse,
}

#[derive(Deserialize)]
pub(super) struct RawRequest {
    pub(super) enc: String,
}

#[derive(Deserialize)]
pub(super) struct RawResponse {
    pub(super) key: RawBundle,
}

#[derive(Deserialize)]
pub(super) struct RawBundle {
    pub(super) key: RawJwk,
    pub(super) attributes: RawAttributes,
    pub(super) release_policy: RawPolicy,
}

#[derive(Deserialize)]
pub(super) struct RawJwk {
    pub(super) kid: String,
    pub(super) kty: String,
    pub(super) crv: Option<String>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    pub(super) key_hsm: String,
}

#[derive(Deserialize)]
pub(super) struct RawAttributes {
    #[serde(default)]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) exportable: bool,
}

#[derive(Deserialize)]
pub(super) struct RawPolicy {
    pub(super) data: String,
    #[serde(default)]
    pub(super) immutable: bool,
}

#[derive(Deserialize)]
pub(super) struct RawHsm {
    pub(super) schema_version: String,
    pub(super) header: RawHsmHeader,
    pub(super) ciphertext: String,
}

#[derive(Deserialize)]
pub(super) struct RawHsmHeader {
    pub(super) alg: String,
    pub(super) enc: String,
}

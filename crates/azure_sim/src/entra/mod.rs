//! Entra ID: the token endpoint for applications, its discovery documents and keys (azure.md E).
//!
//! Access tokens for Azure resources have v1 claims (`iss` `https://sts.windows.net/TENANT/`, `appid`), as the real ones have. Tokens for an
//! application of one's own (`api://…`) have the v2 issuer, `azp`, and the audience as asked for (real v2 tokens say the client id there;
//! that is ours). Codes `AADSTS…` are of the service; the texts after them are shortened.

mod applications;
mod assertion;
mod endpoint;
mod issue;

pub use self::applications::{
    Application, Credentials, EntraState, FederatedCredential, NewApplication, NewApplicationFault,
    add_application, ensure_administrator,
};
pub use self::endpoint::handle;
pub use self::issue::{Token, issue_for_identity, kid};

#[cfg(test)]
mod tests;

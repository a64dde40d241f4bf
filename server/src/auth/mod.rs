//! How operators log in.
//!
//! The manifest names the issuer, the audience and the claims; this folder only checks that a token has them. A login
//! that an identity provider can forge is worth what the manifest grants it, and that stands in review there.

mod jwt;
mod oidc;

pub use jwt::{Login, LoginError, login};
pub use oidc::{OidcError, OidcKeys};

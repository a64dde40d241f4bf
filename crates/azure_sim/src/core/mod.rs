//! What every simulated service stands on: listeners, dispatch by host, requests and responses, state, tokens, faults.
//!
//! # How a service plugs in
//!
//! 1. **State.** A service defines one serde type (`#[derive(Default, Serialize, Deserialize)]`), and [`Cloud`] has one field
//!    `pub NAME: Store<NameState>` for it (see [`cloud::Cloud::open`]).
//!    [`Store::read`] looks, [`Store::change`] alters and writes the file (temporary, fsync, rename) before it returns.
//!    If the closure given to `change` answers `Err`, the change is undone and nothing is written.
//!    The closures are synchronous, and a closure of one store must not enter another store: read facts first, then change.
//!    Bulk (blobs, layers) is kept in files of its own below [`Cloud::directory`], written with [`store::write_atomically`].
//! 2. **Handler.** `pub async fn handle(cloud: &Arc<Cloud>, request: Request) -> Result<Response, Response>`; a line in
//!    [`dispatch`] sends one [`dispatch::Family`] of hosts to it. `Err(Response)` is an error answer (so that `?` works);
//!    [`Response::arm_error`] and friends make the services' bodies.
//! 3. **Callers.** [`token::caller`] verifies the bearer token for the audiences of the service and gives [`token::Caller`];
//!    [`crate::rbac::authorize`] then checks an action or data action at a scope.
//! 4. **Operation names.** [`Response::operation`] names what was done (`keyvault.keys.release`); the control host counts calls by it.
//! 5. **Facts** that one service knows and another needs (vaults, attestation providers, identities) are in
//!    [`inventory::Inventory`]: resource management writes it, the data planes only read it.
//!
//! Request ids, `x-ms-client-request-id`, `Date` and faults are the dispatcher's business, not the service's.
//! Trusts nothing in a request; the state directory is ours.

pub mod cloud;
pub mod dispatch;
pub mod encoding;
pub mod faults;
pub mod http;
pub mod inventory;
pub mod keys;
pub mod proxy;
pub mod saving;
pub mod server;
pub mod store;
pub mod tls;
pub mod token;
pub(crate) mod told;

pub use self::cloud::{Cloud, Settings};
pub use self::http::{Query, Request, Response};
pub use self::store::Store;

#[cfg(test)]
mod tests;

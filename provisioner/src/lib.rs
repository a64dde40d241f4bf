//! Makes Azure match the manifest, and shows that it does.
//!
//! The way of a deployment: read manifest and signers ([`deployment`]), measure the server's image ([`measure`]), render
//! what Azure is to be (`infra`), look at what it is ([`inventory`]), compare the two into a [`plan`] that leaves nothing
//! to choose, [`show`] it, [`apply`] it. Every step of applying may be interrupted and repeated.
//!
//! What Azure answers is believed only as a description of what there is to repair. That the right server runs is shown by
//! the server's own evidence ([`server`]); that a bundle, a manifest or a key is ours, by a signer's signature, by the
//! lock, or by this machine's record of having asked for it. A master key that none of these vouches for is refused, and
//! none is ever made in the place of another.

pub mod apply;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod deployment;
pub mod failure;
pub mod inventory;
pub mod lock;
pub mod manifest_at;
pub mod measure;
pub mod plan;
pub mod progress;
pub mod record;
pub mod revocation;
pub mod server;
pub mod show;
pub mod signing;
pub mod state;
pub mod tls;
pub mod verify;

//! The doors as a client meets them: over TLS, on a loopback port of their own, with a store in memory and forged roots.

mod attest;
mod doors;
mod hvac;
mod identity_provider;
mod keys;
mod kv;
mod login;
mod objects;
mod servers;
mod strangers;
mod tokens;
mod world;

//! The decision: who may do what with which secret. Nothing else in the server makes these proofs.
//!
//! It asks the manifest in force and nobody else. A workload may read what names it as a reader, and of that the field
//! that is delivered. An operator may do what its entry says, where it says so.

use std::collections::BTreeMap;

use manifest::{Action, Appraised, Field, Manifest, Name, Operator, SecretPath};
use store::Transaction;

use crate::tokens::{Authenticated, Holder, NewToken, TokenError};

/// Leave to read these secrets once, to be consumed by [`super::release()`].
pub struct Grant {
    pub(super) reads: BTreeMap<SecretPath, Read>,
    pub(super) token: Option<NewToken>,
}

/// What of a secret is read.
pub(super) struct Read {
    pub(super) portion: Portion,
    pub(super) which: Which,
}

/// How much of a secret is delivered.
pub(super) enum Portion {
    /// The whole object.
    Whole,
    /// This field of it.
    Field(Field),
}

/// Which version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Current,
    /// This one.
    Version(u64),
}

/// Grants a workload that its evidence has shown the secrets it asks for, and the token that was made for it.
///
/// # Errors
/// It may not have one of them.
pub fn for_workload(
    appraised: Appraised,
    wanted: impl IntoIterator<Item = SecretPath>,
    token: NewToken,
) -> Result<Grant, Denied> {
    let mut reads = BTreeMap::new();
    for path in wanted {
        let field = appraised
            .readable()
            .get(&path)
            .ok_or_else(|| Denied::NotAReader { path: path.clone() })?;
        let read = Read { portion: Portion::Field(field.clone()), which: Which::Current };
        reads.insert(path, read);
    }
    Ok(Grant { reads, token: Some(token) })
}

/// Grants the holder of a token one secret.
///
/// # Errors
/// The manifest does not let the holder read it.
pub fn for_token(
    manifest: &Manifest,
    token: &Authenticated,
    path: SecretPath,
    which: Which,
) -> Result<Grant, Denied> {
    let portion = match principal(manifest, token)? {
        Principal::Operator(operator) => {
            operator.permit(Action::Read, &path)?;
            Portion::Whole
        }
        Principal::Workload(name) => Portion::Field(delivered(manifest, name, &path)?.clone()),
    };
    Ok(Grant { reads: BTreeMap::from([(path, Read { portion, which })]), token: None })
}

/// Grants a token to an operator that has logged in.
#[must_use]
pub fn for_login(token: NewToken) -> Grant {
    Grant { reads: BTreeMap::new(), token: Some(token) }
}

impl Grant {
    /// Adds the new token, if there is one, to what is committed before anything leaves.
    pub(super) fn transaction(&self, transaction: Transaction) -> Result<Transaction, TokenError> {
        match &self.token {
            Some(token) => token.add_to(transaction),
            None => Ok(transaction),
        }
    }
}

macro_rules! may {
    ($(#[$doc:meta])* $name:ident, $action:ident, $decide:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(SecretPath);

        impl $name {
            /// Which secret.
            #[must_use]
            pub const fn path(&self) -> &SecretPath {
                &self.0
            }
        }

        $(#[$doc])*
        ///
        /// # Errors
        /// The manifest does not say so.
        pub fn $decide(manifest: &Manifest, token: &Authenticated, path: SecretPath) -> Result<$name, Denied> {
            match principal(manifest, token)? {
                Principal::Operator(operator) => {
                    operator.permit(Action::$action, &path)?;
                    Ok($name(path))
                }
                Principal::Workload(_) => Err(Denied::Workload),
            }
        }
    };
}

may!(
    /// Leave to write a secret.
    MayWrite, Write, write
);
may!(
    /// Leave to delete a secret.
    MayDelete, Delete, delete
);

/// Leave to see what there is in a folder, or of one secret that it is there.
#[derive(Debug)]
pub struct MayList(Option<SecretPath>);

impl MayList {
    /// The folder, or the secret; none for the whole mount.
    #[must_use]
    pub const fn folder(&self) -> Option<&SecretPath> {
        self.0.as_ref()
    }
}

/// Leave to see what is in a folder.
///
/// # Errors
/// The manifest does not say so.
pub fn list(
    manifest: &Manifest,
    token: &Authenticated,
    folder: Option<SecretPath>,
) -> Result<MayList, Denied> {
    match principal(manifest, token)? {
        Principal::Operator(operator) => {
            operator.permit_list(folder.as_ref())?;
            Ok(MayList(folder))
        }
        Principal::Workload(_) => Err(Denied::Workload),
    }
}

/// Leave to see the metadata of one secret: for operators who may list it, and for its readers.
///
/// # Errors
/// The manifest does not say so.
pub fn metadata(
    manifest: &Manifest,
    token: &Authenticated,
    path: SecretPath,
) -> Result<MayList, Denied> {
    match principal(manifest, token)? {
        Principal::Operator(operator) => drop(operator.permit(Action::List, &path)?),
        Principal::Workload(name) => drop(delivered(manifest, name, &path)?.clone()),
    }
    Ok(MayList(Some(path)))
}

/// Leave to do something to everything, which looking up (`list`) or revoking (`delete`) tokens of others, reading
/// the audit log (`list`) and renewing the store's keys (`rotate`) need.
#[derive(Debug)]
pub struct Everywhere(());

/// Whether the manifest lets an operator do this to every secret.
///
/// # Errors
/// The manifest does not say so.
pub fn everywhere(
    manifest: &Manifest,
    token: &Authenticated,
    action: Action,
) -> Result<Everywhere, Denied> {
    match principal(manifest, token)? {
        Principal::Operator(operator) => {
            if !operator.may.contains(&action) {
                return Err(Denied::Operator(manifest::Forbidden::Action(action)));
            }
            if !operator.paths.iter().any(|glob| glob.as_str() == "*") {
                return Err(Denied::Operator(manifest::Forbidden::Path(action)));
            }
            Ok(Everywhere(()))
        }
        Principal::Workload(_) => Err(Denied::Workload),
    }
}

enum Principal<'m> {
    Operator(&'m Operator),
    Workload(&'m Name),
}

fn principal<'m>(manifest: &'m Manifest, token: &Authenticated) -> Result<Principal<'m>, Denied> {
    let name: Name = token.holder().name().parse().map_err(|_| Denied::NoHolder)?;
    let found = match token.holder() {
        Holder::Operator(_) => manifest.operator().get(&name).map(Principal::Operator),
        Holder::Workload(_) => {
            manifest.workload().get_key_value(&name).map(|(name, _)| Principal::Workload(name))
        }
    };
    found.ok_or(Denied::NoHolder)
}

fn delivered<'m>(
    manifest: &'m Manifest,
    workload: &Name,
    path: &SecretPath,
) -> Result<&'m Field, Denied> {
    match manifest.secret().get(path) {
        Some(secret) if secret.readers.contains(workload) => Ok(&secret.field),
        Some(_) | None => Err(Denied::NotAReader { path: path.clone() }),
    }
}

/// The manifest does not permit it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The manifest names no such operator or workload.
    #[error("the manifest in force does not name the caller")]
    NoHolder,
    /// An operator may not.
    #[error(transparent)]
    Operator(#[from] manifest::Forbidden),
    /// A workload that is no reader.
    #[error("the workload is not a reader of {path}")]
    NotAReader {
        /// What it asked for.
        path: SecretPath,
    },
    /// Workloads only read.
    #[error("a workload may only read")]
    Workload,
}

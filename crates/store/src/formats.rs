//! The parsers of what is stored, one by one, for those who look for bytes that break them. Nothing that they accept is authentic: in a store every one of them
//! stands behind a seal, except the form of a commit and the first header.

use crate::{
    FirstHeader,
    body::{self, Content},
    commit::Sealed,
    saved::{self, Loading, Name, Records, Seal},
    wire::Reader,
};

/// A commit's form and, of commit 1, its header.
pub fn commit(n: u64, object: &[u8]) -> Result<(), String> {
    let sealed = Sealed::parse(n, object).map_err(|fault| fault.to_string())?;
    if n == 1 {
        let header = FirstHeader::parse(sealed.clear).map_err(|fault| fault.0)?;
        let written = header.to_bytes().map_err(|fault| fault.0)?;
        FirstHeader::parse(&written)
            .map_err(|fault| format!("written and not read: {}", fault.0))?;
    }
    Ok(())
}

/// What is inside a commit. Answers how it is written again: without the identity key, which has several forms.
pub fn body(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let body = body::parse(text).map_err(|fault| fault.0)?;
    let transactions: Vec<_> = body.transactions.iter().collect();
    let mut written = Vec::new();
    let content = Content { identity: None, transactions: &transactions, change: body.change };
    body::write(&mut written, content).map_err(|_| "it cannot be written")?;
    Ok(written)
}

/// An object of a snapshot: the bytes are an index (its length before it) and parts.
pub fn snapshot(text: &[u8]) -> Result<(), String> {
    let name = Name::example();
    let keyring = crate::keyring::Keyring::example();
    let identity = crate::IdentityId::from(crate::Hash::of(b""));
    let seal = Seal { name, identity, keyring: &keyring };
    let unopened = seal.open(saved::INDEX, bytes::Bytes::copy_from_slice(text)).err();
    let mut reader = Reader::new(text);
    let index = reader.sized().map_err(|_| format!("no index; {unopened:?}"))?;
    let mut loading = Loading::parse(name, index).map_err(|fault| fault.to_string())?;
    while !reader.is_empty() {
        let part = reader.sized().map_err(|_| "a part that is cut")?;
        loading.add(Records::parse(name, part).map_err(|fault| fault.to_string())?);
    }
    loading.finish().map(drop).map_err(|fault| fault.to_string())
}

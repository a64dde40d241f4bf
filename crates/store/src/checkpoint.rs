//! Signed checkpoints of the audit log, as C2SP tlog-checkpoint has them: origin, size and root of the Merkle tree, as a signed note.
//!
//! The origin, and the name of the key, is `vouchsafe/<identity>`. The signature is the store's own: ECDSA over P-256 with SHA-256 in DER, key id the first four
//! bytes of SHA-256 of the SubjectPublicKeyInfo (C2SP signed-note, signature type 2), which are the first four bytes of the identity's name.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Hash, Identity, IdentityKey, seal::RandomnessUnavailable};

/// How far the audit log was, and what its tree's root was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records.
    pub size: u64,
    /// Of the Merkle tree over them (RFC 6962).
    pub root: Hash,
}

impl Checkpoint {
    pub(crate) fn sign(&self, key: &IdentityKey) -> Result<String, RandomnessUnavailable> {
        let origin = origin(key.public());
        let text = self.text(&origin);
        let mut line = key_id(key.public()).to_vec();
        line.extend_from_slice(&key.sign_der(text.as_bytes())?);
        Ok(format!("{text}\n{DASH} {origin} {}\n", STANDARD.encode(line)))
    }

    fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads a signed checkpoint of this store, in the order: form, origin, signature. Signatures by other keys beside ours are passed over; extension lines are refused.
    pub fn verify(note: &str, identity: &Identity) -> Result<Self, CheckpointFault> {
        let malformed = CheckpointFault::Malformed;
        if note.len() > LONGEST {
            return Err(malformed("it is too long"));
        }
        let (text, signatures) =
            note.split_once("\n\n").ok_or(malformed("no empty line before the signatures"))?;
        let mut lines = text.split('\n');
        let (Some(found), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("expected three lines: origin, size, root"));
        };
        let size: u64 = size.parse().map_err(|_| malformed("a size that is none"))?;
        let root = STANDARD.decode(root).map_err(|_| malformed("a root that is not base64"))?;
        let root: [u8; 32] = root.try_into().map_err(|_| malformed("a root of another length"))?;
        let checkpoint = Self { size, root: Hash::new(root) };
        let origin = origin(identity);
        if found != origin {
            return Err(CheckpointFault::Origin { found: found.to_owned(), expected: origin });
        }
        // The text that is signed is the canonical one: no other spelling of the size or the root has a signature.
        let text = checkpoint.text(&origin);
        let signatures = signatures.strip_suffix('\n').ok_or(malformed("no end of line"))?;
        for line in signatures.split('\n') {
            let rest = line.strip_prefix(DASH).and_then(|rest| rest.strip_prefix(' '));
            let (name, signature) = rest
                .and_then(|rest| rest.split_once(' '))
                .ok_or(malformed("a signature line of another form"))?;
            let signature =
                STANDARD.decode(signature).map_err(|_| malformed("a signature not in base64"))?;
            let Some((id, signature)) = signature.split_first_chunk::<4>() else {
                return Err(malformed("a signature without a key id"));
            };
            if name == origin && *id == key_id(identity) {
                return identity
                    .verify_der(text.as_bytes(), signature)
                    .map(|()| checkpoint)
                    .map_err(|_| CheckpointFault::Signature);
            }
        }
        Err(CheckpointFault::Unsigned)
    }
}

fn origin(identity: &Identity) -> String {
    format!("vouchsafe/{}", identity.id())
}

fn key_id(identity: &Identity) -> [u8; 4] {
    let [a, b, c, d, ..] = *identity.id().as_bytes();
    [a, b, c, d]
}

/// Why a note is no checkpoint of this store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// Its form is another.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// It is of another log.
    #[error("the checkpoint is of {found}, expected {expected}")]
    Origin {
        /// As found.
        found: String,
        /// As demanded.
        expected: String,
    },
    /// The store's key signed something else.
    #[error("the checkpoint's signature is wrong")]
    Signature,
    /// The store's key did not sign it.
    #[error("the checkpoint is not signed by this store")]
    Unsigned,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records, root {}", self.size, self.root)
    }
}

const DASH: char = '\u{2014}';
const LONGEST: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_signed_note() {
        let key = IdentityKey::generate().unwrap();
        let checkpoint = Checkpoint { size: 42, root: Hash::of(b"root") };
        let note = checkpoint.sign(&key).unwrap();
        let id = key.public().id();
        let root = STANDARD.encode(Hash::of(b"root").as_bytes());
        let text = format!("vouchsafe/{id}\n42\n{root}\n\n\u{2014} vouchsafe/{id} ");
        assert!(note.starts_with(&text), "{note}");
        assert_eq!(Checkpoint::verify(&note, key.public()), Ok(checkpoint));
        let witnessed = note.replacen("\n\n", "\n\n\u{2014} somebody AAAAAAAA\n", 1);
        assert_eq!(Checkpoint::verify(&witnessed, key.public()), Ok(checkpoint));
    }

    #[test]
    fn each_step_refuses() {
        let key = IdentityKey::generate().unwrap();
        let (public, other) = (key.public(), IdentityKey::generate().unwrap());
        let checkpoint = Checkpoint { size: 42, root: Hash::of(b"root") };
        let note = checkpoint.sign(&key).unwrap();
        let fault = |note: &str| Checkpoint::verify(note, public).unwrap_err();
        assert!(matches!(
            Checkpoint::verify(&note, other.public()),
            Err(CheckpointFault::Origin { .. })
        ));
        assert_eq!(fault(&note.replacen("\n42\n", "\n43\n", 1)), CheckpointFault::Signature);
        assert_eq!(
            fault(&note.replacen("\n\n\u{2014} vouchsafe", "\n\n\u{2014} other", 1)),
            CheckpointFault::Unsigned
        );
        let respelled = note.replacen("\n42\n", "\n042\n", 1);
        assert_eq!(Checkpoint::verify(&respelled, public), Ok(checkpoint), "the same checkpoint");
        for bad in [
            note.trim_end().to_owned(),
            note.replacen("\n42\n", "\n-1\n", 1),
            note.replacen("\n42\n", "\n42\nextension\n", 1),
            note.replacen("\n\n", "\n", 1),
            format!("{note}junk\n"),
            String::new(),
        ] {
            let found = Checkpoint::verify(&bad, public);
            let accepted = bad.ends_with("junk\n") && found == Ok(checkpoint);
            assert!(
                accepted || matches!(found, Err(CheckpointFault::Malformed(_))),
                "{bad}: {found:?}"
            );
        }
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(bad) = String::from_utf8(bytes) {
                assert!(Checkpoint::verify(&bad, public).is_err(), "byte {at}: {bad}");
            }
        }
    }
}

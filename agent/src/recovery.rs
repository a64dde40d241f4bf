//! Opening a copy of a store by a quorum of the holders of its recovery shares, without any cloud.
//!
//! One process opens it, on a machine that the holders trust. Holders who sit there give their age identity; others seal their share to the process, whose recipient is made
//! at its start and never written down. A share leaves its age file only to be combined in this process or sealed to it.
//!
//! It cannot know whether the copy is the newest: the anchor is in the cloud. It says where the copy ends, and the holders compare.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};
use store::{
    AnchorStore, AnchorStoreError, CombineError, Demand, FirstHeader, Meeting, OpenError,
    Recipient, RootKey, SealedAnchor, Settings, Share, StorageError, Store, UnsealError,
    holders_share, read_headers, seal_to_meeting,
};

/// A copy of a store's objects.
pub struct Copy {
    objects: Arc<dyn object_store::ObjectStore>,
    headers: Vec<FirstHeader>,
}

impl Copy {
    /// Looks at the copy in a folder.
    ///
    /// # Errors
    /// It is not readable, or no store.
    pub async fn in_folder(folder: &Path) -> Result<Self, RecoveryFault> {
        Self::of(store::directory(folder).map_err(RecoveryFault::Folder)?).await
    }

    /// Looks at the copy in a folder as it was at a commit; the folder stays as it is.
    ///
    /// # Errors
    /// It is not readable, no store, or does not reach so far back.
    pub async fn until(folder: &Path, n: u64) -> Result<Self, RecoveryFault> {
        let whole = store::directory(folder).map_err(RecoveryFault::Folder)?;
        let objects: Arc<dyn object_store::ObjectStore> =
            Arc::new(object_store::memory::InMemory::new());
        let copied = store::restore(&whole, &objects, n).await.map_err(RecoveryFault::Until)?;
        if copied.last != n {
            return Err(RecoveryFault::Until(store::BackupError::Torn { n }));
        }
        Self::of(objects).await
    }

    async fn of(objects: Arc<dyn object_store::ObjectStore>) -> Result<Self, RecoveryFault> {
        let mut headers = read_headers(&objects).await.map_err(RecoveryFault::Open)?;
        if headers.is_empty() {
            return Err(RecoveryFault::Open(OpenError::NoStore));
        }
        // A new barrier key brings a header that names the same shares.
        headers.dedup_by(|one, next| one.recovery() == next.recovery());
        Ok(Self { objects, headers })
    }

    /// Seals this holder's shares to a meeting: one line for each set of shares that the copy knows, `<object>:<age file in base64>`.
    ///
    /// # Errors
    /// The holder has no share, or it does not open.
    pub async fn contribute(
        &self,
        holder: &SecretString,
        meeting: &Recipient,
    ) -> Result<Vec<String>, RecoveryFault> {
        let mut lines = Vec::new();
        // Whoever writes the copy can add a header whose shares are not there; the genuine one counts.
        let mut fault = UnsealError::NoHolder;
        for header in &self.headers {
            match holders_share(&self.objects, header.recovery(), holder).await {
                Ok((named, share)) => {
                    let sealed = seal_to_meeting(&share, meeting).map_err(RecoveryFault::Seal)?;
                    lines.push(format!("{}:{}", named.object, encode(&sealed)));
                }
                Err(UnsealError::NoHolder) => {}
                Err(other) => fault = other,
            }
        }
        if lines.is_empty() {
            return Err(RecoveryFault::Share(fault));
        }
        Ok(lines)
    }

    /// Opens the copy: with the shares of holders who are here, and of those who sealed theirs to the meeting, as lines. The newest generation that opens is the one; a
    /// rekeying that was stopped may have left a newer one that does not.
    ///
    /// # Errors
    /// There are too few shares, or the store does not open.
    pub async fn open(
        &self,
        holders: &[SecretString],
        meeting: &Meeting,
        lines: &[String],
    ) -> Result<Store, RecoveryFault> {
        let mut reason = RecoveryFault::Share(UnsealError::NoHolder);
        for header in &self.headers {
            let root = match self.root(header, holders, meeting, lines).await {
                Ok(root) => root,
                Err(fault) => {
                    reason = fault;
                    continue;
                }
            };
            let settings = Settings::new(Arc::new(SystemRandom::new()));
            let anchors: &dyn AnchorStore = &NoAnchor;
            let anchor = (anchors, Demand::DangerAnyHistory);
            let id = header.identity().id();
            match Store::open(&self.objects, &root, &id, anchor, &settings).await {
                Ok(store) => return Ok(store),
                Err(fault) => reason = RecoveryFault::Open(fault),
            }
        }
        Err(reason)
    }

    async fn root(
        &self,
        header: &FirstHeader,
        holders: &[SecretString],
        meeting: &Meeting,
        lines: &[String],
    ) -> Result<RootKey, RecoveryFault> {
        let mut shares: Vec<Share> = Vec::new();
        for holder in holders {
            match holders_share(&self.objects, header.recovery(), holder).await {
                Ok((_, share)) => shares.push(share),
                Err(UnsealError::NoHolder) if holders.len() > 1 => {}
                Err(fault) => return Err(RecoveryFault::Share(fault)),
            }
        }
        for line in lines {
            let (object, sealed) = line.trim().split_once(':').ok_or(RecoveryFault::Line)?;
            if header.recovery().shares.iter().any(|named| named.object == object) {
                let sealed = decode(sealed).ok_or(RecoveryFault::Line)?;
                shares.push(meeting.receive(&sealed).map_err(RecoveryFault::Share)?);
            }
        }
        RootKey::combine(&shares).map_err(RecoveryFault::Combine)
    }
}

/// Reads a holder's age identity file: the first line that is neither empty nor a comment.
///
/// # Errors
/// It is not readable, or has no identity.
pub fn identity_file(path: &Path) -> Result<SecretString, RecoveryFault> {
    let fault = |source| RecoveryFault::Identity { path: path.to_owned(), source };
    let file = std::io::BufReader::new(std::fs::File::open(path).map_err(fault)?);
    for line in file.lines() {
        let line = SecretString::from(line.map_err(fault)?);
        let text = line.expose_secret().trim();
        if !text.is_empty() && !text.starts_with('#') {
            return Ok(SecretString::from(text));
        }
    }
    Err(RecoveryFault::Share(UnsealError::Holder))
}

fn encode(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}

/// The anchor is in the cloud.
struct NoAnchor;

#[async_trait::async_trait]
impl AnchorStore for NoAnchor {
    async fn read(&self) -> Result<Option<SealedAnchor>, AnchorStoreError> {
        Ok(None)
    }

    async fn write(&self, _anchor: &SealedAnchor) -> Result<(), AnchorStoreError> {
        Err(AnchorStoreError::Unavailable("a copy has no anchor".into()))
    }
}

/// Why a copy is not open.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryFault {
    /// The folder.
    #[error("the folder of the copy")]
    Folder(#[source] StorageError),
    /// An identity file.
    #[error("reading {}", path.display())]
    Identity {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A contributed line has another form.
    #[error("a contribution is `<object>:<base64>`")]
    Line,
    /// A share.
    #[error("a recovery share")]
    Share(#[source] UnsealError),
    /// A share was not sealed.
    #[error("sealing a share to the meeting")]
    Seal(#[source] store::RecoveryError),
    /// The shares together.
    #[error("putting the shares together")]
    Combine(#[source] CombineError),
    /// The store.
    #[error("opening the copy")]
    Open(#[source] OpenError),
    /// The copy as it was.
    #[error("the copy as it was at that commit")]
    Until(#[source] store::BackupError),
    /// No anchor was made.
    #[error("making an anchor")]
    Anchor(#[source] store::SealError),
    /// There is no such secret.
    #[error("the store has no such key")]
    NoKey,
    /// Standard input or output.
    #[error("standard input or output")]
    Console(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use age::x25519::Identity;
    use store::{
        Key, Newborn, RecoverySet, Rekey, ShareRef, ShareSet, Transaction, Value,
        write_later_recovery, write_recovery,
    };

    use super::*;

    fn secret(identity: &Identity) -> SecretString {
        use age::secrecy::ExposeSecret as _;
        SecretString::from(identity.to_string().expose_secret())
    }

    fn automatic() -> ShareSet {
        let sha256 = store::Hash::of(b"");
        let share = ShareRef { name: "unseal".into(), version: "1".into(), sha256 };
        ShareSet { threshold: 1, shares: vec![share] }
    }

    /// A store whose recovery shares three holders have, two of whom are needed; `rekeyed` to others.
    async fn copy(folder: &Path, holders: &[Identity], rekeyed: Option<&[Identity]>) -> Copy {
        let rng = SystemRandom::new();
        let objects = store::directory(folder).unwrap();
        let root = RootKey::generate(&rng).unwrap();
        let identity = store::IdentityKey::generate().unwrap();
        let id = identity.public().id();
        let recipients = |holders: &[Identity]| -> Vec<Recipient> {
            holders.iter().map(|one| one.to_public().to_string().parse().unwrap()).collect()
        };
        let shares = root.split(2, 3, &rng).unwrap();
        let recovery: RecoverySet =
            write_recovery(&objects, id, 2, &shares, &recipients(holders)).await.unwrap();
        let newborn = Newborn { identity, shares: automatic(), recovery };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let first = Transaction::new(now)
            .put(Key::parse("kv/demo").unwrap(), Value::copied(b"sesame").unwrap());
        let settings = Settings::new(Arc::new(SystemRandom::new()));
        let store = Store::create(&objects, &root, newborn, first, &settings).await.unwrap();
        if let Some(holders) = rekeyed {
            store.rotate().await.unwrap();
            let root = RootKey::generate(&rng).unwrap();
            let shares = root.split(2, 3, &rng).unwrap();
            let to = recipients(holders);
            let recovery =
                write_later_recovery(&objects, (id, 2), 2, &shares, &to, &rng).await.unwrap();
            let new = Rekey { root, generation: 2, shares: automatic(), recovery };
            store.rekey(new).await.unwrap();
        }
        Copy::in_folder(folder).await.unwrap()
    }

    fn demo(store: &Store) -> Vec<u8> {
        let entry = store.entry(&Key::parse("kv/demo").unwrap()).unwrap();
        entry.value.expose_secret().to_vec()
    }

    #[tokio::test]
    async fn two_of_three_holders_open_a_copy_here_or_from_afar() {
        let folder = tempfile::tempdir().unwrap();
        let holders: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
        let copy = copy(folder.path(), &holders, None).await;
        let meeting = Meeting::begin();
        let [one, two, three] = [0, 1, 2].map(|i| secret(&holders[i]));
        let afar = copy.contribute(&three, &meeting.recipient()).await.unwrap();
        assert_eq!(afar.len(), 1);

        let here = [one, two];
        assert_eq!(demo(&copy.open(&here, &meeting, &[]).await.unwrap()), b"sesame");
        assert_eq!(demo(&copy.open(&here[..1], &meeting, &afar).await.unwrap()), b"sesame");
        let alone = copy.open(&here[..1], &meeting, &[]).await;
        assert!(matches!(alone, Err(RecoveryFault::Combine(CombineError::TooFew { .. }))));
        let twice = copy.open(&[], &meeting, &[afar.clone(), afar.clone()].concat()).await;
        assert!(matches!(twice, Err(RecoveryFault::Combine(CombineError::TooFew { .. }))));
        // A share that was sealed to one meeting is of no use in another.
        let other = copy.open(&here[..1], &Meeting::begin(), &afar).await;
        assert!(matches!(other, Err(RecoveryFault::Share(UnsealError::NotForHolder))));
        let stranger = [secret(&Identity::generate())];
        let refused = copy.open(&stranger, &meeting, &afar).await;
        assert!(matches!(refused, Err(RecoveryFault::Share(UnsealError::NoHolder))));
    }

    #[tokio::test]
    async fn after_a_rekey_the_new_holders_open_it_and_the_old_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let old: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
        let new: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
        let copy = copy(folder.path(), &old, Some(&new)).await;
        let meeting = Meeting::begin();
        let here: Vec<_> = new[1..].iter().map(secret).collect();
        assert_eq!(demo(&copy.open(&here, &meeting, &[]).await.unwrap()), b"sesame");
        let here: Vec<_> = old[1..].iter().map(secret).collect();
        let refused = copy.open(&here, &meeting, &[]).await;
        assert!(matches!(
            refused,
            Err(RecoveryFault::Open(OpenError::OtherGeneration { given: 1, current: 2 }))
        ));
    }

    #[tokio::test]
    async fn no_file_beside_the_age_files_holds_a_share() {
        let folder = tempfile::tempdir().unwrap();
        let holders: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
        let copy = copy(folder.path(), &holders, None).await;
        let meeting = Meeting::begin();
        let lines = copy.contribute(&secret(&holders[0]), &meeting.recipient()).await.unwrap();
        let (_, share) =
            holders_share(&copy.objects, copy.headers[0].recovery(), &secret(&holders[0]))
                .await
                .unwrap();
        let sealed = decode(lines[0].split_once(':').unwrap().1).unwrap();
        let secret_part = &share.expose_secret()[share.expose_secret().len() - 32..];
        assert!(!sealed.windows(32).any(|window| window == secret_part));
    }

    #[test]
    fn an_identity_file_may_have_comments() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.txt");
        std::fs::write(&path, "# created: today\n\nAGE-SECRET-KEY-1X\n").unwrap();
        assert_eq!(identity_file(&path).unwrap().expose_secret(), "AGE-SECRET-KEY-1X");
        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(identity_file(&path).is_err());
    }
}

//! One change, and how grave it is.

/// What a change does to what is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Somebody gains something that was there before, or a protection is lower.
    Weakens,
    /// Neither.
    Changes,
    /// Somebody loses something, or a protection is higher.
    Strengthens,
}

impl Effect {
    /// The effect's name for programs, which does not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Weakens => "weakens",
            Self::Changes => "changes",
            Self::Strengthens => "strengthens",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal),+ $(,)?) => {
        /// What a change is about, the gravest first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $kind),+ }

        impl Kind {
            /// Every kind, the gravest first.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The kind's name for programs, which does not change.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$kind => $code),+ }
            }
        }
    };
}

kinds! {
    /// Whose word counts: signers, and the roots that evidence must lead to.
    TrustAnchor = "trust-anchor",
    /// A signer whose certificate could not be read, and who may so be another.
    UnreadSigner = "unread-signer",
    /// Which software may have the master key.
    MasterKey = "master-key",
    /// Whether the host may debug a guest, and so read its memory.
    Debug = "debug",
    /// Whether the release policy of the master key can be changed.
    ReleasePolicy = "release-policy",
    /// Whether the attestation provider takes policies without a signer's signature.
    PolicySignature = "policy-signature",
    /// Which attestation provider.
    Provider = "attestation-provider",
    /// The oldest platform.
    PlatformFloor = "platform-floor",
    /// The accepted launch measurements.
    LaunchMeasurement = "launch-measurement",
    /// The oldest utility VM.
    UtilityVm = "utility-vm",
    /// Whether evidence needs a revocation list.
    Revocation = "revocation",
    /// The master key's curve.
    Curve = "curve",
    /// Which operator may read values.
    ReadsValues = "reads-values",
    /// Which software a workload is.
    WorkloadSoftware = "workload-software",
    /// Whose signed policy parts a workload's group admits, and so who else can obtain its secrets.
    PolicyFragment = "policy-fragment",
    /// Which workload may have which secret.
    SecretReader = "secret-reader",
    /// Which field of a secret is delivered.
    SecretField = "secret-field",
    /// Who can recover the store without the master key.
    Recovery = "recovery",
    /// How many shares open the store.
    Unseal = "unseal",
    /// Whether what was deleted can be purged at once.
    PurgeProtection = "purge-protection",
    /// For how long what was deleted is kept.
    Retention = "retention",
    /// How the server shows who it is to the storage account.
    StorageAccess = "storage-access",
    /// Where the TLS key comes from.
    TlsKey = "tls-key",
    /// The names that the TLS certificate is for.
    TlsNames = "tls-names",
    /// An operator who is new or gone.
    Operator = "operator",
    /// How an operator logs in.
    OperatorLogin = "operator-login",
    /// What an operator may do where, but for reading.
    OperatorAction = "operator-action",
    /// For how long a login lasts.
    OperatorSession = "operator-session",
    /// How many refusals are recorded.
    Audit = "audit",
    /// A secret that is new or gone.
    Secret = "secret",
    /// A workload that is new or gone.
    Workload = "workload",
    /// Where the deployment is.
    Place = "place",
    /// How large the server is.
    ServerSize = "server-size",
    /// The revision, which must grow with every change.
    Revision = "revision",
}

/// One change in meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it does.
    pub effect: Effect,
    /// What it is about.
    pub kind: Kind,
    /// Whom or what it concerns.
    pub subject: String,
    /// What happens, as a sentence without its subject's name.
    pub text: String,
}

/// How far changes reach, as long as the master key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Nowhere,
    /// The rules that a running server follows.
    Rules,
    /// Azure's resources, or what the bundle names.
    Resources,
}

impl Kind {
    fn reach(self) -> Reach {
        match self {
            // Whether anything changes is not known.
            Self::UnreadSigner => Reach::Nowhere,
            Self::Debug
            | Self::PlatformFloor
            | Self::LaunchMeasurement
            | Self::UtilityVm
            | Self::ReadsValues
            | Self::WorkloadSoftware
            | Self::Revocation
            | Self::PolicyFragment
            | Self::SecretReader
            | Self::SecretField
            | Self::Recovery
            | Self::Unseal
            | Self::Operator
            | Self::OperatorLogin
            | Self::OperatorAction
            | Self::OperatorSession
            | Self::Audit
            | Self::Secret
            | Self::Workload
            | Self::Revision => Reach::Rules,
            Self::TrustAnchor
            | Self::MasterKey
            | Self::ReleasePolicy
            | Self::PolicySignature
            | Self::Provider
            | Self::Curve
            | Self::PurgeProtection
            | Self::Retention
            | Self::StorageAccess
            | Self::TlsKey
            | Self::TlsNames
            | Self::Place
            | Self::ServerSize => Reach::Resources,
        }
    }
}

/// The changes found so far.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    pub(super) fn push(
        &mut self,
        effect: Effect,
        kind: Kind,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.0.push(Change { effect, kind, subject: subject.into(), text: text.into() });
    }

    /// A number that protects the more the higher it is.
    pub(super) fn number<T: PartialOrd + std::fmt::Display>(
        &mut self,
        kind: Kind,
        subject: &str,
        what: &str,
        (old, new): (T, T),
    ) {
        if old != new {
            let (effect, verb) = match new < old {
                true => (Effect::Weakens, "lowered"),
                false => (Effect::Strengthens, "raised"),
            };
            self.push(effect, kind, subject, format!("{what} is {verb} from {old} to {new}"));
        }
    }

    pub(super) fn reach(&self) -> Reach {
        self.0.iter().map(|change| change.kind.reach()).max().unwrap_or(Reach::Nowhere)
    }

    /// The worst first.
    pub(super) fn sorted(mut self) -> Vec<Change> {
        self.0.sort();
        self.0
    }
}

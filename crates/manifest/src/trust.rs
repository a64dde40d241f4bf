//! Who answers for the deployment and what must be shown: `[signer]`, `[attestation]`, `[master_key]`, `[tls]`,
//! `[unseal]`, `[recovery]`.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{
    Allowed, DebugPolicy, HostData, Measurement, Policy, Product, Revocation, TcbFloor,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::read::{Context, Item, Read, Reported};
use crate::requirements::{Requirements, Uvm, as_flag, policy};
use crate::schema::{Hex48, TcbTable};
use crate::table::Table;
use crate::text::{AgeRecipient, FilePath, HttpsUrl, Name, ProviderName, TlsName, VaultName};
use crate::words::{Cloud, Compliance, Crl, Curve, TlsSource, Trust};

/// A key whose holder answers for the deployment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Signer {
    /// Its certificate in PEM: RSA of at least 3072 bits.
    pub certificate: FilePath,
    /// Its private key, where everybody may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_key: Option<FilePath>,
}

/// The attestation provider, and what it must be shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attestation {
    /// The provider's name.
    pub provider: ProviderName,
    /// Its address, which begins with its name.
    pub address: HttpsUrl,
    /// Whose policies it accepts.
    #[schemars(default = "isolated")]
    pub trust: Trust,
    /// Whether evidence, a workload's and the server's own, needs a revocation list of AMD.
    #[schemars(default = "required")]
    pub crl: Crl,
    /// What is required of the server.
    pub server: ServerRequirements,
}

/// What is required of the server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerRequirements {
    /// What the attestation service must say about the utility VM.
    pub compliance: Compliance,
    /// Whether the host may debug it, and so read every secret in it.
    #[serde(serialize_with = "as_flag")]
    #[schemars(with = "bool")]
    pub debug: DebugPolicy,
    /// The privilege level, which is 0 for a container.
    #[schemars(range(min = 0, max = 0))]
    pub vmpl: u8,
    /// Launch measurements that are accepted, beside being endorsed; empty accepts every endorsed one.
    #[schemars(with = "BTreeSet<Hex48>", default)]
    pub launch_measurements: BTreeSet<Measurement>,
    /// The oldest TCB of each accepted product; a product that is absent is refused.
    #[schemars(with = "TcbTable")]
    pub tcb: BTreeMap<Product, TcbFloor>,
    /// Which utility VM is accepted.
    pub uvm: Uvm,
}

/// The key that opens everything else.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct MasterKey {
    /// The key vault, which holds this deployment's keys and secrets and nothing else.
    pub vault: VaultName,
    /// Its address, which begins with its name.
    pub address: HttpsUrl,
    /// The key's curve.
    pub curve: Curve,
    /// Whether its release policy can never be changed.
    pub immutable: bool,
    /// Whether what the vault deletes is kept until its retention ends, whoever asks.
    pub purge_protection: bool,
    /// For how many days the vault keeps what was deleted.
    #[schemars(range(min = 7, max = 90))]
    pub retention_days: u8,
}

/// The server's TLS certificate.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// What it is for.
    #[schemars(length(min = 1))]
    pub names: BTreeSet<TlsName>,
    /// Where key and certificate come from.
    pub source: TlsSource,
    /// The file, for the source `pkcs12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs12: Option<FilePath>,
}

/// The shares of the root key that the master key opens.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unseal {
    /// How many are made.
    #[schemars(range(min = 2, max = 16))]
    pub shares: u8,
    /// How many open the store.
    #[schemars(range(min = 2, max = 16))]
    pub threshold: u8,
}

/// The shares of the root key that people hold.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recovery {
    /// How many open the store together.
    #[schemars(range(min = 2, max = 16))]
    pub threshold: u8,
    /// Each holder's age recipient.
    pub holder: BTreeMap<Name, AgeRecipient>,
}

impl Signer {
    pub(crate) fn read_all(i: &Item<'_>) -> Read<BTreeMap<Name, Self>> {
        let seen = std::cell::RefCell::new(BTreeSet::new());
        let signers = i.names(|_, i| {
            i.table(|t| {
                let certificate = t.required("certificate", |i| {
                    let file: FilePath = i.parse()?;
                    match seen.borrow_mut().insert(file.clone()) {
                        true => Ok(file),
                        false => Err(i.reject("a certificate that no other signer has")),
                    }
                });
                let insecure_key = t.optional("insecure_key", |i| i.parse());
                Ok(Self { certificate: certificate?, insecure_key: insecure_key? })
            })
        })?;
        if signers.len() < 2 {
            return Err(i.reject_try(
                "at least two signers",
                "a second signer, kept offline, so that losing one key does not lose the deployment",
            ));
        }
        Ok(signers)
    }
}

impl Attestation {
    pub(crate) fn read(t: &Table<'_>, context: &Context) -> Read<Self> {
        let provider: Read<ProviderName> = t.required("provider", |i| i.parse());
        let address = t.required("address", |i| {
            let address: HttpsUrl = i.parse()?;
            let host = address.as_str().strip_prefix("https://").unwrap_or_default();
            let region = host
                .strip_suffix(".attest.azure.net")
                .and_then(|front| front.split_once('.'))
                .filter(|(_, region)| !region.is_empty() && !region.contains(['.', '/']));
            let name = match &provider {
                Ok(provider) => provider.as_str(),
                Err(Reported) => region.map_or("", |(name, _)| name),
            };
            match region {
                Some((found, _)) if found == name => Ok(address),
                _ => Err(i.reject(format!(
                    "\"https://{name}.REGION.attest.azure.net\" with the region's abbreviation"
                ))),
            }
        });
        let trust = t.or("trust", isolated(), |i| i.choice());
        let crl = t.or("crl", required(), |i| i.choice());
        let server = t.required("server", |i| {
            i.table(|t| {
                let compliance = t.required("compliance", |i| i.choice());
                let evidence = Requirements::read(t, context);
                let uvm = t.required("uvm", Uvm::read);
                let Requirements { debug, vmpl, launch_measurements, tcb } = evidence?;
                let (compliance, uvm) = (compliance?, uvm?);
                Ok(ServerRequirements { compliance, debug, vmpl, launch_measurements, tcb, uvm })
            })
        });
        let (provider, address, trust) = (provider?, address?, trust?);
        Ok(Self { provider, address, trust, crl: crl?, server: server? })
    }

    /// What these revocation lists, as DER, mean for evidence, a workload's or the server's own.
    #[must_use]
    pub fn revocation(&self, lists: Vec<Vec<u8>>) -> Revocation {
        match self.crl {
            Crl::Require => Revocation::Required(lists),
            Crl::IfPresent => Revocation::IfPresent(lists),
        }
    }
}

impl ServerRequirements {
    /// The demands as `evidence` checks them, for these values of HOST_DATA.
    #[must_use]
    pub fn policy(&self, host_data: Allowed<HostData>) -> Policy {
        let measurements = &self.launch_measurements;
        policy(self.debug, self.vmpl, measurements, &self.tcb, &self.uvm, host_data)
    }
}

impl MasterKey {
    pub(crate) fn read(t: &Table<'_>, context: &Context) -> Read<Self> {
        let vault: Read<VaultName> = t.required("vault", |i| i.parse());
        let address = t.required("address", |i| {
            let address: HttpsUrl = i.parse()?;
            match &vault {
                Ok(vault) if address.as_str() != format!("https://{vault}.vault.azure.net") => {
                    Err(i.reject(format!("\"https://{vault}.vault.azure.net\"")))
                }
                Ok(_) | Err(Reported) => Ok(address),
            }
        });
        let curve = t.required("curve", |i| i.choice());
        let immutable = t.required("immutable", |i| match (i.flag()?, context.cloud) {
            (false, Some(Cloud::Public)) => Err(i.reject_try(
                "true, because the cloud is public",
                "true; whoever may change the release policy may take the master key",
            )),
            (immutable, _) => Ok(immutable),
        });
        let purge_protection = t.required("purge_protection", |i| i.flag());
        let retention_days = t.required("retention_days", |i| i.number(7, 90));
        Ok(Self {
            vault: vault?,
            address: address?,
            curve: curve?,
            immutable: immutable?,
            purge_protection: purge_protection?,
            retention_days: retention_days?,
        })
    }
}

impl Tls {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let names = t.required("names", |i| {
            let names = i.set(|i| i.parse())?;
            if names.is_empty() { Err(i.reject("at least one name")) } else { Ok(names) }
        });
        let source = t.required("source", |i| i.choice());
        let pkcs12 = match source {
            Ok(TlsSource::Pkcs12) => t.required("pkcs12", |i| i.parse()).map(Some),
            Ok(TlsSource::Provisioner | TlsSource::Server) => {
                t.optional("pkcs12", |i| Err(i.reject("no file unless source is \"pkcs12\"")))
            }
            Err(Reported) => t.optional("pkcs12", |i| i.parse()),
        };
        Ok(Self { names: names?, source: source?, pkcs12: pkcs12? })
    }
}

impl Unseal {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let shares = t.required("shares", |i| i.number(2, 16));
        let most = shares.as_ref().map_or(16, |shares: &u8| i64::from(*shares));
        let threshold = t.required("threshold", |i| i.number(2, most));
        Ok(Self { shares: shares?, threshold: threshold? })
    }
}

impl Recovery {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let seen = std::cell::RefCell::new(BTreeSet::new());
        let threshold = t.required("threshold", |i| i.number(2, 16));
        let holder = t.required("holder", |i| {
            let holders = i.names(|_, i| {
                let recipient: AgeRecipient = i.parse()?;
                match seen.borrow_mut().insert(recipient.clone()) {
                    true => Ok(recipient),
                    false => Err(i.reject("a recipient that no other holder has")),
                }
            })?;
            let least = threshold.as_ref().map_or(2, |threshold: &u8| usize::from(*threshold));
            match holders.len() {
                found if found < least => {
                    Err(i.reject(format!("at least {least} holders, as many as the threshold")))
                }
                found if found > 16 => Err(i.reject("at most 16 holders")),
                _ => Ok(holders),
            }
        });
        Ok(Self { threshold: threshold?, holder: holder? })
    }
}

fn isolated() -> Trust {
    Trust::Isolated
}

fn required() -> Crl {
    Crl::Require
}

//! Plan texts: `golden/plan/<case>/plan.snap`. Each case is a finished deployment of `dev.toml` with something changed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use azure::keys::{Key, KeyKind, KeyPolicy, KeyVersion};
use evidence::Sha256;
use forged_root::SignerName;
use image::layer::RootHash;
use image::oci::Digest;
use infra::{
    Deployer, DeployerKind, Kind, Outputs, Rendered, ServerImage, Signers, WorkspaceAccess,
};
use jiff::Timestamp;
use manifest::Manifest;
use protocol::SignerCertificate;
use protocol::bundle::{
    Artefact, BundleBody, Identity, MasterKeyRef, SecretRef, StoreAuth, StoreRef,
};
use protocol::jwk::{Curve, EcPublicKey};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Intent, Local, NewStore, Outcome, plan};
use crate::inventory::{
    AttestationPolicy, Birth, Deleted, FoundArtefact, FoundBundle, FoundManifest, FoundVersion,
    Inventory, KeyState, Objects, Presence, Reading, Vault,
};
use crate::lock::{self, Lock};
use crate::record::{AskedKey, Record};
use crate::show;
use crate::tls::Certificate;

struct World {
    manifest: Manifest,
    rendered: Rendered,
    have: Inventory,
    local: Local,
}

const VERSION: &str = "0123456789abcdef0123456789abcdef";

fn now() -> Timestamp {
    "2026-11-22T05:00:00Z".parse().unwrap()
}

/// dev.toml, after replacements in its text, rendered for an image whose layer has this hash.
fn intent(replace: &[(&str, &str)], layer: u8) -> (Manifest, Rendered) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/dev.toml"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (old, new) in replace {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    let manifest = Manifest::parse("dev.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    let forged = [SignerName::First, SignerName::Second].map(|which| {
        SignerCertificate::from_pem(forged_root::signer(which).certificate_pem).unwrap()
    });
    let signers: Signers = manifest.signer().keys().cloned().zip(forged).collect();
    let image = ServerImage {
        digest: Digest::of(&[layer]),
        layers: vec![RootHash::from([layer; 32])],
        command: vec!["/vouchsafe-server".to_owned()],
        environment: Vec::new(),
        working_dir: "/".to_owned(),
    };
    let deployer = Deployer {
        object_id: "0e0e0e0e-0000-4000-8000-00000000000d".parse().unwrap(),
        kind: DeployerKind::ServicePrincipal,
    };
    let today = "2026-11-22".parse().unwrap();
    let rendered = infra::render(&manifest, &signers, &image, &deployer, today).unwrap();
    (manifest, rendered)
}

fn outputs() -> Outputs {
    Outputs {
        server_principal: Some("5e5e5e5e-0000-4000-8000-000000000005".to_owned()),
        workspace: Some(WorkspaceAccess {
            customer_id: "10610610-0000-4000-8000-000000000001".to_owned(),
            shared_key: None,
        }),
    }
}

/// A point of P-384: the generator (FIPS 186-4, D.1.2.4).
fn point() -> EcPublicKey {
    let point = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
    EcPublicKey::from_point(Curve::P384, &hex::decode(point).unwrap()).unwrap()
}

fn identity() -> Identity {
    let point = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let public_key = EcPublicKey::from_point(Curve::P256, &hex::decode(point).unwrap()).unwrap();
    Identity { public_key }
}

fn release_policy(rendered: &Rendered) -> Value {
    serde_json::from_str(&rendered.master_key.release_policy().to_string()).unwrap()
}

fn version(rendered: &Rendered, version: &str) -> FoundVersion {
    let kind = azure_point(&point());
    let about = KeyVersion {
        version: version.parse().unwrap(),
        enabled: true,
        created: Some("2026-11-20T10:00:00Z".parse().unwrap()),
    };
    let key = Key {
        name: rendered.master_key.name().parse().unwrap(),
        version: version.parse().unwrap(),
        kind,
        enabled: true,
        exportable: true,
        created: about.created,
        operations: ["sign", "verify"].map(str::to_owned).into(),
        policy: Some(KeyPolicy { document: release_policy(rendered), immutable: true }),
        tags: [(AskedKey::TAG.to_owned(), NONCE.to_owned())].into(),
    };
    FoundVersion { about, key }
}

fn azure_point(point: &EcPublicKey) -> KeyKind {
    let (x, y) = point.point()[1..].split_at(48);
    KeyKind::EcHsm(azure::keys::PublicEc::parse(azure::keys::Curve::P384, x, y).unwrap())
}

/// A deployment that was finished.
fn finished() -> World {
    let (manifest, rendered) = intent(&[], 0x5a);
    let mut have = Inventory { outputs: outputs(), ..Inventory::default() };
    for resource in rendered.resources.all() {
        let mut body = resource.expected(&have.outputs);
        if resource.kind() == Kind::ContainerGroup {
            body["properties"]["instanceView"] = json!({ "state": "Running" });
        }
        have.resources.insert(resource.id().as_str().to_ascii_lowercase(), body);
    }
    let reference = |artefact: Artefact| SecretRef {
        secret: artefact.secret_name("dev"),
        version: VERSION.to_owned(),
        sha256: Sha256::of(artefact.name().as_bytes()),
    };
    let all = [Artefact::Tls, Artefact::TlsPassword, Artefact::StorageKey];
    let body = BundleBody {
        version: 1,
        deployment: "dev".to_owned(),
        serial: 2,
        minimum_revision: 1,
        master_key: MasterKeyRef {
            name: rendered.master_key.name().to_owned(),
            version: VERSION.to_owned(),
            public_key: point(),
            release_policy: release_policy(&rendered),
            immutable: true,
        },
        artefacts: all.iter().map(|artefact| (*artefact, reference(*artefact))).collect(),
        store: StoreRef {
            endpoint: "https://vouchsafedev.blob.core.windows.net".to_owned(),
            account: "vouchsafedev".to_owned(),
            container: "vouchsafe".to_owned(),
            auth: StoreAuth::AccessKey,
        },
        manifest: "manifest/current".to_owned(),
        host_data: rendered.permitted.clone(),
        identity: Some(identity()),
        birth: None,
    };
    let certificate = Certificate {
        names: ["127.0.0.1", "localhost"].map(str::to_owned).into(),
        expires: "2027-12-24T00:00:00Z".parse().unwrap(),
        sha256: Sha256::of(b"certificate"),
    };
    let lock = Lock {
        version: 1,
        deployment: "dev".to_owned(),
        revision: 1,
        manifest_sha256: manifest.digest(),
        serial: 2,
        server: lock::Server {
            image: rendered.group.image().to_owned(),
            host_data: rendered.group.host_data(),
            attestation_policy: rendered.attestation.hash().as_str().to_owned(),
        },
        master_key: lock::MasterKey {
            name: rendered.master_key.name().to_owned(),
            version: VERSION.to_owned(),
            public_key_sha256: point().sha256(),
        },
        store: lock::Store { identity: identity().id(), public_key: identity().public_key },
        tls: lock::Tls { certificate_sha256: certificate.sha256 },
    };
    have.policy = Reading::Found(AttestationPolicy {
        text: Some(rendered.attestation.text().to_owned()),
        signers: rendered.trust_root.signers().iter().map(|id| id.0.to_string()).collect(),
    });
    have.vault = Reading::Found(Vault {
        keys: [(
            rendered.master_key.name().to_owned(),
            KeyState::Present(vec![version(&rendered, VERSION)]),
        )]
        .into(),
        bundle: FoundBundle::Signed(Box::new(body)),
        artefacts: all
            .iter()
            .map(|artefact| (*artefact, FoundArtefact::Same(Some(certificate.clone()))))
            .collect(),
        wrapped_key: Some(Sha256::of(b"access key")),
        put_back: None,
        hidden: Vec::new(),
    });
    have.store = Reading::Found(Objects {
        manifest: FoundManifest::Signed { revision: 1, digest: manifest.digest() },
        birth: Birth::Born,
    });
    have.image = Reading::Found(Presence::Present);
    have.access_key = Some(Sha256::of(b"access key"));
    let local = Local { lock: Some(lock), ..Local::default() };
    World { manifest, rendered, have, local }
}

impl World {
    fn vault(&mut self) -> &mut Vault {
        match &mut self.have.vault {
            Reading::Found(vault) => vault,
            Reading::Absent | Reading::Denied => panic!("no vault"),
        }
    }

    fn objects(&mut self) -> &mut Objects {
        match &mut self.have.store {
            Reading::Found(objects) => objects,
            Reading::Absent | Reading::Denied => panic!("no container"),
        }
    }

    fn bundle(&mut self) -> &mut BundleBody {
        match &mut self.vault().bundle {
            FoundBundle::Signed(body) => body,
            FoundBundle::Missing | FoundBundle::Invalid(_) => panic!("no bundle"),
        }
    }

    fn key(&mut self) -> &mut Vec<FoundVersion> {
        match self.vault().keys.values_mut().next().unwrap() {
            KeyState::Present(versions) => versions,
            KeyState::Missing | KeyState::Deleted(_) => panic!("no key"),
        }
    }

    fn set_key(&mut self, state: KeyState) {
        let name = self.rendered.master_key.name().to_owned();
        self.vault().keys = [(name, state)].into();
    }

    fn forget(&mut self, kind: Kind) {
        let resource = self.rendered.resources.find(kind).unwrap();
        assert!(self.have.resources.remove(&resource.id().as_str().to_ascii_lowercase()).is_some());
    }
}

fn check(case: &str, expected: Outcome, change: impl FnOnce(&mut World)) {
    let mut world = finished();
    change(&mut world);
    let intent = Intent { manifest: &world.manifest, rendered: &world.rendered, now: now() };
    let plan = plan(intent, &world.have, &world.local);
    let text = anstream::adapter::strip_str(&show::text(&plan)).to_string();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/plan")).join(case),
    );
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("plan", text));
    assert_eq!(plan.outcome(), expected);
}

#[test]
fn initial() {
    check("initial", Outcome::Changes, |world| {
        world.have = Inventory::default();
        world.local = Local::default();
    });
}

#[test]
fn no_changes() {
    check("no-changes", Outcome::NoChanges, |_| {});
}

#[test]
fn drift() {
    check("drift", Outcome::Changes, |world| {
        let release = world.rendered.resources.after_key[0].id().as_str().to_ascii_lowercase();
        world.have.resources.remove(&release).unwrap();
        let default = "version= 1.0;authorizationrules{=> permit();};".to_owned();
        if let Reading::Found(policy) = &mut world.have.policy {
            policy.text = Some(default);
        }
        world.forget(Kind::ContainerGroup);
        let vault = world.rendered.resources.find(Kind::KeyVault).unwrap();
        let body = world.have.resources.get_mut(&vault.id().as_str().to_ascii_lowercase()).unwrap();
        body["tags"] = json!({ "vouchsafe-deployment": "other", "cost": "1" });
    });
}

#[test]
fn a_changed_group_is_replaced() {
    check("group-changed", Outcome::Changes, |world| {
        let group = world.rendered.resources.group.id().as_str().to_ascii_lowercase();
        let body = world.have.resources.get_mut(&group).unwrap();
        body["properties"]["confidentialComputeProperties"]["ccePolicy"] = json!("cGVybWl0");
    });
}

#[test]
fn a_provider_that_was_made_anew_is_replaced() {
    check("provider-made-anew", Outcome::Changes, |world| {
        let provider = world.rendered.resources.find(Kind::AttestationProvider).unwrap();
        let id = provider.id().as_str().to_ascii_lowercase();
        world.have.resources.get_mut(&id).unwrap()["properties"]["trustModel"] = json!("AAD");
        let text = Some("version= 1.0;authorizationrules{=> permit();};".to_owned());
        world.have.policy = Reading::Found(AttestationPolicy { text, signers: Vec::new() });
    });
}

#[test]
fn a_stopped_group_is_started() {
    check("group-stopped", Outcome::Changes, |world| {
        let group = world.rendered.resources.group.id().as_str().to_ascii_lowercase();
        let body = world.have.resources.get_mut(&group).unwrap();
        body["properties"]["instanceView"] = json!({ "state": "Stopped" });
    });
}

#[test]
fn a_missing_master_key_is_refused() {
    check("key-missing", Outcome::Refused, |world| world.set_key(KeyState::Missing));
}

#[test]
fn a_deleted_master_key_is_recovered() {
    check("key-deleted", Outcome::Changes, |world| {
        world.set_key(KeyState::Deleted(Deleted { purged: None }));
    });
}

#[test]
fn another_public_half_is_refused() {
    check("key-exchanged", Outcome::Refused, |world| {
        world.bundle().master_key.public_key =
            EcPublicKey::from_point(Curve::P384, &[&[4_u8][..], &[7; 96]].concat()).unwrap();
    });
}

#[test]
fn a_key_that_the_vault_can_decrypt_with_is_refused() {
    check("key-rsa", Outcome::Refused, |world| {
        world.key()[0].key.kind = KeyKind::Other("RSA-HSM".to_owned());
    });
}

#[test]
fn another_immutable_release_policy_is_refused() {
    check("key-policy", Outcome::Refused, |world| {
        let policy = world.key()[0].key.policy.as_mut().unwrap();
        policy.document["anyOf"][0]["authority"] = json!("https://elsewhere.weu.attest.azure.net");
    });
}

#[test]
fn an_extra_key_version_is_disabled() {
    check("key-extra-version", Outcome::Changes, |world| {
        let extra = version(&world.rendered, "ffffffffffffffffffffffffffffffff");
        world.key().push(extra);
    });
}

/// Nothing vouches for the key: no bundle, no lock, no record.
fn unvouched(world: &mut World) {
    world.local = Local::default();
    world.vault().bundle = FoundBundle::Missing;
    world.vault().artefacts.clear();
    world.objects().birth = Birth::Unborn;
}

#[test]
fn a_store_that_no_bundle_names_or_permits_is_refused() {
    check("store-unpermitted", Outcome::Refused, |world| {
        world.local = Local::default();
        let body = world.bundle();
        body.serial += 1;
        body.identity = None;
    });
}

#[test]
fn without_a_lock_the_highest_serial_is_the_bundle_in_force() {
    check("bundle-put-back-unlocked", Outcome::Changes, |world| {
        world.local = Local::default();
        world.vault().put_back = Some(1);
    });
}

/// A checkout may have an old lock: what was put back is newer than that and older than what is in force.
#[test]
fn an_old_lock_does_not_bring_an_old_bundle_back() {
    check("bundle-put-back-old-lock", Outcome::Changes, |world| {
        world.bundle().serial += 3;
        world.vault().put_back = Some(4);
    });
}

#[test]
fn no_version_of_the_bundle_may_be_hidden() {
    check("bundle-hidden", Outcome::Refused, |world| {
        world.vault().hidden = vec![VERSION.to_owned()];
    });
}

#[test]
fn an_imported_key_is_refused() {
    check("key-imported", Outcome::Refused, unvouched);
}

#[test]
fn a_key_is_adopted_by_its_version() {
    check("key-adopted", Outcome::Changes, |world| {
        unvouched(world);
        world.local.adopt = Some(VERSION.to_owned());
    });
}

/// What the key in the vault is tagged with.
const NONCE: &str = "the nonce of the call that made it";

fn asked(at: &str, nonce: &str, world: &mut World) {
    unvouched(world);
    let mut record = Record::new("dev", Uuid::nil());
    let name = world.rendered.master_key.name().to_owned();
    record.key =
        Some(AskedKey { name, asked: at.parse().unwrap(), nonce: nonce.to_owned(), made: None });
    world.local.record = Some(record);
}

#[test]
fn a_key_that_was_asked_for_is_ours() {
    check("key-asked-for", Outcome::Changes, |world| {
        asked("2026-11-20T10:00:00.9Z", NONCE, world);
    });
}

#[test]
fn a_key_older_than_the_record_is_refused() {
    check("key-older-than-record", Outcome::Refused, |world| {
        asked("2026-11-20T10:00:01Z", NONCE, world);
    });
}

#[test]
fn a_key_without_the_tag_of_the_call_is_refused() {
    check("key-of-somebody-else", Outcome::Refused, |world| {
        asked("2026-11-20T10:00:00.9Z", "another nonce", world);
    });
}

#[test]
fn a_rule_change_signs_the_manifest_and_nothing_else() {
    check("rule-change", Outcome::Changes, |world| {
        let readers = "[secret.\"demo/tls-key\"]";
        let more = format!("[secret.\"demo/more\"]\nreaders = [\"demo\"]\n\n{readers}");
        let replace = [("revision = 1", "revision = 2"), (readers, more.as_str())];
        (world.manifest, world.rendered) = intent(&replace, 0x5a);
    });
}

#[test]
fn an_older_or_other_manifest_of_the_revision_is_refused() {
    check("manifest-not-newer", Outcome::Refused, |world| {
        (world.manifest, world.rendered) =
            intent(&[("token_minutes = 60", "token_minutes = 6")], 0x5a);
    });
}

#[test]
fn another_server_needs_a_hand_over() {
    check("hand-over", Outcome::Refused, |world| {
        (world.manifest, world.rendered) = intent(&[], 0x5b);
    });
}

#[test]
fn an_old_bundle_that_was_put_back_is_replaced() {
    check("bundle-put-back", Outcome::Changes, |world| {
        world.bundle().serial = 1;
        world.bundle().identity = None;
    });
}

#[test]
fn a_foreign_bundle_is_replaced() {
    check("bundle-foreign", Outcome::Changes, |world| {
        world.vault().bundle = FoundBundle::Invalid("signature of the bundle".to_owned());
        world.vault().artefacts.clear();
    });
}

#[test]
fn an_exchanged_artefact_is_made_anew() {
    check("artefact-exchanged", Outcome::Changes, |world| {
        world.vault().artefacts.insert(Artefact::TlsPassword, FoundArtefact::Other);
    });
}

#[test]
fn another_access_key_is_wrapped() {
    check("access-key-regenerated", Outcome::Changes, |world| {
        world.have.access_key = Some(Sha256::of(b"another access key"));
    });
}

#[test]
fn a_store_that_is_gone_is_refused() {
    let gone = |world: &mut World| {
        world.objects().birth = Birth::Unborn;
    };
    check("store-gone", Outcome::Refused, gone);
    check("store-begun-anew", Outcome::Changes, |world| {
        gone(world);
        world.local.new_store = NewStore::Permitted;
    });
}

#[test]
fn a_soft_deleted_vault_is_recovered() {
    check("vault-deleted", Outcome::Changes, |world| {
        world.have =
            Inventory { deleted_vault: Some(Deleted { purged: None }), ..Inventory::default() };
        world.local = Local::default();
    });
}

#[test]
fn other_addresses_are_refused_with_the_right_ones() {
    check("addresses", Outcome::Refused, |world| {
        let provider = world.rendered.resources.find(Kind::AttestationProvider).unwrap();
        let id = provider.id().as_str().to_ascii_lowercase();
        let body = world.have.resources.get_mut(&id).unwrap();
        body["properties"]["attestUri"] = json!("https://vouchsafedev.neu.attest.azure.net");
    });
}

#[test]
fn what_cannot_be_read_yet_is_said() {
    check("unread", Outcome::Changes, |world| {
        let deployer: BTreeSet<String> = world
            .rendered
            .resources
            .foundation
            .iter()
            .filter(|resource| {
                resource.kind() == Kind::RoleAssignment
                    && resource
                        .expected(&Outputs::default())
                        .pointer("/properties/principalId")
                        .is_some()
            })
            .map(|resource| resource.id().as_str().to_ascii_lowercase())
            .collect();
        world.have.resources.retain(|id, _| !deployer.contains(id));
        world.have.vault = Reading::Denied;
        world.have.store = Reading::Denied;
    });
}

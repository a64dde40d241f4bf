//! Signing: the bundle, the manifest, and the store's identity once a server was born.

use aws_lc_rs::rand::SystemRandom;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use protocol::bundle::{Artefact, BirthMark, BundleBody, SecretRef, secret_name};
use protocol::server_evidence::VerifiedServer;
use protocol::signed_manifest::{BLOB, ManifestBody};

use super::Applying;
use crate::failure::Failure;
use crate::plan::BundleDraft;
use crate::progress::Step;

impl Applying<'_> {
    pub(super) async fn sign_bundle(&mut self, draft: &BundleDraft) -> Result<(), Failure> {
        let mut artefacts = draft.keep.clone();
        for artefact in &draft.wrap {
            artefacts.insert(*artefact, self.stored_in_this_run(*artefact)?);
        }
        let birth = match (&draft.identity, draft.birth) {
            (Some(_), _) => None,
            (None, Some(mark)) => Some(mark),
            (None, None) => Some(BirthMark::generate(&SystemRandom::new()).map_err(|error| {
                Failure::of("permitting a birth", error, "the system gives no randomness")
            })?),
        };
        let body = BundleBody {
            version: 1,
            deployment: self.deployment.name().to_owned(),
            serial: draft.serial,
            minimum_revision: draft.minimum_revision,
            master_key: self.chosen(&draft.key)?,
            artefacts,
            store: draft.store.clone(),
            manifest: BLOB.to_owned(),
            host_data: draft.host_data.clone(),
            identity: draft.identity.clone(),
            birth,
        };
        self.store_bundle(&body).await
    }

    fn stored_in_this_run(&self, artefact: Artefact) -> Result<SecretRef, Failure> {
        self.stored.get(&artefact).cloned().ok_or_else(crate::failure::ours("naming an artefact"))
    }

    pub(crate) async fn store_bundle(&mut self, body: &BundleBody) -> Result<(), Failure> {
        let unsigned = body
            .prepare(self.signer.certificate())
            .map_err(|error| Failure::of("writing the bundle", error, "this is a fault of ours"))?;
        let text = self.signer.document(unsigned).await?;
        let none = std::collections::BTreeMap::new();
        self.set_secret(&secret_name(self.deployment.name()), text, &none).await?;
        self.bundle = Some(body.clone());
        Ok(())
    }

    pub(super) async fn sign_manifest(&self) -> Result<(), Failure> {
        let body = ManifestBody {
            version: 1,
            deployment: self.deployment.name().to_owned(),
            revision: self.deployment.manifest.deployment().revision,
            toml: self.deployment.text.clone(),
        };
        let unsigned = body.prepare(self.signer.certificate()).map_err(|error| {
            Failure::of("writing the signed manifest", error, "this is a fault of ours")
        })?;
        let text = self.signer.document(unsigned).await?;
        let put = self.cloud.objects.put(&Path::from(BLOB), PutPayload::from(text)).await;
        put.map(drop).map_err(|error| {
            Failure::of(
                "storing the signed manifest",
                error,
                "check the network and Azure's status, then run again",
            )
        })
    }

    /// A server that proved itself and whose store no bundle names yet: its identity is signed, which lets it serve.
    pub(super) async fn confirm_store(&mut self, step: &Step) -> Result<(), Failure> {
        let proven = self.wait_for(step, |_| true).await?;
        let (server, confirmed) = match proven.server {
            VerifiedServer::Confirmed(server) => (server, true),
            VerifiedServer::Unconfirmed(server) => (server, false),
        };
        let read = server.bundle().body();
        if confirmed {
            self.bundle = Some(read.clone());
            return Ok(());
        }
        // What is signed again is what this run has seen or signed, never what a server brings.
        let Some(mut body) = self.bundle.clone().filter(|ours| ours == read) else {
            return Err(Failure::new(
                format!("the server has read another bundle of serial {}", read.serial),
                "somebody else deploys, or exchanges bundles: find out who, then run again",
            ));
        };
        body.serial = body.serial.saturating_add(1);
        body.identity = Some(server.statement().identity.clone());
        body.birth = None;
        self.store_bundle(&body).await
    }
}

//! `explain`: would this get the master key, or that secret, and what is in the way?

use std::path::{Path, PathBuf};

use infra::explain::{Explained, Material, Own, Subject, Verdict, evidence_file, token_file};
use infra::explain::{json, master_key, secret, text};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use manifest::{Manifest, ServerImage};

use super::print;
use crate::cli::Explain;
use crate::deployment::{self, default_state};
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::state::State;
use crate::{measure, signing, state};

pub(super) async fn explain(options: &Explain, now: Timestamp) -> Result<Exit, Failure> {
    let path = &options.manifest;
    let text = state::read(path)?.ok_or_else(|| {
        Failure::new(format!("there is no file {}", path.display()), "check the path")
    })?;
    let manifest = deployment::parse(&path.display().to_string(), &text)?;
    let explained = match (&options.secret, &options.token) {
        (Some(path), _) => of_secret(options, &manifest, path, now)?,
        (None, Some(token)) => {
            let claims = token_file(&bytes(token)?).map_err(|error| {
                let doing = format!("reading the token {}", token.display());
                Failure::of(doing, error, "give a JWT of the attestation service, or its claims")
            })?;
            of_master_key(options, &manifest, &Subject::of_token(claims), now).await?
        }
        (None, None) => {
            let material = material(options)?;
            let subject = Subject::of_evidence(&material, &manifest.anchors(), now);
            of_master_key(options, &manifest, &subject, now).await?
        }
    };
    if options.json {
        print(&format!("{}\n", json(&explained)))?;
    } else {
        print(&self::text(&explained))?;
    }
    Ok(match explained.verdict {
        Verdict::Yes => Exit::Done,
        Verdict::No | Verdict::Unknown(_) => Exit::Drift,
    })
}

fn of_secret(
    options: &Explain,
    manifest: &Manifest,
    path: &str,
    now: Timestamp,
) -> Result<Explained, Failure> {
    secret(manifest, &material(options)?, path, now).map_err(|error| {
        let paths: Vec<&str> = manifest.secret().keys().take(5).map(|path| path.as_str()).collect();
        Failure::of(
            "finding the secret",
            error,
            format!("name one of [secret]: {}", paths.join(", ")),
        )
    })
}

async fn of_master_key(
    options: &Explain,
    manifest: &Manifest,
    subject: &Subject,
    now: Timestamp,
) -> Result<Explained, Failure> {
    let own = match options.host_data {
        Some(host_data) => Own::Known(host_data),
        None => own(options, manifest).await,
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    master_key(manifest, &own, subject, now, today)
        .map_err(|error| Failure::of("rendering the manifest", error, "correct the manifest"))
}

/// HOST_DATA of the deployment's own server, if the lock has it or it can be measured here.
async fn own(options: &Explain, manifest: &Manifest) -> Own {
    let unknown = |failure: Failure| {
        let cause = std::error::Error::source(&failure).map(|cause| format!(": {cause}"));
        Own::Unknown(format!("{failure}{}", cause.unwrap_or_default()))
    };
    match measured(options, manifest).await {
        Ok(own) => own,
        Err(failure) => unknown(failure),
    }
}

async fn measured(options: &Explain, manifest: &Manifest) -> Result<Own, Failure> {
    let whole = std::path::absolute(&options.manifest)
        .map_err(|error| Failure::of("finding the manifest", error, "check the path"))?;
    let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
    let name = manifest.deployment().name.as_str();
    let state = options.state.clone().unwrap_or_else(|| default_state(&folder, name));
    let lock = match manifest.azure().place() {
        manifest::Place::Public => whole.with_extension("lock"),
        manifest::Place::InsecureLocal(_) => state.join("lock.toml"),
    };
    if let Some(lock) = Lock::read(&lock, name)?
        && lock.manifest_sha256 == manifest.digest()
    {
        return Ok(Own::Known(lock.server.host_data));
    }
    let signers = signing::certificates(manifest, &folder)?;
    if let ServerImage::Digest(digest) = &manifest.server().image {
        return Ok(Own::Unknown(format!(
            "the image sha256:{digest} is in the registry, and no lock is of this manifest; --host-data states it"
        )));
    }
    let program = measure::program(options.server_binary.as_deref())?;
    let images = State::open(&state)?.path("images");
    let image = measure::build_in(program, images).await?;
    let group = infra::measure(manifest, &signers, &image).map_err(|error| {
        Failure::of("measuring the server's group", error, "correct the manifest")
    })?;
    Ok(Own::Known(group.host_data()))
}

fn material(options: &Explain) -> Result<Material, Failure> {
    let path: PathBuf = options.evidence.clone().unwrap_or_default();
    let mut material = evidence_file(&bytes(&path)?).map_err(|error| {
        let doing = format!("reading the evidence {}", path.display());
        Failure::of(doing, error, "give what vouchsafe-agent collect prints, or a report (of a container, or of a virtual machine's paravisor) with --certificates and, of a container, --endorsement")
    })?;
    if let Some(path) = &options.certificates {
        let read = bytes(path)?;
        let wrong = |error: String| {
            let doing = format!("reading the certificates {}", path.display());
            Failure::of(doing, error, "give PEM, or the JSON of the certificate service")
        };
        let pem = match read.trim_ascii_start().starts_with(b"{") {
            true => {
                evidence::certificates_from_thim(&read).map_err(|error| wrong(error.to_string()))?
            }
            false => String::from_utf8(read).map_err(|error| wrong(error.to_string()))?,
        };
        match &mut material {
            Material::Container(container) => container.certificates = Some(pem),
            Material::Machine(machine) => machine.certificates = Some(pem),
        }
    }
    if let Some(path) = &options.endorsement {
        let Material::Container(container) = &mut material else {
            return Err(Failure::new(
                "a virtual machine has no endorsement of a utility VM",
                "leave --endorsement out",
            ));
        };
        container.endorsement = Some(bytes(path)?);
    }
    Ok(material)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::of(format!("reading {}", path.display()), error, "check the path")
    };
    let about = std::fs::metadata(path).map_err(failed)?;
    if about.len() > LARGEST {
        let what = format!("{} has more than {LARGEST} bytes", path.display());
        return Err(Failure::new(what, "check the path"));
    }
    std::fs::read(path).map_err(failed)
}

const LARGEST: u64 = 4 << 20;

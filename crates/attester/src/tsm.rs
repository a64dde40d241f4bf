//! `/sys/kernel/config/tsm/report`, the kernel's common interface for reports since 6.7.
//!
//! Interface: Linux, Documentation/ABI/testing/configfs-tsm-report (until 6.15 `configfs-tsm`).
//! Making a folder makes an entry with its attributes; what is written to `inblob` (at most 64 bytes) and `privlevel`
//! makes up a request, each write adds one to `generation`, and reading `outblob` performs the request.
//! `provider` says what the report is; for `sev_guest` it is an SNP report, and `auxblob` is the host's certificate table
//! (AMD 56421, GHCB specification, section 4.1.8.1), which may be empty.
//!
//! Each report has an entry of its own, made exclusively, so that nobody else's write comes between; `generation` shows
//! that none did. The host gives the certificates, so they prove nothing before they are verified.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::Binding;

use super::AttesterError;

/// What an entry gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The report.
    pub(super) report: Vec<u8>,
    /// The host's certificates in the form of the file `host-amd-cert-base64`; none if the host gave no signing key's.
    pub(super) certificates: Option<Vec<u8>>,
}

/// A report that binds `binding`, for VMPL 0.
pub(super) fn report(binding: &Binding) -> Result<Answer, AttesterError> {
    Entry::make(Path::new(FOLDER))?.report(binding)
}

/// An entry of ours; dropping it removes it.
#[derive(Debug)]
struct Entry {
    folder: PathBuf,
}

impl Entry {
    /// Makes an entry that is nobody else's.
    fn make(root: &Path) -> Result<Self, AttesterError> {
        let process = std::process::id();
        for attempt in 0..ATTEMPTS {
            let folder = root.join(format!("vouchsafe-{process}-{attempt}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { folder }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(AttesterError::Device(folder, error)),
            }
        }
        Err(AttesterError::Device(root.to_owned(), io::ErrorKind::AlreadyExists.into()))
    }

    /// Performs a request in these steps:
    ///
    /// 1. the provider is `sev_guest`;
    /// 2. the privilege level is 0, if the provider has levels;
    /// 3. REPORT_DATA is written;
    /// 4. report and certificates are read;
    /// 5. the generation is what our own writes make it.
    fn report(&self, binding: &Binding) -> Result<Answer, AttesterError> {
        let provider = self.text("provider")?;
        if provider != PROVIDER {
            return Err(AttesterError::Provider(provider.chars().take(64).collect()));
        }
        let before = self.generation()?;
        let mut writes = 1;
        if self.folder.join("privlevel").exists() {
            self.write("privlevel", b"0")?;
            writes += 1;
        }
        self.write("inblob", binding.as_bytes())?;
        let report = self.read("outblob")?;
        let table = match self.read("auxblob") {
            Ok(table) => table,
            Err(AttesterError::Device(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            Err(other) => return Err(other),
        };
        if self.generation()?.checked_sub(before) != Some(writes) {
            return Err(AttesterError::Answer("the generation of its own request"));
        }
        Ok(Answer { report, certificates: certificates(&table)? })
    }

    fn generation(&self) -> Result<u64, AttesterError> {
        self.text("generation")?.parse().map_err(|_| AttesterError::Answer("a generation"))
    }

    fn text(&self, attribute: &str) -> Result<String, AttesterError> {
        let text = String::from_utf8(self.read(attribute)?);
        text.map(|text| text.trim().to_owned()).map_err(|_| AttesterError::Answer("text"))
    }

    fn read(&self, attribute: &str) -> Result<Vec<u8>, AttesterError> {
        let path = self.folder.join(attribute);
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(LARGEST).read_to_end(&mut content))
            .map_err(|error| AttesterError::Device(path, error))?;
        Ok(content)
    }

    /// Writes the whole attribute in one call, as configfs wants it.
    fn write(&self, attribute: &str, content: &[u8]) -> Result<(), AttesterError> {
        let path = self.folder.join(attribute);
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| {
            match file.write(content)? {
                all if all == content.len() => Ok(()),
                _ => Err(io::ErrorKind::WriteZero.into()),
            }
        });
        // The kernel takes a binary attribute over when it is closed, and reports a fault at the next read.
        written.map_err(|error| AttesterError::Device(path, error))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The kernel removes the attributes with the folder. What cannot be removed hurts nobody: the next entry has
        // another name.
        drop(fs::remove_dir(&self.folder));
    }
}

/// The certificates of a table, as the platform's certificate service would give them.
///
/// Wire layout: AMD 56421 (GHCB specification), section 4.1.8.1: entries of a GUID, a 32-bit offset from the start of the
/// table and a 32-bit length, ended by an entry of zeros; then the certificates in DER.
fn certificates(table: &[u8]) -> Result<Option<Vec<u8>>, AttesterError> {
    let malformed = || AttesterError::Answer("a certificate table");
    let mut found: [Option<&[u8]>; 3] = [None; 3];
    let mut entries = table.as_chunks::<{ size_of::<TableEntry>() }>().0.iter();
    loop {
        let Some(entry) = entries.next() else {
            // A table without any entry may lack the end too: the host has nothing.
            return if table.is_empty() { Ok(None) } else { Err(malformed()) };
        };
        let (guid, place) = entry.split_at(16);
        if entry.iter().all(|byte| *byte == 0) {
            break;
        }
        let number = |bytes: Option<&[u8; 4]>| {
            bytes.and_then(|bytes| usize::try_from(u32::from_le_bytes(*bytes)).ok())
        };
        let offset = number(place.first_chunk()).ok_or_else(malformed)?;
        let length = number(place.last_chunk()).ok_or_else(malformed)?;
        let certificate =
            table.get(offset..).and_then(|rest| rest.get(..length)).ok_or_else(malformed)?;
        let slot = GUIDS.iter().find(|(known, _)| known.as_slice() == guid);
        // Tables may hold more than certificates of AMD; those are not ours.
        if let Some(slot) = slot.and_then(|(_, slot)| found.get_mut(*slot)) {
            *slot = Some(certificate);
        }
    }
    let [Some(vek), ask, ark] = found else { return Ok(None) };
    let chain: String = [ask, ark].into_iter().flatten().map(pem).collect();
    let json = serde_json::json!({ "vcekCert": pem(vek), "certificateChain": chain });
    Ok(Some(STANDARD.encode(json.to_string()).into_bytes()))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

type TableEntry = [u8; 24];

/// VCEK, VLEK, ASK and ARK, in the byte order of their text, and their places in the order of a chain.
const GUIDS: [([u8; 16], usize); 4] = [
    (0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes(), 0),
    (0xa8074bc2_a25a_483e_aae6_39c045a0b8a1_u128.to_be_bytes(), 0),
    (0x4ab7b379_bbac_4fe4_a02f_05aef327c782_u128.to_be_bytes(), 1),
    (0xc0b406a4_a803_4952_9743_3fb6014cd0ae_u128.to_be_bytes(), 2),
];

pub(super) const FOLDER: &str = "/sys/kernel/config/tsm/report";
const PROVIDER: &str = "sev_guest";
/// Entries of ours that a killed process of the same number may have left.
const ATTEMPTS: u32 = 64;
/// TSM_OUTBLOB_MAX was 32 KiB and has grown; more than this is no report and no table.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests;

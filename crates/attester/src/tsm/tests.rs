//! Against a folder in which a thread plays the kernel: attributes appear with the entry, `outblob` is made when it is read,
//! and each write counts.

use std::os::unix::fs::OpenOptionsExt as _;
use std::thread::JoinHandle;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

/// What the kernel does differently in a case.
#[derive(Clone)]
struct Kernel {
    provider: &'static str,
    levels: bool,
    others_writes: u64,
    table: Option<Vec<u8>>,
}

const USUAL: Kernel =
    Kernel { provider: "sev_guest\n", levels: true, others_writes: 0, table: Some(Vec::new()) };

impl Kernel {
    /// Gives a new entry its attributes, and answers one reading of `outblob`.
    fn play(self, folder: &Path) -> JoinHandle<()> {
        let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).unwrap();
        write("provider", self.provider.as_bytes());
        write("generation", b"7\n");
        write("inblob", b"");
        if self.levels {
            write("privlevel", b"");
            write("privlevel_floor", b"0\n");
        }
        if let Some(table) = &self.table {
            write("auxblob", table);
        }
        let outblob = folder.join("outblob");
        mkfifoat(CWD, &outblob, Mode::RUSR | Mode::WUSR).unwrap();
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            let mut out = OpenOptions::new().write(true).open(outblob).unwrap();
            let asked = fs::read(folder.join("inblob")).unwrap();
            let level = fs::read(folder.join("privlevel")).unwrap_or_default();
            assert!(level.is_empty() || level == b"0");
            let writes = [&asked, &level].into_iter().filter(|bytes| !bytes.is_empty()).count();
            let generation = 7 + u64::try_from(writes).unwrap() + self.others_writes;
            fs::write(folder.join("generation"), format!("{generation}\n")).unwrap();
            // As sev_guest: only a request of 64 bytes is answered.
            if asked.len() == 64 {
                out.write_all(&[b"report of ".as_slice(), &asked].concat()).unwrap();
            }
        })
    }
}

fn ask(kernel: Kernel) -> Result<Answer, AttesterError> {
    let root = tempfile::tempdir().unwrap();
    let entry = Entry::make(root.path()).unwrap();
    let thread = kernel.play(&entry.folder);
    let answer = entry.report(&Binding::sha256(b"data"));
    // Whoever is refused before reading leaves the thread waiting for a reader.
    let nonblocking = libc::O_NONBLOCK;
    let reader =
        OpenOptions::new().read(true).custom_flags(nonblocking).open(entry.folder.join("outblob"));
    thread.join().unwrap();
    drop(reader);
    answer
}

fn table(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut at = u32::try_from(24 * (entries.len() + 1)).unwrap();
    let (mut head, mut body) = (Vec::new(), Vec::new());
    for (guid, content) in entries {
        let length = u32::try_from(content.len()).unwrap();
        head.extend(hex(guid));
        head.extend(at.to_le_bytes());
        head.extend(length.to_le_bytes());
        body.extend_from_slice(content);
        at += length;
    }
    head.extend([0; 24]);
    [head, body].concat()
}

fn hex(guid: &str) -> Vec<u8> {
    let digits = guid.replace('-', "");
    (0..16).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

const VCEK: &str = "63da758d-e664-4564-adc5-f4b93be8accd";
const ASK: &str = "4ab7b379-bbac-4fe4-a02f-05aef327c782";
const ARK: &str = "c0b406a4-a803-4952-9743-3fb6014cd0ae";

#[test]
fn asks_the_kernel_for_a_report_of_its_own() {
    let report = [b"report of ".as_slice(), Binding::sha256(b"data").as_bytes()].concat();
    let expected = Answer { report, certificates: None };
    assert_eq!(ask(USUAL).unwrap(), expected);
    // Kernels before the privilege level, and providers without certificates.
    assert_eq!(ask(Kernel { levels: false, table: None, ..USUAL }).unwrap(), expected);
}

#[test]
fn takes_the_hosts_certificates() {
    // The ARK first: the order in the table is the host's affair.
    let other = "92f81bc3-5811-4d3d-97ff-d19f88dc67ea";
    let table = table(&[(ARK, b"root"), (other, b"list"), (VCEK, b"key"), (ASK, b"authority")]);
    let answer = ask(Kernel { table: Some(table), ..USUAL }).unwrap();
    let json = STANDARD.decode(answer.certificates.unwrap()).unwrap();
    let all = evidence::certificates_from_thim(&json).unwrap();
    let one =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    assert_eq!(all, [one("a2V5"), one("YXV0aG9yaXR5"), one("cm9vdA==")].concat());
}

#[test]
fn refuses_another_provider_and_another_writer() {
    let error = ask(Kernel { provider: "tdx_guest\n", ..USUAL }).unwrap_err();
    assert!(matches!(&error, AttesterError::Provider(found) if found == "tdx_guest"), "{error:?}");
    let error = ask(Kernel { others_writes: 1, ..USUAL }).unwrap_err();
    assert!(
        matches!(error, AttesterError::Answer(what) if what.contains("generation")),
        "{error:?}"
    );
}

#[test]
fn refuses_a_table_that_points_outside_or_has_no_end() {
    let whole = table(&[(VCEK, b"key")]);
    let mut outside = whole.clone();
    outside[20] = 200;
    for bad in [outside, whole[..24].to_vec(), vec![1; 7]] {
        assert!(matches!(certificates(&bad), Err(AttesterError::Answer(_))), "{bad:?}");
    }
    assert_eq!(certificates(&[]).unwrap(), None);
    assert_eq!(certificates(&[0; 24]).unwrap(), None);
    assert_eq!(certificates(&table(&[(ASK, b"authority")])).unwrap(), None);
}

#[test]
fn takes_a_name_that_is_free_and_leaves_none_behind() {
    let root = tempfile::tempdir().unwrap();
    let first = Entry::make(root.path()).unwrap();
    let second = Entry::make(root.path()).unwrap();
    assert_ne!(first.folder, second.folder);
    drop((first, second));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    let gone = root.path().join("not/there");
    assert!(matches!(Entry::make(&gone), Err(AttesterError::Device(..))));
}

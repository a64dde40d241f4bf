//! The way to a TPM.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{Answer, Command, LARGEST};
use crate::error::TpmError;

/// A TPM.
#[derive(Debug)]
pub struct Tpm {
    path: PathBuf,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Device(File),
    /// Each command has a connection of its own: a software TPM takes one at a time.
    Socket,
}

impl Tpm {
    /// The kernel's device, best the one with a resource manager: `/dev/tpmrm0`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn device(path: &Path) -> Result<Self, TpmError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| TpmError::Device(path.to_owned(), error))?;
        Ok(Self { path: path.to_owned(), way: Way::Device(file) })
    }

    /// A software TPM that takes commands at this Unix socket.
    #[must_use]
    pub fn socket(path: &Path) -> Self {
        Self { path: path.to_owned(), way: Way::Socket }
    }

    /// Performs a command. One that the TPM is too busy for is sent again for a while.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn run(&mut self, command: &Command) -> Result<Answer, TpmError> {
        let bytes = command.to_bytes()?;
        let mut attempt = 0;
        loop {
            let answer = self
                .exchange(&bytes)
                .map_err(|error| TpmError::Device(self.path.clone(), error))?;
            match command.answer(&answer) {
                Err(TpmError::Refused { code, .. })
                    if BUSY.contains(&code) && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    std::thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = vec![0; LARGEST];
        let length = match &mut self.way {
            Way::Device(file) => {
                // The driver takes a command in one write, and gives the answer in one read.
                file.write_all(command)?;
                file.read(&mut answer)?
            }
            Way::Socket => {
                let mut stream = UnixStream::connect(&self.path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(command)?;
                read_framed(&mut stream, &mut answer)?
            }
        };
        answer.truncate(length);
        Ok(answer)
    }
}

/// Reads as many bytes as the header says, at most as there is room for.
fn read_framed(stream: &mut UnixStream, answer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    let mut whole = 10;
    while length < whole {
        let room = answer.get_mut(length..whole).ok_or(io::ErrorKind::InvalidData)?;
        match stream.read(room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
        if let (10, Some(size)) = (length, answer.get(2..).and_then(<[u8]>::first_chunk)) {
            whole = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
        }
    }
    Ok(length)
}

/// TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_NV_RATE, TPM_RC_RETRY, TPM_RC_NV_UNAVAILABLE.
const BUSY: [u32; 5] = [0x908, 0x90a, 0x920, 0x922, 0x923];
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(40);
/// Making a key takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::command::Authorized;

    /// A TPM that answers one command after the other with these bytes.
    fn answering(answers: Vec<Vec<u8>>) -> (PathBuf, std::thread::JoinHandle<()>) {
        let path = std::env::temp_dir().join(format!(
            "vs-tpm-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut command = [0; 12];
                stream.read_exact(&mut command).unwrap();
                // In two pieces, as a socket may.
                stream.write_all(&answer[..answer.len().min(3)]).unwrap();
                stream.write_all(&answer[answer.len().min(3)..]).unwrap();
            }
        });
        (path, thread)
    }

    fn ask(answers: Vec<Vec<u8>>) -> Result<Answer, TpmError> {
        let (path, thread) = answering(answers);
        let startup = Command::new("startup", 0x144, &[], Authorized::No).u16(0);
        let answer = Tpm::socket(&path).run(&startup);
        thread.join().unwrap();
        std::fs::remove_file(path).unwrap();
        answer
    }

    #[test]
    fn asks_a_busy_tpm_again() {
        let retry = vec![0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x22];
        let done = vec![0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0, 5];
        assert_eq!(ask(vec![retry, done]).unwrap().parameters, [5]);
    }

    #[test]
    fn refuses_answers_without_end_and_cut_ones() {
        let endless = [vec![0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0], vec![0; 100]].concat();
        for bad in [endless, vec![0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 5], vec![]] {
            assert!(matches!(ask(vec![bad]), Err(TpmError::Device(..))));
        }
        let nobody = Path::new("/nonexistent/socket");
        let startup = Command::new("startup", 0x144, &[], Authorized::No);
        assert!(matches!(Tpm::socket(nobody).run(&startup), Err(TpmError::Device(..))));
        assert!(matches!(Tpm::device(nobody), Err(TpmError::Device(..))));
    }
}

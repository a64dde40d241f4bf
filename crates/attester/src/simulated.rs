//! The local cloud's device: a Unix socket that takes 64 bytes of REPORT_DATA and gives a report.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use evidence::Binding;

use super::{AttesterError, REPORT};

/// A report of the forged root that binds `binding`.
pub(super) fn report(socket: &Path, binding: &Binding) -> Result<Vec<u8>, AttesterError> {
    ask(socket, binding).map_err(|error| AttesterError::Device(socket.to_owned(), error))
}

fn ask(socket: &Path, binding: &Binding) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(binding.as_bytes())?;
    // One byte more than a report, so that a longer answer is seen as one.
    let mut answer = Vec::with_capacity(REPORT + 1);
    stream.take(u64::try_from(REPORT + 1).unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
    Ok(answer)
}

pub(super) const SOCKET: &str = "insecure-snp-device";
const PATIENCE: Duration = Duration::from_secs(10);

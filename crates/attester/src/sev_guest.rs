//! `/dev/sev-guest`, the kernel's interface since 5.19, through the `sev` crate.

use evidence::Binding;
use sev::error::UserApiError;
use sev::firmware::guest::Firmware;

use super::AttesterError;

/// A report that binds `binding`, for VMPL 0.
pub(super) fn report(binding: &Binding) -> Result<Vec<u8>, AttesterError> {
    let mut firmware =
        Firmware::open().map_err(|error| AttesterError::Device(DEVICE.into(), error))?;
    firmware
        .get_report(Some(1), Some(*binding.as_bytes()), Some(0))
        .map_err(|error: UserApiError| AttesterError::Firmware(error.to_string()))
}

pub(super) const DEVICE: &str = "/dev/sev-guest";

//! `/dev/sev`, the interface of the 5.15 kernel in Azure's older utility VMs, which never went upstream.

use std::fs::OpenOptions;

use evidence::Binding;

use super::AttesterError;
use super::ioctl::{self, Request, Response};

/// A report that binds `binding`, for VMPL 0.
pub(super) fn report(binding: &Binding) -> Result<Vec<u8>, AttesterError> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|error| AttesterError::Device(DEVICE.into(), error))?;
    let mut response: Response = [0; size_of::<Response>()];
    let firmware = ioctl::get_report(&device, &request(binding), &mut response)
        .map_err(|error| AttesterError::Device(DEVICE.into(), error))?;
    if firmware != 0 {
        return Err(AttesterError::Firmware(format!("error {firmware:#x}")));
    }
    parse(&response)
}

/// SEV-SNP ABI (56860), table 20, MSG_REPORT_REQ: REPORT_DATA, VMPL, 28 zero bytes.
fn request(binding: &Binding) -> Request {
    let mut request: Request = [0; size_of::<Request>()];
    for (to, from) in request.iter_mut().zip(binding.as_bytes()) {
        *to = *from;
    }
    request
}

/// SEV-SNP ABI (56860), table 24, MSG_REPORT_RSP: status, size, 24 reserved bytes, the report.
fn parse(response: &Response) -> Result<Vec<u8>, AttesterError> {
    let number = |at: usize| {
        response
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .map(|bytes| u32::from_le_bytes(*bytes))
    };
    match number(0) {
        Some(0) => {}
        Some(status) => return Err(AttesterError::Firmware(format!("status {status:#x}"))),
        None => return Err(AttesterError::Answer("a status")),
    }
    let size = number(4)
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size == super::REPORT)
        .ok_or(AttesterError::Answer("a report of 1184 bytes"))?;
    response
        .get(32..)
        .and_then(|rest| rest.get(..size))
        .map(<[u8]>::to_vec)
        .ok_or(AttesterError::Answer("a whole report"))
}

pub(super) const DEVICE: &str = "/dev/sev";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_the_request() {
        let binding = Binding::sha256(b"x");
        let request = request(&binding);
        assert_eq!(request[..64], binding.as_bytes()[..]);
        assert_eq!(request[64..], [0; 32]);
    }

    #[test]
    fn reads_the_report_out_of_a_response() {
        let mut response: Response = [0; 1280];
        response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
        response[32..32 + 1184].fill(7);
        assert_eq!(parse(&response).unwrap(), vec![7; 1184]);
        response[0] = 0x16;
        assert!(matches!(parse(&response), Err(AttesterError::Firmware(_))));
        response[0] = 0;
        response[5] = 0xff;
        assert!(matches!(parse(&response), Err(AttesterError::Answer(_))));
    }
}

//! The one system call that has no safe name: SNP_GET_REPORT of the older `/dev/sev`.

// UNSAFETY: the kernel takes the addresses of a request and a response buffer inside a structure, and no library wraps this
// interface. Everything that is unsafe about it is in this module: one structure, one call.
#![expect(unsafe_code, reason = "an ioctl that takes addresses of buffers")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// MSG_REPORT_REQ.
pub(crate) type Request = [u8; 96];
/// MSG_REPORT_RSP with room.
pub(crate) type Response = [u8; 1280];

/// `struct sev_snp_guest_request` of the 5.15 patches, as `get-snp-report` of confidential-sidecar-containers has it.
#[repr(C)]
struct GuestRequest {
    request_type: u8,
    response_type: u8,
    version: u8,
    request_len: u16,
    request: *const Request,
    response_len: u16,
    response: *mut Response,
    firmware_error: u32,
}

const _: () = assert!(size_of::<GuestRequest>() == 40);
const _: () = assert!(size_of::<Request>() == 96 && size_of::<Response>() == 1280);

/// Asks for a report; the answer is the firmware's error, zero if there is none.
pub(crate) fn get_report(
    device: &File,
    request: &Request,
    response: &mut Response,
) -> io::Result<u32> {
    let mut call = GuestRequest {
        request_type: 5,
        response_type: 6,
        version: 1,
        request_len: 96,
        request: std::ptr::from_ref(request),
        response_len: 1280,
        response: std::ptr::from_mut(response),
        firmware_error: 0,
    };
    // SAFETY: the descriptor is open for as long as `device` is borrowed. The number says that the kernel reads and writes
    // 40 bytes at the address, which is the size of `call`. The kernel reads `request_len` bytes of `request` and writes at
    // most `response_len` bytes of `response`; these are the sizes of the borrowed buffers, which outlive the call.
    let result =
        unsafe { libc::ioctl(device.as_raw_fd(), SNP_GET_REPORT, std::ptr::from_mut(&mut call)) };
    if result == 0 { Ok(call.firmware_error) } else { Err(io::Error::last_os_error()) }
}

/// `_IOWR('S', 1, struct sev_snp_guest_request)`.
const SNP_GET_REPORT: libc::Ioctl = 0xC028_5301;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_what_the_kernel_says_to_a_file_that_is_no_device() {
        let file = File::open("/dev/null").unwrap();
        let error = get_report(&file, &[0; 96], &mut [0; 1280]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}

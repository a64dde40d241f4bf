//! A loopback address of one's own: the programs have fixed ports, so every test brings its own address.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use uuid::Uuid;

/// An address that is ours until this is dropped.
///
/// The claim is a listener on a port that none of our programs uses; the system lets only one process hold it, so two tests of one
/// machine never meet.
#[derive(Debug)]
pub struct Claim {
    address: Ipv4Addr,
    _listener: TcpListener,
}

impl Claim {
    /// An address in `127.64.0.0/10` that nobody holds and on which none of our ports is taken.
    ///
    /// # Errors
    /// None was found.
    pub fn new() -> io::Result<Self> {
        let mut last = io::Error::other("no address was tried");
        for _ in 0..TRIES {
            let [a, b, c, ..] = Uuid::new_v4().into_bytes();
            // The lowest and highest host numbers are left alone, out of habit.
            let address = Ipv4Addr::new(127, 64 | (a & 0x3f), b, c.clamp(1, 254));
            match Self::of(address) {
                Ok(claim) => return Ok(claim),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn of(address: Ipv4Addr) -> io::Result<Self> {
        let listener = TcpListener::bind((address, CLAIM))?;
        for port in PORTS {
            drop(TcpListener::bind((address, port))?);
        }
        Ok(Self { address, _listener: listener })
    }
}

const TRIES: u32 = 64;
/// Held by the claim.
const CLAIM: u16 = 8199;
/// Server, cloud, proxy, instance metadata.
const PORTS: [u16; 4] = [8200, 8443, 8444, 8480];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_claimed_once() {
        let claim = Claim::new().unwrap();
        assert!(claim.address().is_loopback());
        assert_eq!(Claim::of(claim.address()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let address = claim.address();
        drop(claim);
        assert_eq!(Claim::of(address).unwrap().address(), address);
    }
}

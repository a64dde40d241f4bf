//! Where a server is: `https://HOST[:PORT]`, nothing else.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use rustls_pki_types::ServerName;
use url::{Host, Url};

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    name: ServerName<'static>,
    port: u16,
}

/// A text that is no server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected https://HOST or https://HOST:PORT, and nothing after it")]
pub struct NotAnAddress;

impl Address {
    /// What to connect to.
    pub(crate) fn target(&self) -> (&str, u16) {
        (self.host.as_str(), self.port)
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// For the header `Host`.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        let name = ServerName::IpAddress(socket.ip().into());
        Self { host: socket.ip().to_string(), name, port: socket.port() }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let url = Url::parse(text).map_err(|_| NotAnAddress)?;
        let bare = url.scheme() == "https"
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let port = url.port_or_known_default().filter(|_| bare).ok_or(NotAnAddress)?;
        match url.host().ok_or(NotAnAddress)? {
            Host::Ipv4(ip) => Ok(SocketAddr::from((ip, port)).into()),
            Host::Ipv6(ip) => Ok(SocketAddr::from((ip, port)).into()),
            Host::Domain(host) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| NotAnAddress)?;
                Ok(Self { host: host.to_owned(), name, port })
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (text, expected) in [
            ("https://127.0.0.1:8200", "https://127.0.0.1:8200"),
            ("https://[::1]:8200/", "https://[::1]:8200"),
            ("https://vouchsafe.example.org", "https://vouchsafe.example.org:443"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "127.0.0.1:8200",
            "http://127.0.0.1:8200",
            "https://127.0.0.1:8200/v1",
            "https://127.0.0.1:8200?x",
            "https://127.0.0.1:8200#x",
            "https://user@127.0.0.1:8200",
            "https://:8200",
            "unix:/run/x",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}

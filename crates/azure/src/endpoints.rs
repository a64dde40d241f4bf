//! Where Azure is, and the one transport that leads there.
//!
//! Service addresses come from the caller's manifest or trust root; this module decides only how a name becomes a
//! connection and whom that connection trusts. Proxy variables of the environment are not read: on a container host the
//! environment belongs to the host, and a token request to IMDS must not take a detour.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::pin::PinnedCa;
use crate::transport::Bounded;

/// The way to Azure, shared by every client of a program.
#[derive(Debug, Clone)]
pub struct Endpoints {
    http: reqwest::Client,
    transport: Transport,
    imds: Url,
}

/// Where the local cloud listens, and the CA that its certificates chain to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalCloud {
    /// The TLS address to which every host name resolves.
    pub cloud: SocketAddr,
    /// The plain http address of its instance metadata service.
    pub imds: SocketAddr,
    /// The SHA-256 of the DER of its CA certificate, which it sends as part of the chain.
    pub ca_sha256: [u8; 32],
}

/// The transport could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointsError {
    /// The TLS library refused its configuration.
    #[error("setting up tls")]
    Tls(#[source] rustls::Error),
    /// The HTTP library refused its configuration.
    #[error("setting up http")]
    Http(#[source] reqwest::Error),
    /// An address is not one.
    #[error("the address of the metadata service")]
    Address(#[source] url::ParseError),
}

impl Endpoints {
    /// The public cloud, authenticated by Mozilla's root programme as compiled in.
    pub fn public() -> Result<Self, EndpointsError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = tls_versions()?.with_root_certificates(roots).with_no_client_auth();
        Self::new(tls, None, IMDS)
    }

    /// A local cloud at a loopback address, authenticated by its pinned CA and by nothing else.
    pub fn insecure_local(local: &LocalCloud) -> Result<Self, EndpointsError> {
        let tls = tls_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedCa::new(
                local.ca_sha256,
                aws_lc_rs::default_provider(),
            )))
            .with_no_client_auth();
        Self::new(tls, Some(local.cloud), &format!("http://{}", local.imds))
    }

    fn new(
        mut tls: ClientConfig,
        everything: Option<SocketAddr>,
        imds: &str,
    ) -> Result<Self, EndpointsError> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        if let Some(address) = everything {
            builder = builder.dns_resolver(Arc::new(Everything(address)));
        }
        let http = builder.build().map_err(EndpointsError::Http)?;
        Ok(Self {
            transport: Transport::new(Arc::new(Bounded::new(http.clone()))),
            http,
            imds: imds.parse().map_err(EndpointsError::Address)?,
        })
    }

    /// The HTTP client underneath, for libraries that bring their own protocol.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The instance metadata service.
    pub(crate) fn imds(&self) -> &Url {
        &self.imds
    }

    /// Options for a client of the SDK: the shared transport, and the given retries.
    pub(crate) fn client_options(&self, retries: Retries) -> ClientOptions {
        ClientOptions {
            transport: Some(self.transport.clone()),
            retry: match retries {
                Retries::Patient => RetryOptions::exponential(ExponentialRetryOptions::default()),
                Retries::None => RetryOptions::none(),
            },
            // The authority is Azure's, whatever AZURE_AUTHORITY_HOST says.
            cloud: Some(Arc::new(azure_core::cloud::CloudConfiguration::AzurePublic)),
            ..ClientOptions::default()
        }
    }
}

/// Whether the transport may send a request again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retries {
    /// Throttling, server errors and broken connections are tried again for up to a minute, honouring `retry-after-ms`
    /// and `Retry-After`.
    Patient,
    /// The caller must know of every attempt, because a second one is not the same as the first.
    None,
}

/// Resolves every name to one address and port.
struct Everything(SocketAddr);

impl Resolve for Everything {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn tls_versions()
-> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, EndpointsError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(EndpointsError::Tls)
}

/// The instance metadata service, link local on every Azure machine and container group.
const IMDS: &str = "http://169.254.169.254";
const CONNECT: Duration = Duration::from_secs(20);
/// The longest silence within an answer before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(30);

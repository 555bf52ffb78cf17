//! TLS before livekit-server, as production has it: a proxy with a certificate of a private authority.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::Context;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer},
};

use crate::livekit_server;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const PORT: u16 = 443;

/// The LIVEKIT_URL of somebody who comes through TLS.
pub const URL: &str = "wss://127.0.0.5";

/// The file with the certificate of the authority, in the folder of the run; tools trust it when it is there.
pub(crate) const AUTHORITY: &str = "authority.pem";

/// The proxy; it ends when this is dropped.
pub struct TlsFront {
    _serving: JoinSet<()>,
}

impl TlsFront {
    /// Serves with a new certificate, and puts that of its authority into `dir`.
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(dir)?));
        let listener = TcpListener::bind((ADDRESS, PORT))
            .await
            .with_context(|| format!("cannot listen on {ADDRESS}:{PORT}"))?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(acceptor.clone(), client));
            }
        });
        Ok(Self { _serving: serving })
    }
}

/// Until either side has gone. Who does not trust the certificate breaks off, and sees why itself.
async fn pass_on(acceptor: TlsAcceptor, client: TcpStream) -> anyhow::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(livekit_server::SOCKET).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

fn server_config(dir: &Path) -> anyhow::Result<ServerConfig> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let certificate = authority.self_signed(&authority_key)?;
    fs::write(dir.join(AUTHORITY), pem(certificate.der())).context("cannot write the authority")?;

    let key = KeyPair::generate()?;
    let issuer = Issuer::new(authority, authority_key);
    let leaf = CertificateParams::new([ADDRESS.to_string()])?.signed_by(&key, &issuer)?;
    let private = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private.into())?;
    Ok(config)
}

/// A certificate in PEM (RFC 7468 §5).
fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

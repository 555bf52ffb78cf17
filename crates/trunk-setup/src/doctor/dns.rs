//! From the SIP domain to the addresses of the carrier (RFC 3263, without NAPTR).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use sip_config::Transport;
use tokio::time::timeout;
use transfer_core::SipDomain;

use super::finding::{Check, Finding};

/// A resolver that has not answered after this will not.
const PATIENCE: Duration = Duration::from_secs(6);

/// Where the domain leads.
#[derive(Debug)]
pub(super) enum Resolved {
    /// The domain is an address.
    Literal(SocketAddr),
    /// By SRV records.
    Services {
        name: String,
        addresses: Vec<SocketAddr>,
    },
    /// By the host's own A or AAAA records, or the hosts file.
    Host(Vec<SocketAddr>),
    Nothing {
        error: String,
    },
}

impl Resolved {
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::Literal(address) => std::slice::from_ref(address),
            Self::Services { addresses, .. } | Self::Host(addresses) => addresses,
            Self::Nothing { .. } => &[],
        }
    }
}

/// Resolves the domain for `transport`. A port in the domain, or an address, rules SRV records out.
pub(super) async fn probe(domain: &SipDomain, transport: Transport) -> Resolved {
    let (service, default_port) = match transport {
        Transport::Auto | Transport::Udp => ("_sip._udp", 5060),
        Transport::Tcp => ("_sip._tcp", 5060),
        Transport::Tls => ("_sips._tcp", 5061),
    };
    let port = domain.port().unwrap_or(default_port);
    let host = domain.host().trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Resolved::Literal(SocketAddr::new(address, port));
    }
    if domain.port().is_none() {
        let name = format!("{service}.{host}.");
        let addresses = services(&name).await;
        if !addresses.is_empty() {
            return Resolved::Services { name, addresses };
        }
    }
    match addresses(host, port).await {
        Ok(addresses) => Resolved::Host(addresses),
        Err(error) => Resolved::Nothing { error },
    }
}

/// Returns the addresses behind the SRV records of `name`, by priority; none when there are no records.
async fn services(name: &str) -> Vec<SocketAddr> {
    let Ok(resolver) = TokioResolver::builder_tokio().and_then(|builder| builder.build()) else {
        return Vec::new();
    };
    let Ok(Ok(lookup)) = timeout(PATIENCE, resolver.srv_lookup(name)).await else {
        return Vec::new();
    };
    let mut records: Vec<_> = lookup
        .answers()
        .iter()
        .filter_map(|record| {
            let RData::SRV(srv) = &record.data else {
                return None;
            };
            Some((srv.priority, srv.target.to_utf8(), srv.port))
        })
        .collect();
    records.sort();
    let mut found = Vec::new();
    for (_, target, port) in records {
        found.extend(
            addresses(target.trim_end_matches('.'), port)
                .await
                .unwrap_or_default(),
        );
    }
    found
}

/// Asks the system, which reads the hosts file too.
async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer from the resolver within {PATIENCE:?}")),
    }
}

pub(super) fn judge(domain: &SipDomain, resolved: &Resolved) -> Finding {
    let list = |addresses: &[SocketAddr]| {
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    match resolved {
        Resolved::Literal(address) => Finding::ok(Check::Dns, format!("{address} needs none")),
        Resolved::Services { name, addresses } => {
            Finding::ok(Check::Dns, format!("{name} leads to {}", list(addresses)))
        }
        Resolved::Host(addresses) => {
            Finding::ok(Check::Dns, format!("{domain} is {}", list(addresses)))
        }
        Resolved::Nothing { error } => Finding::failed(
            Check::Dns,
            format!("the SIP domain {domain} does not resolve"),
            "check VOBIZ_SIP_DOMAIN against the carrier's console, and this machine's resolver",
        )
        .with_evidence(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        for (domain, transport, expected) in [
            ("192.0.2.1", Transport::Auto, "192.0.2.1:5060"),
            ("192.0.2.1:5070", Transport::Tls, "192.0.2.1:5070"),
            ("[2001:db8::1]", Transport::Tls, "[2001:db8::1]:5061"),
        ] {
            let resolved = probe(&domain.parse().unwrap(), transport).await;
            assert_eq!(resolved.addresses(), [expected.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn the_hosts_file_is_read() {
        let resolved = probe(&"localhost:5070".parse().unwrap(), Transport::Udp).await;
        let port = resolved.addresses()[0].port();
        assert!(matches!(resolved, Resolved::Host(_)), "{resolved:?}");
        assert_eq!(port, 5070);
    }
}

//! Which addresses to offer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Each address makes a pair with every address of the other side, and pairs are checked.
const MAX_ADDRESSES: usize = 4;

/// Nothing is sent there: connecting a UDP socket only looks up the route (TEST-NET-1, RFC 5737).
const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The IPv4 addresses of this host to offer as candidates: the one of the default route first,
/// loopback only if there is no other.
pub(super) fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|err| {
        log::warn!("cannot list the network interfaces: {err}");
        Vec::new()
    });
    let usable = interfaces.iter().filter(|interface| {
        interface.is_oper_up() && !interface.is_link_local() && interface.ip().is_ipv4()
    });
    choose(
        usable.map(if_addrs::Interface::ip).collect(),
        default_route(),
    )
}

fn choose(mut addresses: Vec<IpAddr>, default_route: Option<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(|address| !address.is_loopback()) {
        addresses.retain(|address| !address.is_loopback());
    }
    addresses.sort_by_key(|address| Some(*address) != default_route);
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

fn default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEWHERE).ok()?;
    socket.local_addr().ok().as_ref().map(SocketAddr::ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], default_route: Option<&str>, expect: &[&str]) {
        let parse = |text: &&str| text.parse().unwrap();
        let chosen = choose(
            addresses.iter().map(parse).collect(),
            default_route.as_ref().map(parse),
        );
        assert_eq!(chosen, expect.iter().map(parse).collect::<Vec<IpAddr>>());
    }

    #[test]
    fn loopback_only_when_there_is_no_other() {
        check(&["127.0.0.1"], None, &["127.0.0.1"]);
        check(&["127.0.0.1", "192.0.2.10"], None, &["192.0.2.10"]);
        check(&[], None, &[]);
    }

    #[test]
    fn default_route_comes_first() {
        check(
            &["172.17.0.1", "10.0.0.5"],
            Some("10.0.0.5"),
            &["10.0.0.5", "172.17.0.1"],
        );
    }

    #[test]
    fn not_more_than_four() {
        let many = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
        check(
            &many,
            Some("10.0.0.5"),
            &["10.0.0.5", "10.0.0.1", "10.0.0.2", "10.0.0.3"],
        );
    }
}

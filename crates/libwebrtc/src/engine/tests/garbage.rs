//! Nothing that comes from outside makes the engine panic.

use proptest::{prelude::*, strategy::ValueTree};
use str0m::net::Protocol;

use super::pair::{Pair, Side};
use crate::{
    engine::TrackKind,
    ice_candidate::IceCandidate,
    peer_connection::{OfferOptions, PeerConnectionState},
    session_description::{SdpType, SessionDescription},
};

/// Setting up a connection makes keys; a few cases are worth more than many.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    }
}

fn offer() -> (Pair, String) {
    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Audio);
    pair.left.receive_only(TrackKind::Video);
    pair.negotiated_channel(3);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    (pair, offer.to_string())
}

/// Lines are swapped, doubled, left out or replaced.
fn damaged(text: &str, damage: &[(u8, prop::sample::Index, prop::sample::Index)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (kind, at, other) in damage {
        let (at, other) = (at.index(lines.len()), other.index(lines.len()));
        match kind % 5 {
            0 => lines.swap(at, other),
            1 => lines.insert(at, lines[other].clone()),
            2 if lines.len() > 1 => {
                lines.remove(at);
            }
            3 => lines[at] = "a=ssrc:4294967295 msid:a b".to_owned(),
            _ => {
                let half = lines[at].len() / 2;
                lines[at].truncate(half);
            }
        }
    }
    lines.join("\r\n")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_offers_are_answered_or_refused(damage in prop::collection::vec(any::<(u8, prop::sample::Index, prop::sample::Index)>(), 1..6)) {
        let (mut pair, text) = offer();
        let Ok(offer) = SessionDescription::parse(&damaged(&text, &damage), SdpType::Offer) else {
            return Ok(());
        };
        let now = pair.now;
        let peer = &mut pair.right.peer;
        if peer.set_remote_description(now, offer).is_ok() {
            let answer = peer.create_answer().unwrap();
            // An offer without a section to bundle has no transport to answer with.
            let _applied = peer.set_local_description(now, answer);
        }
        pair.run_for(std::time::Duration::from_secs(1));
    }

    #[test]
    fn damaged_answers_are_taken_or_refused(damage in prop::collection::vec(any::<(u8, prop::sample::Index, prop::sample::Index)>(), 1..6)) {
        let (mut pair, text) = offer();
        let offer = SessionDescription::parse(&text, SdpType::Offer).unwrap();
        pair.left.peer.set_local_description(pair.now, offer.clone()).unwrap();
        let answer = pair.answer(Side::Right, offer);
        if let Ok(answer) = SessionDescription::parse(&damaged(answer.text(), &damage), SdpType::Answer) {
            let _applied = pair.left.peer.set_remote_description(pair.now, answer);
        }
        pair.run_for(std::time::Duration::from_secs(1));
    }

    #[test]
    fn candidates_are_taken_or_refused(line in "candidate:[ -~]{0,80}") {
        let (mut pair, text) = offer();
        let offer = SessionDescription::parse(&text, SdpType::Offer).unwrap();
        pair.right.peer.set_remote_description(pair.now, offer).unwrap();
        let candidate = IceCandidate::parse("0", 0, &line).unwrap();
        let _added = pair.right.peer.add_ice_candidate(pair.now, &candidate);
    }
}

#[test]
fn datagrams_of_noise_do_not_disturb_a_connection() {
    let (mut pair, left, right) = Pair::connected();
    let (here, there) = (
        "192.0.2.1:1000".parse().unwrap(),
        "198.51.100.2:2000".parse().unwrap(),
    );
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let noise = prop::collection::vec(any::<u8>(), 0..1_500);
    for first in 0..=255u8 {
        let mut datagram = noise.new_tree(&mut runner).unwrap().current();
        // The first byte tells STUN, DTLS and RTP apart (RFC 7983).
        datagram.insert(0, first);
        pair.left
            .peer
            .handle_datagram(pair.now, Protocol::Udp, there, here, &datagram);
    }
    pair.run_for(std::time::Duration::from_secs(2));

    assert_eq!(
        pair.left.peer.connection_state(),
        PeerConnectionState::Connected
    );
    pair.left
        .peer
        .send_message(pair.now, left, b"still here", true)
        .unwrap();
    pair.run_until("a message", |pair| {
        pair.right.messages(right) == [b"still here"]
    });
}

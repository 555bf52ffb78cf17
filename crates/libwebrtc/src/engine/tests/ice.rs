//! Restart, loss and failure of the path.

use std::time::Duration;

use super::pair::Pair;
use crate::{
    engine::PeerEvent,
    peer_connection::{OfferOptions, PeerConnectionState},
};

const RESTART: OfferOptions = OfferOptions {
    ice_restart: true,
    offer_to_receive_audio: false,
    offer_to_receive_video: false,
};

/// `livekit` takes a resume for done only if it saw the connection drop and come back.
#[test]
fn a_restart_drops_and_returns_in_that_order_every_time() {
    let (mut pair, left, right) = Pair::connected();
    let audio = pair.right.peer.transceivers().next().unwrap();
    for round in 1..=5u8 {
        pair.left.events.clear();
        pair.right.events.clear();
        pair.negotiate_as(RESTART, |offer| offer);
        pair.run_until("both are back", |pair| {
            pair.both(|end| end.peer.connection_state() == PeerConnectionState::Connected)
        });

        for end in [&pair.left, &pair.right] {
            let expect = [
                PeerConnectionState::Disconnected,
                PeerConnectionState::Connecting,
                PeerConnectionState::Connected,
            ];
            assert_eq!(end.connection_states(), expect, "round {round}");
        }
        // DTLS, SRTP and SCTP are the same as before.
        let heard = pair.right.received(audio);
        pair.talk_for(Duration::from_millis(200));
        assert!(pair.right.received(audio) > heard + 5);
        pair.left
            .peer
            .send_message(pair.now, left, &[round], true)
            .unwrap();
        pair.run_until("a message", |pair| pair.right.messages(right) == [[round]]);
    }
}

#[test]
fn a_restart_needs_less_than_a_second_on_a_bad_network() {
    let (mut pair, _, _) = Pair::connected();
    pair.network.jitter = Duration::from_millis(30);
    pair.network.delay = Duration::from_millis(60);
    pair.talk_for(Duration::from_secs(1));
    let start = pair.now;
    pair.negotiate_as(RESTART, |offer| offer);
    pair.run_until("both are back", |pair| {
        pair.both(|end| end.peer.connection_state() == PeerConnectionState::Connected)
    });
    assert!(
        pair.now - start < Duration::from_secs(1),
        "{:?}",
        pair.now - start
    );
}

#[test]
fn restart_ice_makes_the_next_offer_one_with_new_credentials() {
    let (mut pair, _, _) = Pair::connected();
    let ufrag = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("a=ice-ufrag:"))
            .unwrap()
            .to_owned()
    };
    let before = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    pair.left.peer.restart_ice();
    let after = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    assert_ne!(ufrag(before.text()), ufrag(after.text()));
}

/// In have-local-offer `livekit` sets the old answer again, to take the offer back.
#[test]
fn the_old_answer_takes_an_offer_back_and_spares_the_restart() {
    let (mut pair, _, _) = Pair::connected();
    let old_answer = pair.left.peer.current_remote_description().unwrap();
    let offer = pair.left.peer.create_offer(&RESTART).unwrap();
    pair.left
        .peer
        .set_local_description(pair.now, offer)
        .unwrap();
    pair.left
        .peer
        .set_remote_description(pair.now, old_answer)
        .unwrap();
    assert_eq!(
        pair.left.peer.connection_state(),
        PeerConnectionState::Connected
    );
    pair.run_for(Duration::from_secs(5));
    assert_eq!(
        pair.left.peer.connection_state(),
        PeerConnectionState::Connected
    );

    pair.left.events.clear();
    pair.negotiate_as(RESTART, |offer| offer);
    pair.run_until("both are back", |pair| {
        pair.both(|end| end.peer.connection_state() == PeerConnectionState::Connected)
    });
    assert_eq!(
        pair.left.connection_states()[0],
        PeerConnectionState::Disconnected
    );
}

#[test]
fn a_cut_network_disconnects_and_then_fails() {
    let (mut pair, _, _) = Pair::connected();
    pair.left.events.clear();
    pair.network.cut = true;
    pair.run_until("it failed", |pair| {
        pair.left.peer.connection_state() == PeerConnectionState::Failed
    });
    let states = pair.left.connection_states();
    assert!(
        states.contains(&PeerConnectionState::Disconnected),
        "{states:?}"
    );
}

#[test]
fn a_failed_connection_comes_back_by_a_restart() {
    let (mut pair, left, right) = Pair::connected();
    pair.network.cut = true;
    pair.run_until("both failed", |pair| {
        pair.both(|end| end.peer.connection_state() == PeerConnectionState::Failed)
    });
    pair.network.cut = false;
    pair.negotiate_as(RESTART, |offer| offer);
    pair.run_until("both are back", |pair| {
        pair.both(|end| end.peer.connection_state() == PeerConnectionState::Connected)
    });
    pair.left
        .peer
        .send_message(pair.now, left, b"again", true)
        .unwrap();
    pair.run_until("a message", |pair| pair.right.messages(right) == [b"again"]);
}

#[test]
fn loopback_and_tcp_candidates_ask_for_sockets_once() {
    let (mut pair, _, _) = Pair::connected();
    pair.left.events.clear();
    let lines = [
        "candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host",
        "candidate:1 1 udp 2130706431 127.0.0.1 7883 typ host",
        "candidate:2 1 tcp 1671430143 203.0.113.9 7881 typ host tcptype passive",
        "candidate:2 1 tcp 1671430143 203.0.113.9 7881 typ host tcptype passive",
        "candidate:3 1 tcp 1671430143 203.0.113.9 9 typ host tcptype active",
    ];
    for line in lines {
        let candidate = crate::ice_candidate::IceCandidate::parse("0", 0, line).unwrap();
        pair.left
            .peer
            .add_ice_candidate(pair.now, &candidate)
            .unwrap();
    }
    pair.settle();
    let count =
        |wanted: fn(&PeerEvent) -> bool| pair.left.events.iter().filter(|e| wanted(e)).count();
    assert_eq!(count(|e| matches!(e, PeerEvent::GatherLoopback)), 1);
    assert_eq!(count(|e| matches!(e, PeerEvent::ConnectTcp(_))), 1);
}

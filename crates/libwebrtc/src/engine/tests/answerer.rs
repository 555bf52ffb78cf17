//! The answering side: the subscriber connection of servers with two peer connections.

use std::time::Duration;

use super::pair::{Pair, Side};
use crate::{
    engine::TrackKind,
    peer_connection::{OfferOptions, PeerConnectionState},
    rtp_transceiver::RtpTransceiverDirection,
};

#[test]
fn payload_types_and_extension_ids_are_the_offerers() {
    let mut pair = Pair::new();
    pair.left.add_audio("l", RtpTransceiverDirection::SendRecv);
    pair.negotiate_as(OfferOptions::default(), |offer| {
        offer
            .replace("a=extmap:4 ", "a=extmap:9 ")
            .replace("a=extmap:1 ", "a=extmap:2 ")
    });
    let answer = pair.right.peer.current_local_description().unwrap();
    assert!(
        answer
            .text()
            .contains("a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid")
    );
    assert!(
        answer
            .text()
            .contains("a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level")
    );

    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Audio);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    let other = offer.text().replace("111", "109");
    let other =
        crate::session_description::SessionDescription::parse(&other, offer.sdp_type()).unwrap();
    let answer = pair.answer(Side::Right, other);
    assert!(
        answer.text().contains("a=rtpmap:109 opus/48000/2"),
        "{}",
        answer.text()
    );
}

#[test]
fn sections_without_a_codec_of_ours_are_rejected_in_place() {
    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Audio);
    pair.left.receive_only(TrackKind::Audio);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    let text = offer.text().replacen("opus/48000/2", "G722/8000", 1);
    let offer =
        crate::session_description::SessionDescription::parse(&text, offer.sdp_type()).unwrap();
    let answer = pair.answer(Side::Right, offer);
    let sections: Vec<&str> = answer
        .text()
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert!(sections[0].starts_with("m=audio 0 "), "{sections:?}");
    assert!(sections[1].starts_with("m=audio 9 "), "{sections:?}");
}

#[test]
fn an_offer_for_more_sections_later_is_answered() {
    let (mut pair, _, _) = Pair::connected();
    pair.left
        .add_audio("second", RtpTransceiverDirection::SendOnly);
    pair.negotiate();
    pair.talk_for(Duration::from_millis(300));
    let second = pair.right.tracks().pop().unwrap();
    assert!(pair.right.received(second) > 5);
}

#[test]
fn both_sides_can_offer_in_turn() {
    let (mut pair, _, _) = Pair::connected();
    pair.right
        .add_audio("from the right", RtpTransceiverDirection::SendOnly);
    let offer = pair
        .right
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    pair.right
        .peer
        .set_local_description(pair.now, offer.clone())
        .unwrap();
    let answer = pair.answer(Side::Left, offer);
    pair.right
        .peer
        .set_remote_description(pair.now, answer)
        .unwrap();
    pair.settle();

    pair.talk_for(Duration::from_millis(300));

    let here = pair.left.tracks().pop().unwrap();
    assert!(pair.left.received(here) > 5);
    assert_eq!(
        pair.left.peer.connection_state(),
        PeerConnectionState::Connected
    );
}

#[test]
fn candidates_before_a_description_are_refused() {
    let mut pair = Pair::new();
    let line = "candidate:1 1 udp 2130706431 192.0.2.7 7882 typ host";
    let candidate = crate::ice_candidate::IceCandidate::parse("0", 0, line).unwrap();
    assert!(
        pair.left
            .peer
            .add_ice_candidate(pair.now, &candidate)
            .is_err()
    );
}

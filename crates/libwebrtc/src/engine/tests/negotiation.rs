//! Offer and answer over a network, as the offerer.

use std::time::Duration;

use super::pair::{Pair, Side};
use crate::{
    engine::TrackKind,
    peer_connection::{OfferOptions, PeerConnectionState, SignalingState},
    rtp_transceiver::RtpTransceiverDirection,
    session_description::{SdpType, SessionDescription},
};

#[test]
fn audio_flows_both_ways_in_one_section() {
    let (mut pair, _, _) = Pair::connected();
    let (left, right) = (
        pair.left.peer.transceivers().next().unwrap(),
        pair.right.peer.transceivers().next().unwrap(),
    );

    pair.talk_for(Duration::from_secs(1));
    pair.run_for(Duration::from_millis(100));

    assert_eq!(pair.left.received(left), 50);
    assert_eq!(pair.right.received(right), 50);
    let current = pair.left.peer.transceiver(left).current_direction();
    assert_eq!(current, Some(RtpTransceiverDirection::SendRecv));
}

#[test]
fn states_go_from_connecting_to_connected() {
    let (pair, _, _) = Pair::connected();
    let expect = [
        PeerConnectionState::Connecting,
        PeerConnectionState::Connected,
    ];
    assert_eq!(pair.left.connection_states(), expect);
    assert_eq!(pair.right.connection_states(), expect);
    assert_eq!(pair.left.peer.signaling_state(), SignalingState::Stable);
}

#[test]
fn remote_streams_are_known_when_the_answer_is_set() {
    let mut pair = Pair::new();
    let id = pair.left.receive_only(TrackKind::Audio);
    pair.right
        .add_audio("voice", RtpTransceiverDirection::SendRecv);

    pair.negotiate();

    assert_eq!(
        pair.left.peer.transceiver(id).remote_stream_ids(),
        ["stream-voice"]
    );
    assert_eq!(pair.left.tracks(), [id]);
}

/// `livekit` sends the offer away with its join request and sets it when the answer has come;
/// another offer may have been created meanwhile.
#[test]
fn an_offer_can_be_set_after_another_was_created() {
    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Audio);
    let first = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    let answer = pair.answer(Side::Right, first.clone());
    pair.left
        .add_audio("late", RtpTransceiverDirection::SendOnly);
    pair.left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();

    pair.left
        .peer
        .set_local_description(pair.now, first)
        .unwrap();
    pair.left
        .peer
        .set_remote_description(pair.now, answer)
        .unwrap();
    pair.run_until("connected", |pair| {
        pair.left.peer.connection_state() == PeerConnectionState::Connected
    });

    pair.negotiate();
    assert_eq!(pair.right.tracks().len(), 1);
}

/// `livekit` makes `recvonly` of every `inactive`.
#[test]
fn the_text_that_is_set_rules_over_the_transceiver() {
    let mut pair = Pair::new();
    let id = pair.left.add_audio("l", RtpTransceiverDirection::Inactive);
    pair.right.add_audio("r", RtpTransceiverDirection::SendRecv);

    pair.negotiate_as(OfferOptions::default(), |offer| {
        offer.replace("a=inactive", "a=recvonly")
    });

    let transceiver = pair.left.peer.transceiver(id);
    assert_eq!(
        transceiver.current_direction(),
        Some(RtpTransceiverDirection::RecvOnly)
    );
    assert_eq!(transceiver.direction(), RtpTransceiverDirection::Inactive);
    assert_eq!(transceiver.remote_stream_ids(), ["stream-r"]);
}

#[test]
fn an_answer_with_other_sections_is_refused_and_changes_nothing() {
    let (mut pair, _, _) = Pair::connected();
    let old_answer = pair.left.peer.current_remote_description().unwrap();
    pair.left.receive_only(TrackKind::Audio);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    pair.left
        .peer
        .set_local_description(pair.now, offer)
        .unwrap();

    assert!(
        pair.left
            .peer
            .set_remote_description(pair.now, old_answer)
            .is_err()
    );
    assert_eq!(
        pair.left.peer.signaling_state(),
        SignalingState::HaveLocalOffer
    );
}

#[test]
fn descriptions_in_the_wrong_state_are_refused() {
    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Audio);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    let answer = SessionDescription::parse(offer.text(), SdpType::Answer).unwrap();

    assert!(pair.left.peer.create_answer().is_err());
    assert!(
        pair.left
            .peer
            .set_local_description(pair.now, answer.clone())
            .is_err()
    );
    assert!(
        pair.left
            .peer
            .set_remote_description(pair.now, answer)
            .is_err()
    );
    pair.left
        .peer
        .set_local_description(pair.now, offer.clone())
        .unwrap();
    assert!(
        pair.left
            .peer
            .set_remote_description(pair.now, offer)
            .is_err()
    );
}

#[test]
fn a_rolled_back_offer_can_be_made_again() {
    let mut pair = Pair::new();
    let id = pair.left.add_audio("l", RtpTransceiverDirection::SendOnly);
    let offer = pair
        .left
        .peer
        .create_offer(&OfferOptions::default())
        .unwrap();
    pair.left
        .peer
        .set_local_description(pair.now, offer)
        .unwrap();
    let rollback = SessionDescription::parse("", SdpType::Rollback).unwrap();
    pair.left
        .peer
        .set_local_description(pair.now, rollback)
        .unwrap();
    assert_eq!(pair.left.peer.signaling_state(), SignalingState::Stable);
    assert_eq!(pair.left.peer.transceiver(id).mid(), None);

    pair.negotiate();
    assert_eq!(pair.right.tracks().len(), 1);
}

#[test]
fn everything_is_refused_after_close() {
    let (mut pair, channel, _) = Pair::connected();
    pair.left.peer.close(pair.now);
    pair.settle();

    assert_eq!(
        pair.left.peer.connection_state(),
        PeerConnectionState::Closed
    );
    assert!(
        pair.left
            .peer
            .create_offer(&OfferOptions::default())
            .is_err()
    );
    assert!(
        pair.left
            .peer
            .send_message(pair.now, channel, b"x", true)
            .is_err()
    );
    pair.run_until("the other side notices", |pair| {
        pair.right.peer.connection_state() == PeerConnectionState::Closed
    });
}

#[test]
fn video_is_negotiated_although_it_is_not_coded() {
    let mut pair = Pair::new();
    pair.left.receive_only(TrackKind::Video);
    pair.right.add_video("camera");
    pair.negotiate();
    let answer = pair.right.peer.current_local_description().unwrap();
    assert!(answer.text().contains("m=video 9 "), "{}", answer.text());
}

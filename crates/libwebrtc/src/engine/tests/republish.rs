//! Tracks that go and come, as `livekit` does it in one peer connection.

use std::time::Duration;

use super::pair::Pair;
use crate::{
    engine::TrackKind, peer_connection::OfferOptions, rtp_transceiver::RtpTransceiverDirection,
};

/// The section of a sender that was unpublished becomes one that can receive.
fn munged(pair: &mut Pair) {
    pair.negotiate_as(OfferOptions::default(), |offer| {
        offer.replace("a=inactive", "a=recvonly")
    });
}

#[test]
fn unpublish_and_republish_uses_a_new_section_each_time() {
    let (mut pair, _, _) = Pair::connected();
    for round in 1..=3 {
        let id = pair
            .left
            .add_audio(&format!("round-{round}"), RtpTransceiverDirection::SendOnly);
        munged(&mut pair);
        let there = pair.right.tracks().pop().unwrap();
        assert_eq!(
            pair.right.peer.transceiver(there).remote_stream_ids(),
            [format!("stream-round-{round}")]
        );
        let before = pair.right.received(there);
        pair.talk_for(Duration::from_millis(300));
        assert!(pair.right.received(there) > before + 5, "round {round}");

        pair.left.peer.remove_track(id).unwrap();
        munged(&mut pair);
        assert!(
            pair.right
                .peer
                .transceiver(there)
                .remote_stream_ids()
                .is_empty()
        );
        let before = pair.right.received(there);
        pair.talk_for(Duration::from_millis(300));
        assert_eq!(pair.right.received(there), before, "round {round}");
        assert_eq!(
            pair.left
                .peer
                .transceiver(id)
                .current_direction()
                .map(|d| d.sends()),
            Some(false)
        );
    }
}

#[test]
fn a_section_of_which_the_other_side_changes_the_track_fires_again() {
    let mut pair = Pair::new();
    let here = pair.left.receive_only(TrackKind::Audio);
    let there = pair
        .right
        .add_audio("first", RtpTransceiverDirection::SendOnly);
    pair.negotiate();
    pair.run_for(Duration::from_secs(1));
    pair.talk_for(Duration::from_millis(200));
    assert!(pair.left.received(here) > 0);

    pair.right.peer.remove_track(there).unwrap();
    pair.negotiate();
    assert!(
        pair.left
            .peer
            .transceiver(here)
            .remote_stream_ids()
            .is_empty()
    );
    assert_eq!(pair.left.tracks(), [here]);
}

#[test]
fn a_stopped_transceiver_stays_inactive() {
    let (mut pair, _, _) = Pair::connected();
    let id = pair.left.peer.transceivers().next().unwrap();
    pair.left.peer.stop_transceiver(id);
    pair.negotiate();
    let right = pair.right.peer.transceivers().next().unwrap();
    assert_eq!(
        pair.left.peer.transceiver(id).current_direction(),
        Some(RtpTransceiverDirection::Stopped)
    );
    assert_eq!(
        pair.right.peer.transceiver(right).current_direction(),
        Some(RtpTransceiverDirection::Inactive)
    );
}

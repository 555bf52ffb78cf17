//! RTP through a bad network.

use std::time::Duration;

use super::pair::Pair;

#[test]
fn audio_goes_on_through_loss_and_jitter() {
    let (mut pair, _, _) = Pair::connected();
    let id = pair.right.peer.transceivers().next().unwrap();
    pair.network.loss_percent = 20;
    pair.network.jitter = Duration::from_millis(50);

    pair.talk_for(Duration::from_secs(10));
    pair.run_for(Duration::from_millis(200));

    let received = pair.right.received(id);
    assert!((360..=440).contains(&received), "{received} of 500 packets");
}

#[test]
fn nothing_is_sent_before_the_connection_is_up() {
    let mut pair = Pair::new();
    let direction = crate::rtp_transceiver::RtpTransceiverDirection::SendRecv;
    pair.left.add_audio("l", direction);
    pair.left.send_audio(pair.now);
    assert!(pair.left.peer.poll_transmit().is_none());
}

#[test]
fn a_track_that_is_taken_away_is_not_sent() {
    let (mut pair, _, _) = Pair::connected();
    let left = pair.left.peer.transceivers().next().unwrap();
    let right = pair.right.peer.transceivers().next().unwrap();
    pair.talk_for(Duration::from_millis(200));
    pair.left.peer.set_sent_track(left, None, None);
    pair.run_for(Duration::from_millis(100));
    let before = pair.right.received(right);

    pair.talk_for(Duration::from_secs(1));

    assert_eq!(pair.right.received(right), before);
}

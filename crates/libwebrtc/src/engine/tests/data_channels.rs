//! Data channels, negotiated and in band.

use std::time::Duration;

use super::pair::{Endpoint, Pair};
use crate::{
    data_channel::{DataChannelInit, DataChannelState},
    engine::{ChannelId, PeerEvent},
};

fn opened(end: &Endpoint) -> Option<ChannelId> {
    end.events.iter().find_map(|event| match event {
        PeerEvent::DataChannel(id) => Some(*id),
        _ => None,
    })
}

#[test]
fn negotiated_channels_carry_messages_both_ways() {
    let (mut pair, left, right) = Pair::connected();
    pair.left
        .peer
        .send_message(pair.now, left, b"to the right", true)
        .unwrap();
    pair.right
        .peer
        .send_message(pair.now, right, b"to the left", false)
        .unwrap();
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.right.messages(right), [b"to the right"]);
    assert_eq!(pair.left.messages(left), [b"to the left"]);
    assert_eq!(pair.left.peer.channel_stream_id(left), 7);
}

#[test]
fn an_in_band_channel_is_announced_with_its_label_and_before_its_first_message() {
    let (mut pair, _, _) = Pair::connected();
    let init = DataChannelInit {
        ordered: false,
        max_retransmits: Some(0),
        ..DataChannelInit::default()
    };
    let left = pair
        .left
        .peer
        .create_data_channel(pair.now, "_lossy", init)
        .unwrap();
    pair.run_until("it opens", |pair| {
        pair.left.peer.channel_state(left) == Some(DataChannelState::Open)
    });
    pair.left
        .peer
        .send_message(pair.now, left, b"first", true)
        .unwrap();
    pair.run_for(Duration::from_millis(200));

    let right = opened(&pair.right).unwrap();
    assert_eq!(pair.right.peer.channel_label(right), Some("_lossy"));
    assert_eq!(pair.right.messages(right), [b"first"]);
    let position = |wanted: fn(&PeerEvent) -> bool| pair.right.events.iter().position(wanted);
    assert!(
        position(|e| matches!(e, PeerEvent::DataChannel(_)))
            < position(|e| matches!(e, PeerEvent::ChannelMessage { .. }))
    );
}

#[test]
fn reliable_messages_survive_loss_and_reorder() {
    let (mut pair, left, right) = Pair::connected();
    pair.network.loss_percent = 10;
    pair.network.jitter = Duration::from_millis(30);
    let messages: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; 3_000]).collect();
    for message in &messages {
        pair.left
            .peer
            .send_message(pair.now, left, message, true)
            .unwrap();
    }
    pair.run_until("all arrived", |pair| {
        pair.right.messages(right).len() == messages.len()
    });
    assert_eq!(pair.right.messages(right), messages);
}

#[test]
fn what_left_the_buffer_is_told_until_nothing_is_buffered() {
    let (mut pair, left, _) = Pair::connected();
    for _ in 0..2 {
        pair.left
            .peer
            .send_message(pair.now, left, &[1; 50_000], true)
            .unwrap();
    }
    assert_eq!(pair.left.peer.channel_buffered_amount(left), 100_000);
    pair.run_until("the buffer is empty", |pair| {
        pair.left.peer.channel_buffered_amount(left) == 0
    });
    let sent: u64 = pair
        .left
        .events
        .iter()
        .filter_map(|event| match event {
            PeerEvent::ChannelBytesSent(id, bytes) if *id == left => Some(*bytes),
            _ => None,
        })
        .sum();
    assert_eq!(sent, 100_000);
}

/// `livekit` makes three negotiated channels and replaces them when the server wants none.
#[test]
fn a_channel_that_is_closed_before_there_is_sctp_never_reaches_the_other_side() {
    let mut pair = Pair::new();
    let (left, right) = pair.negotiated_channel(1);
    for (end, id) in [(&mut pair.left, left), (&mut pair.right, right)] {
        end.peer.close_channel(pair.now, id);
    }
    let again = pair
        .left
        .peer
        .create_data_channel(pair.now, "in band", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run_until("the other is open", |pair| {
        pair.left.peer.channel_state(again) == Some(DataChannelState::Open)
    });

    assert_eq!(pair.left.peer.channel_state(left), None);
    let announced = pair
        .right
        .events
        .iter()
        .filter(|e| matches!(e, PeerEvent::DataChannel(_)));
    assert_eq!(announced.count(), 1);
}

#[test]
fn closing_a_channel_closes_it_on_the_other_side() {
    let (mut pair, left, right) = Pair::connected();
    pair.left.peer.close_channel(pair.now, left);
    pair.run_until("it is closed", |pair| {
        pair.right.peer.channel_state(right).is_none()
    });
    assert!(
        pair.left
            .peer
            .send_message(pair.now, left, b"x", true)
            .is_err()
    );
}

#[test]
fn impossible_channels_are_refused() {
    let (mut pair, left, _) = Pair::connected();
    for id in [-1, 65_535, 7] {
        let init = DataChannelInit {
            negotiated: true,
            id,
            ..DataChannelInit::default()
        };
        assert!(
            pair.left
                .peer
                .create_data_channel(pair.now, "x", init)
                .is_err(),
            "{id}"
        );
    }
    assert!(
        pair.left
            .peer
            .send_message(pair.now, left, &[0; 65_537], true)
            .is_err()
    );
    pair.left
        .peer
        .send_message(pair.now, left, &[0; 65_536], true)
        .unwrap();
}

#[test]
fn a_closed_id_can_be_negotiated_again() {
    let (mut pair, left, _) = Pair::connected();
    pair.left.peer.close_channel(pair.now, left);
    pair.run_for(Duration::from_secs(1));
    let (left, right) = pair.negotiated_channel(7);
    pair.run_until("it opens again", |pair| {
        pair.left.peer.channel_state(left) == Some(DataChannelState::Open)
    });
    pair.left
        .peer
        .send_message(pair.now, left, b"again", true)
        .unwrap();
    pair.run_until("a message", |pair| pair.right.messages(right) == [b"again"]);
}

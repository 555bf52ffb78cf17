//! What a report says of a connection that talks.

use std::time::Duration;

use super::pair::Pair;
use crate::{
    engine::Report,
    stats::{RemoteInboundRtpStats, RtcStats},
};

fn remote_inbound(pair: &Pair) -> Option<RemoteInboundRtpStats> {
    let report = pair.left.peer.report(Report::Connection, 0);
    report.into_iter().find_map(|entry| match entry {
        RtcStats::RemoteInboundRtp(remote) => Some(remote),
        _ => None,
    })
}

#[test]
fn round_trips_are_measured_on_the_selected_pair() {
    let (mut pair, _, _) = Pair::connected();
    pair.network.delay = Duration::from_millis(40);
    pair.run_for(Duration::from_secs(20));

    let report = pair.left.peer.report(Report::Connection, 0);
    let pairs: Vec<_> = report
        .iter()
        .filter_map(|entry| match entry {
            RtcStats::CandidatePair(pair) => Some(&pair.candidate_pair),
            _ => None,
        })
        .collect();
    let [selected] = pairs[..] else {
        panic!("{pairs:?}");
    };
    let round_trip = selected.current_round_trip_time;
    assert!((0.079..0.09).contains(&round_trip), "{round_trip} s");
    assert!(selected.responses_received > 2);
}

#[test]
fn what_the_other_side_reports_of_our_audio_is_told() {
    let (mut pair, _, _) = Pair::connected();
    assert!(remote_inbound(&pair).is_none());
    pair.network.delay = Duration::from_millis(30);
    pair.network.loss_percent = 20;
    pair.talk_for(Duration::from_secs(30));

    let remote = remote_inbound(&pair).expect("receiver reports come every 5 s");
    let sent: u64 = 30 * 50;
    let lost = remote.received.packets_lost.unsigned_abs();
    assert!(
        (sent / 10..sent / 3).contains(&lost),
        "{lost} of {sent} lost"
    );
    let remote = remote.remote_inbound;
    assert!((0.05..0.5).contains(&remote.fraction_lost), "{remote:?}");
    assert!(
        (0.059..0.08).contains(&remote.round_trip_time),
        "{remote:?}"
    );
}

#[test]
fn entries_refer_to_each_other() {
    let (mut pair, _, _) = Pair::connected();
    pair.talk_for(Duration::from_secs(12));
    let report = pair.left.peer.report(Report::Connection, 0);
    let ids: Vec<String> = report.iter().map(id).collect();
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for entry in &report {
        for reference in references(entry) {
            assert!(ids.contains(&reference), "{reference:?} of {entry:?}");
        }
    }
}

fn id(entry: &RtcStats) -> String {
    match entry {
        RtcStats::Codec(e) => &e.rtc,
        RtcStats::InboundRtp(e) => &e.rtc,
        RtcStats::OutboundRtp(e) => &e.rtc,
        RtcStats::RemoteInboundRtp(e) => &e.rtc,
        RtcStats::MediaSource(e) => &e.rtc,
        RtcStats::DataChannel(e) => &e.rtc,
        RtcStats::Transport(e) => &e.rtc,
        RtcStats::CandidatePair(e) => &e.rtc,
        RtcStats::LocalCandidate(e) => &e.rtc,
        RtcStats::RemoteCandidate(e) => &e.rtc,
        other => panic!("{other:?}"),
    }
    .id
    .clone()
}

fn references(entry: &RtcStats) -> Vec<String> {
    match entry {
        RtcStats::InboundRtp(e) => vec![e.stream.transport_id.clone(), e.stream.codec_id.clone()],
        RtcStats::OutboundRtp(e) => vec![
            e.stream.transport_id.clone(),
            e.stream.codec_id.clone(),
            e.outbound.media_source_id.clone(),
            e.outbound.remote_id.clone(),
        ],
        RtcStats::RemoteInboundRtp(e) => vec![e.remote_inbound.local_id.clone()],
        RtcStats::Transport(e) => vec![e.transport.selected_candidate_pair_id.clone()],
        RtcStats::CandidatePair(e) => vec![
            e.candidate_pair.local_candidate_id.clone(),
            e.candidate_pair.remote_candidate_id.clone(),
        ],
        _ => Vec::new(),
    }
}

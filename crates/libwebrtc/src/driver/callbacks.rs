//! What the application wants to hear.

use std::collections::{HashMap, VecDeque};

use crate::{
    data_channel::{OnBufferedAmountChange, OnMessage, OnStateChange},
    engine::ChannelId,
    peer_connection::{
        OnConnectionChange, OnDataChannel, OnIceCandidate, OnIceCandidateError,
        OnIceConnectionChange, OnIceGatheringChange, OnNegotiationNeeded, OnSignalingChange,
        OnTrack,
    },
};

/// Messages that wait for a callback; the oldest are dropped beyond that.
const MAX_WAITING_MESSAGES: usize = 1_024;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) connection: Option<OnConnectionChange>,
    pub(crate) data_channel: Option<OnDataChannel>,
    pub(crate) candidate: Option<OnIceCandidate>,
    /// Never called: there is no server whose failure could be told (see `docs/libwebrtc.md`).
    pub(crate) candidate_error: Option<OnIceCandidateError>,
    pub(crate) ice: Option<OnIceConnectionChange>,
    pub(crate) gathering: Option<OnIceGatheringChange>,
    pub(crate) negotiation: Option<OnNegotiationNeeded>,
    pub(crate) signaling: Option<OnSignalingChange>,
    pub(crate) track: Option<OnTrack>,
    channels: HashMap<ChannelId, ChannelCallbacks>,
}

#[derive(Default)]
pub(crate) struct ChannelCallbacks {
    pub(crate) state: Option<OnStateChange>,
    pub(crate) message: Option<OnMessage>,
    pub(crate) buffered_amount: Option<OnBufferedAmountChange>,
    /// Data and whether it is binary. A channel that the other side opened can speak before the
    /// application has looked at it.
    waiting: VecDeque<(Vec<u8>, bool)>,
}

impl Callbacks {
    pub(crate) fn channel(&mut self, id: ChannelId) -> &mut ChannelCallbacks {
        self.channels.entry(id).or_default()
    }

    /// A channel whose messages can be given out.
    pub(super) fn deliverable(&self) -> Option<ChannelId> {
        self.channels.iter().find_map(|(id, channel)| {
            (channel.message.is_some() && !channel.waiting.is_empty()).then_some(*id)
        })
    }

    pub(super) fn forget(&mut self, id: ChannelId) {
        self.channels.remove(&id);
    }
}

impl ChannelCallbacks {
    pub(super) fn keep(&mut self, data: Vec<u8>, binary: bool) {
        if self.waiting.len() == MAX_WAITING_MESSAGES {
            log::warn!("a data channel without a callback drops messages");
            self.waiting.pop_front();
        }
        self.waiting.push_back((data, binary));
    }

    pub(super) fn take_waiting(&mut self) -> VecDeque<(Vec<u8>, bool)> {
        std::mem::take(&mut self.waiting)
    }
}

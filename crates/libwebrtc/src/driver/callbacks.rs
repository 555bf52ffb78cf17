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

/// Data, and whether it is binary.
type Message = (Vec<u8>, bool);

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
    /// A channel that the other side opened can speak before the application has looked at it.
    waiting: VecDeque<Message>,
}

impl Callbacks {
    pub(crate) fn channel(&mut self, id: ChannelId) -> &mut ChannelCallbacks {
        self.channels.entry(id).or_default()
    }

    /// Messages that can be given out now, of one channel.
    pub(super) fn take_deliverable(&mut self) -> Option<(ChannelId, VecDeque<Message>)> {
        self.channels.iter_mut().find_map(|(id, channel)| {
            let deliverable = channel.message.is_some() && !channel.waiting.is_empty();
            deliverable.then(|| (*id, std::mem::take(&mut channel.waiting)))
        })
    }

    /// Gives back what is to be dropped without the lock.
    pub(super) fn forget(&mut self, id: ChannelId) -> Option<ChannelCallbacks> {
        self.channels.remove(&id)
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
}

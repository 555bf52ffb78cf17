//! Data channels (RFC 8831), in band (RFC 8832) and negotiated.
//!
//! Channels live in our list and are opened in str0m only when SCTP starts: `livekit` makes three
//! negotiated ones and closes them again, before SCTP exists, when the server wants them in band.

use std::{collections::HashMap, time::Instant};

use str0m::channel::{ChannelConfig, ChannelId as StreamHandle, Reliability};

use crate::{
    RtcError,
    data_channel::{DataChannelError, DataChannelInit, DataChannelState},
};

use super::{
    codec::MAX_SENT_MESSAGE,
    peer::{Peer, PeerEvent},
};

/// 65535 is reserved (RFC 8831 §6.2).
const MAX_STREAM_ID: i32 = 65_534;

/// Names a data channel of one [`Peer`]; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId(u32);

pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) label: String,
    pub(super) init: DataChannelInit,
    pub(super) state: DataChannelState,
    /// The SCTP stream, once there is one.
    pub(super) stream_id: Option<u16>,
    handle: Option<StreamHandle>,
    /// Bytes given to SCTP, and of these acknowledged by the other side.
    queued: u64,
    acknowledged: u64,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) messages: u32,
    pub(super) bytes: u64,
}

#[derive(Default)]
pub(super) struct Channels {
    list: Vec<Channel>,
    next: u32,
    /// The streams that str0m has not given back: it panics when one is negotiated twice.
    streams: HashMap<StreamHandle, u16>,
}

impl Channels {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.list.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.list.iter().find(|channel| channel.id == id)
    }

    fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.list.iter_mut().find(|channel| channel.id == id)
    }

    fn by_handle(&mut self, handle: StreamHandle) -> Option<&mut Channel> {
        self.list
            .iter_mut()
            .find(|channel| channel.handle == Some(handle))
    }

    fn push(&mut self, label: &str, init: DataChannelInit) -> &mut Channel {
        let id = ChannelId(self.next);
        self.next += 1;
        self.list.push(Channel {
            id,
            label: label.to_owned(),
            init,
            state: DataChannelState::Connecting,
            stream_id: None,
            handle: None,
            queued: 0,
            acknowledged: 0,
            sent: Traffic::default(),
            received: Traffic::default(),
        });
        self.list.last_mut().expect("just pushed")
    }

    fn remove(&mut self, id: ChannelId) {
        self.list.retain(|channel| channel.id != id);
    }

    fn takes_stream(&self, stream_id: u16) -> bool {
        let mut negotiated = self.list.iter().filter(|channel| channel.init.negotiated);
        negotiated.any(|channel| channel.init.id == i32::from(stream_id))
            || self.streams.values().any(|taken| *taken == stream_id)
    }
}

impl Peer {
    pub(crate) fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, RtcError> {
        self.check_open()?;
        if init.negotiated {
            if !(0..=MAX_STREAM_ID).contains(&init.id) {
                return Err(RtcError::internal(
                    "a negotiated data channel needs an id of 0 to 65534",
                ));
            }
            // In range, as just checked.
            if self.channels.takes_stream(init.id as u16) {
                return Err(RtcError::internal(format!(
                    "data channel id {} is taken",
                    init.id
                )));
            }
        }
        let id = self.channels.push(label, init).id;
        if self.transport.sctp_started {
            self.open_channel(id);
            self.advance(now);
        }
        self.push_event(PeerEvent::NegotiationNeeded);
        Ok(id)
    }

    /// The label and state of a channel; `None` after it was closed.
    pub(crate) fn channel_state(&self, id: ChannelId) -> Option<DataChannelState> {
        self.channels.get(id).map(|channel| channel.state)
    }

    pub(crate) fn channel_label(&self, id: ChannelId) -> Option<&str> {
        self.channels.get(id).map(|channel| channel.label.as_str())
    }

    /// The SCTP stream, or -1 while the channel has none.
    pub(crate) fn channel_stream_id(&self, id: ChannelId) -> i32 {
        let Some(channel) = self.channels.get(id) else {
            return -1;
        };
        match channel.stream_id {
            Some(stream_id) => i32::from(stream_id),
            None if channel.init.negotiated => channel.init.id,
            None => -1,
        }
    }

    /// Bytes that were sent and are not acknowledged.
    pub(crate) fn channel_buffered_amount(&self, id: ChannelId) -> u64 {
        self.channels
            .get(id)
            .map_or(0, |channel| channel.queued - channel.acknowledged)
    }

    pub(crate) fn send_message(
        &mut self,
        now: Instant,
        id: ChannelId,
        data: &[u8],
        binary: bool,
    ) -> Result<(), DataChannelError> {
        let channel = self.channels.get_mut(id).ok_or(DataChannelError::Send)?;
        let open = channel.state == DataChannelState::Open;
        let handle = channel
            .handle
            .filter(|_| open)
            .ok_or(DataChannelError::Send)?;
        if data.len() > MAX_SENT_MESSAGE {
            return Err(DataChannelError::Send);
        }
        let mut stream = self.rtc.channel(handle).ok_or(DataChannelError::Send)?;
        match stream.write(binary, data) {
            Ok(true) => {}
            Ok(false) => return Err(DataChannelError::Send),
            Err(err) => {
                log::warn!("data channel {}: {err}", channel.label);
                return Err(DataChannelError::Send);
            }
        }
        channel.queued += data.len() as u64;
        channel.sent.count(data.len());
        self.advance(now);
        Ok(())
    }

    pub(crate) fn close_channel(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        if let Some(handle) = channel.handle {
            self.rtc.direct_api().close_data_channel(handle);
        }
        self.channel_closed(id);
        self.advance(now);
    }

    /// Opens what was created before there was SCTP.
    pub(super) fn open_channels(&mut self) {
        let waiting: Vec<ChannelId> = self.channels.iter().map(|channel| channel.id).collect();
        for id in waiting {
            self.open_channel(id);
        }
    }

    fn open_channel(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let init = &channel.init;
        // Values of a C API: what does not fit means the most that fits.
        let limit = |value: i32| u16::try_from(value.max(0)).unwrap_or(u16::MAX);
        let config = ChannelConfig {
            label: channel.label.clone(),
            ordered: init.ordered,
            reliability: match (init.max_retransmits, init.max_retransmit_time) {
                (Some(retransmits), _) => Reliability::MaxRetransmits {
                    retransmits: limit(retransmits),
                },
                (None, Some(ms)) => Reliability::MaxPacketLifetime {
                    lifetime: limit(ms),
                },
                (None, None) => Reliability::Reliable,
            },
            negotiated: init.negotiated.then(|| limit(init.id)),
            protocol: init.protocol.clone(),
        };
        let negotiated = config.negotiated;
        let handle = self.rtc.direct_api().create_data_channel(config);
        channel.handle = Some(handle);
        if let Some(stream_id) = negotiated {
            self.channels.streams.insert(handle, stream_id);
        }
    }

    pub(super) fn handle_channel_open(&mut self, handle: StreamHandle, label: &str) {
        let stream_id = self.rtc.direct_api().sctp_stream_id_by_channel_id(handle);
        if let Some(stream_id) = stream_id {
            self.channels.streams.insert(handle, stream_id);
        }
        let ours = self.channels.by_handle(handle).map(|channel| channel.id);
        let id = match ours {
            Some(id) => id,
            None => {
                let config = self.rtc.channel(handle).and_then(|c| c.config().cloned());
                let channel = self
                    .channels
                    .push(label, init_of(config.as_ref(), stream_id));
                channel.handle = Some(handle);
                channel.id
            }
        };
        if let Some(channel) = self.channels.get_mut(id) {
            channel.state = DataChannelState::Open;
            channel.stream_id = stream_id;
        }
        log::debug!("data channel {label} is open on stream {stream_id:?}");
        if ours.is_none() {
            self.push_event(PeerEvent::DataChannel(id));
        }
        self.push_event(PeerEvent::ChannelState(id, DataChannelState::Open));
    }

    pub(super) fn handle_channel_message(
        &mut self,
        handle: StreamHandle,
        data: Vec<u8>,
        binary: bool,
    ) {
        let Some(channel) = self.channels.by_handle(handle) else {
            return;
        };
        channel.received.count(data.len());
        let channel = channel.id;
        self.push_event(PeerEvent::ChannelMessage {
            channel,
            data,
            binary,
        });
    }

    pub(super) fn handle_channel_close(&mut self, handle: StreamHandle) {
        self.channels.streams.remove(&handle);
        if let Some(id) = self.channels.by_handle(handle).map(|channel| channel.id) {
            self.channel_closed(id);
        }
    }

    pub(super) fn close_all_channels(&mut self) {
        let open: Vec<ChannelId> = self.channels.iter().map(|channel| channel.id).collect();
        for id in open {
            self.channel_closed(id);
        }
    }

    fn channel_closed(&mut self, id: ChannelId) {
        self.channels.remove(id);
        self.push_event(PeerEvent::ChannelState(id, DataChannelState::Closed));
    }

    /// Says how much left the send buffers since it was last said.
    pub(super) fn count_acknowledged(&mut self) {
        for channel in &mut self.channels.list {
            let Some(handle) = channel
                .handle
                .filter(|_| channel.queued > channel.acknowledged)
            else {
                continue;
            };
            let waiting = self
                .rtc
                .channel(handle)
                .map_or(0, |mut c| c.buffered_amount()) as u64;
            let acknowledged = channel.queued.saturating_sub(waiting);
            if acknowledged > channel.acknowledged {
                let bytes = acknowledged - channel.acknowledged;
                channel.acknowledged = acknowledged;
                self.events
                    .push_back(PeerEvent::ChannelBytesSent(channel.id, bytes));
            }
        }
    }
}

impl Traffic {
    fn count(&mut self, bytes: usize) {
        self.messages = self.messages.wrapping_add(1);
        self.bytes += bytes as u64;
    }
}

/// What the other side asked for when it opened a channel in band.
fn init_of(config: Option<&ChannelConfig>, stream_id: Option<u16>) -> DataChannelInit {
    let mut init = DataChannelInit {
        id: stream_id.map_or(-1, i32::from),
        ..DataChannelInit::default()
    };
    if let Some(config) = config {
        init.ordered = config.ordered;
        init.protocol.clone_from(&config.protocol);
        match config.reliability {
            Reliability::Reliable => {}
            Reliability::MaxPacketLifetime { lifetime } => {
                init.max_retransmit_time = Some(lifetime.into())
            }
            Reliability::MaxRetransmits { retransmits } => {
                init.max_retransmits = Some(retransmits.into())
            }
        }
    }
    init
}

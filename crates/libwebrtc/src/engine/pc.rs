//! JSEP (RFC 8829) on top of str0m's direct (no-SDP) API: this file owns the SDP, str0m owns ICE/DTLS/SRTP/SCTP.
use super::rt;
use crate::{
    media::{RtpPacket, sender::{EncodedPacket, Sender}},
    audio_track::RtcAudioTrack, data_channel::*, ice_candidate::IceCandidate, media_stream::MediaStream, media_stream_track::MediaStreamTrack,
    peer_connection::*, peer_connection_factory::RtcConfiguration, rtp_parameters::*, rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection as Dir, RtpTransceiverInit}, sdp::*,
    session_description::{SdpType, SessionDescription}, stats as st, video_track::RtcVideoTrack, MediaType, RtcError,
};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::{HashMap, VecDeque}, fmt::Write as _, net::{IpAddr, SocketAddr}, sync::{atomic::{AtomicBool, Ordering::*}, Arc, Weak}, time::{Duration, Instant}};
use str0m::{channel::{ChannelConfig, ChannelId, Reliability}, format::{Codec, FormatParams}, media::{Frequency, MediaKind, Mid, Pt}, net::{Protocol, Receive, TcpType}, rtp::{Extension, ExtensionMap, ExtensionValues, RtpWrite}, Candidate, Event, IceCreds, Input, Output, Rtc};
use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::UdpSocket, sync::{mpsc, Notify}};

type Res<T> = Result<T, RtcError>;
const PT_OPUS: u8 = 111;
const URI_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const URI_TWCC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const URI_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const VIDEO: [(u8, &str, &str); 2] = [(96, "VP8/90000", ""), (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")];
const FAIL_AFTER: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(crate) struct Callbacks {
    pub connection: Option<OnConnectionChange>, pub data_channel: Option<OnDataChannel>, pub candidate: Option<OnIceCandidate>,
    pub candidate_error: Option<OnIceCandidateError>, pub ice: Option<OnIceConnectionChange>, pub gathering: Option<OnIceGatheringChange>,
    pub negotiation: Option<OnNegotiationNeeded>, pub signaling: Option<OnSignalingChange>, pub track: Option<OnTrack>,
}
enum Ev {
    Conn(PeerConnectionState), Ice(IceConnectionState), Gather(IceGatheringState), Sig(SignalingState), Cand(IceCandidate),
    Channel(DataChannel), Track(TrackEvent), DcState(Arc<Dc>, DataChannelState), DcMsg(Arc<Dc>, Vec<u8>, bool), DcSent(Arc<Dc>, u64), Negotiate,
}

// ---------------------------------------------------------------- transceivers
pub(crate) struct TrxState {
    pub mid: Option<String>, reserved: Option<String>, pub direction: Dir, pub current: Option<Dir>,
    pub send_track: Option<MediaStreamTrack>, pub recv_track: MediaStreamTrack, pub remote_streams: Vec<String>,
    stream_ids: Vec<String>, encodings: Vec<RtpEncodingParameters>, sender: Option<Arc<Sender>>, degradation: Option<DegradationPreference>,
    seq: u64, tx_packets: u64, tx_bytes: u64, rx_packets: u64, rx_bytes: u64, rx_ssrcs: Vec<u32>, declared: bool,
}
pub(crate) struct Trx { pub st: Mutex<TrxState>, pc: Weak<Pc>, audio: bool, ssrc: u32, cname: String, id: String }
impl Trx {
    pub fn stop(&self) {
        let mut s = self.st.lock();
        s.direction = Dir::Inactive;
        s.current = Some(Dir::Stopped);
        if let Some(a) = &s.sender { a.set_active(false) }
    }
    pub fn streams(self: &Arc<Self>) -> Vec<MediaStream> {
        let s = self.st.lock();
        s.remote_streams.iter().map(|id| MediaStream { id: id.clone(), tracks: vec![s.recv_track.clone()] }).collect()
    }
    pub fn set_send_track(self: &Arc<Self>, t: Option<MediaStreamTrack>) {
        let mut s = self.st.lock();
        let was = s.sender.as_ref().is_some_and(|a| a.is_active());
        s.sender = None;
        if let Some(MediaStreamTrack::Audio(a)) = &t {
            let me = Arc::downgrade(self);
            s.sender = Sender::new(a, Box::new(move |e| { if let Some(me) = me.upgrade() { me.send_audio(e) } }));
            if let Some(snd) = &s.sender {
                snd.set_max_bitrate(s.encodings.first().and_then(|e| e.max_bitrate));
                snd.set_active(was);
            }
        }
        s.send_track = t;
    }
    fn send_audio(&self, e: EncodedPacket) {
        let Some(pc) = self.pc.upgrade() else { return };
        let mut g = pc.core.lock();
        if !g.connected { return; }
        let (mid, seq) = { let mut s = self.st.lock(); let Some(m) = s.mid.clone() else { return }; s.seq += 1; s.tx_packets += 1; s.tx_bytes += e.payload.len() as u64; (m, s.seq) };
        let pt = g.opus_pt;
        let now = Instant::now();
        let ext = ExtensionValues { audio_level: Some(e.audio_level_dbov), voice_activity: Some(e.voice), mid: Some(Mid::from(mid.as_str())), ..Default::default() };
        {
            let mut d = g.rtc.direct_api();
            let Some(tx) = d.stream_tx(&self.ssrc.into()) else { return };
            tx.write_rtp(RtpWrite::new(Pt::from(pt), seq.into(), e.timestamp, now, e.payload).marker(e.marker).ext_vals(ext));
        }
        let _ = g.rtc.handle_input(Input::Timeout(now));
        pc.pump(&mut g);
    }
    pub fn parameters(&self) -> RtpParameters {
        let s = self.st.lock();
        let codec = if self.audio { RtpCodecParameters { payload_type: PT_OPUS, mime_type: "audio/opus".into(), clock_rate: Some(48000), channels: Some(2) } }
            else { RtpCodecParameters { payload_type: 96, mime_type: "video/VP8".into(), clock_rate: Some(90000), channels: None } };
        let mut encodings = s.encodings.clone();
        if encodings.is_empty() && s.send_track.is_some() { encodings.push(Default::default()) }
        if let [e] = &mut encodings[..] { e.has_ssrc = true; e.ssrc = self.ssrc; }
        RtpParameters { codecs: vec![codec], header_extensions: vec![], encodings, rtcp: RtcpParameters { cname: self.cname.clone(), reduced_size: true }, degradation: s.degradation }
    }
    pub fn set_parameters(&self, p: RtpParameters) -> Res<()> {
        let mut s = self.st.lock();
        if !s.encodings.is_empty() && p.encodings.len() != s.encodings.len() { return Err(RtcError::state("the number of encodings cannot change")); }
        if let Some(a) = &s.sender { a.set_max_bitrate(p.encodings.first().and_then(|e| e.max_bitrate)) }
        s.encodings = p.encodings;
        s.degradation = p.degradation;
        Ok(())
    }
    pub fn stats(&self, sending: bool) -> Vec<st::RtcStats> {
        let Some(pc) = self.pc.upgrade() else { return vec![] };
        let mut out = pc.stats(Some((self.id.as_str(), sending)));
        out.extend(pc.transport_stats());
        out
    }
}

// ---------------------------------------------------------------- data channels
#[derive(Default)]
pub(crate) struct DcCallbacks { pub state: Option<OnStateChange>, message: Option<OnMessage>, pub buffered: Option<OnBufferedAmountChange>, early: Vec<(Vec<u8>, bool)> }
struct DcState { id: Option<ChannelId>, stream: i32, state: DataChannelState, queued: u64, acked: u64, tx: (u32, u64), rx: (u32, u64) }
pub(crate) struct Dc { pub label: String, init: DataChannelInit, pc: Weak<Pc>, pub cbs: Mutex<DcCallbacks>, st: Mutex<DcState> }
impl Dc {
    fn new(pc: &Weak<Pc>, label: &str, init: DataChannelInit) -> Arc<Self> {
        let stream = if init.negotiated { init.id } else { -1 };
        Arc::new(Self { label: label.into(), init, pc: pc.clone(), cbs: Default::default(), st: Mutex::new(DcState { id: None, stream, state: DataChannelState::Connecting, queued: 0, acked: 0, tx: (0, 0), rx: (0, 0) }) })
    }
    pub fn state(&self) -> DataChannelState { self.st.lock().state }
    pub fn stream_id(&self) -> i32 { self.st.lock().stream }
    pub fn buffered(&self) -> u64 { let s = self.st.lock(); s.queued - s.acked }
    pub fn set_on_message(&self, cb: Option<OnMessage>) {
        let mut c = self.cbs.lock();
        c.message = cb;
        let early = std::mem::take(&mut c.early);
        if let Some(f) = c.message.as_mut() { for (d, b) in &early { f(DataBuffer { data: d, binary: *b }) } }
    }
    pub fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        let pc = self.pc.upgrade().ok_or(DataChannelError::Send)?;
        let mut g = pc.core.lock();
        let id = { let s = self.st.lock(); if s.state != DataChannelState::Open { return Err(DataChannelError::Send) } s.id.ok_or(DataChannelError::Send)? };
        match g.rtc.channel(id).ok_or(DataChannelError::Send)?.write(binary, data) {
            Ok(true) => {}
            Ok(false) => return Err(DataChannelError::Send),
            Err(e) => { log::warn!("data channel write: {e}"); return Err(DataChannelError::Send) }
        }
        { let mut s = self.st.lock(); s.queued += data.len() as u64; s.tx.0 += 1; s.tx.1 += data.len() as u64; }
        let _ = g.rtc.handle_input(Input::Timeout(Instant::now()));
        pc.pump(&mut g);
        Ok(())
    }
    pub fn close(self: &Arc<Self>) {
        let Some(pc) = self.pc.upgrade() else { return };
        let mut g = pc.core.lock();
        let id = { let mut s = self.st.lock(); if matches!(s.state, DataChannelState::Closed | DataChannelState::Closing) { return } s.state = DataChannelState::Closed; s.id };
        if let Some(id) = id { g.rtc.direct_api().close_data_channel(id); }
        g.dcs.retain(|d| !Arc::ptr_eq(d, self));
        g.events.push_back(Ev::DcState(self.clone(), DataChannelState::Closed));
        let _ = g.rtc.handle_input(Input::Timeout(Instant::now()));
        pc.pump(&mut g);
    }
}

// ---------------------------------------------------------------- peer connection
enum Line { Media(Arc<Trx>), App(String) }
struct Tcp { local: SocketAddr, remote: SocketAddr, tx: mpsc::UnboundedSender<Vec<u8>> }
pub(crate) struct Core {
    rtc: Rtc, cfg: RtcConfiguration, creds: IceCreds, next_creds: Option<IceCreds>, restart: bool, fingerprint: String,
    remote_ufrag: Option<String>, started: bool, connected: bool, offerer: bool, closed: bool, opus_pt: u8,
    conn: PeerConnectionState, ice: IceConnectionState, gather: IceGatheringState, sig: SignalingState,
    trx: Vec<Arc<Trx>>, lines: Vec<Line>, next_mid: u32, dcs: Vec<Arc<Dc>>, sctp: bool,
    session: u64, version: u64,
    cur_local: Option<SessionDescription>, pend_local: Option<SessionDescription>, cur_remote: Option<SessionDescription>, pend_remote: Option<SessionDescription>,
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>, tcp: Vec<Tcp>, local_cands: Vec<Candidate>, remote_cands: Vec<Candidate>,
    events: VecDeque<Ev>, deadline: Instant, down_since: Option<Instant>, by_ssrc: HashMap<u32, Arc<Trx>>,
    rx: (u64, u64), tx: (u64, u64), sent_to: Option<(SocketAddr, SocketAddr)>,
}
pub(crate) struct Pc { me: Weak<Pc>, pub cbs: Mutex<Callbacks>, core: Mutex<Core>, wake: Notify, stop: AtomicBool }

fn build_rtc(creds: &IceCreds, audio_pt: u8, video: &[(u8, Codec)], exts: &[(u8, String)]) -> Rtc {
    let mut c = Rtc::builder().set_rtp_mode(true).clear_codecs().set_local_ice_credentials(creds.clone())
        .set_sctp_max_buffered_amount(16 << 20).set_sctp_max_message_size(256 * 1024);
    c.codec_config().add_config(Pt::from(audio_pt), None, Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), FormatParams::default());
    for (pt, codec) in video { c.codec_config().add_config(Pt::from(*pt), None, *codec, Frequency::NINETY_KHZ, None, FormatParams::default()); }
    let mut m = ExtensionMap::empty();
    for (id, uri) in exts {
        match uri.as_str() { URI_LEVEL => m.set(*id, Extension::AudioLevel), URI_TWCC => m.set(*id, Extension::TransportSequenceNumber), URI_MID => m.set(*id, Extension::RtpMid), _ => {} }
    }
    let mut r = c.set_extension_map(m).build(Instant::now());
    r.direct_api().enable_twcc_feedback();
    r
}
fn own_exts() -> Vec<(u8, String)> { vec![(1, URI_LEVEL.into()), (3, URI_TWCC.into()), (4, URI_MID.into())] }
fn hex(f: &str) -> Vec<u8> { f.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect() }

impl Pc {
    pub fn new(cfg: RtcConfiguration) -> Res<Arc<Pc>> {
        let creds = IceCreds::new();
        let mut rtc = build_rtc(&creds, PT_OPUS, &[(96, Codec::Vp8), (102, Codec::H264)], &own_exts());
        let fingerprint = { let d = rtc.direct_api(); let f = d.local_dtls_fingerprint(); format!("{} {}", f.hash_func, f.bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")) };
        let core = Core {
            rtc, cfg, creds, next_creds: None, restart: false, fingerprint, remote_ufrag: None, started: false, connected: false, offerer: true, closed: false, opus_pt: PT_OPUS,
            conn: PeerConnectionState::New, ice: IceConnectionState::New, gather: IceGatheringState::New, sig: SignalingState::Stable,
            trx: vec![], lines: vec![], next_mid: 0, dcs: vec![], sctp: false, session: rand::random::<u64>() >> 2, version: 1,
            cur_local: None, pend_local: None, cur_remote: None, pend_remote: None, udp: vec![], tcp: vec![], local_cands: vec![], remote_cands: vec![],
            events: VecDeque::new(), deadline: Instant::now() + Duration::from_secs(3600), down_since: None, by_ssrc: HashMap::new(), rx: (0, 0), tx: (0, 0), sent_to: None,
        };
        let pc = Arc::new_cyclic(|me| Pc { me: me.clone(), cbs: Default::default(), core: Mutex::new(core), wake: Notify::new(), stop: AtomicBool::new(false) });
        rt().spawn(drive(Arc::downgrade(&pc)));
        Ok(pc)
    }
    pub fn kick(&self) { self.wake.notify_one() }
    pub fn states(&self) -> (PeerConnectionState, IceConnectionState, IceGatheringState, SignalingState) { let g = self.core.lock(); (g.conn, g.ice, g.gather, g.sig) }
    pub fn current_local(&self) -> Option<SessionDescription> { self.core.lock().cur_local.clone() }
    pub fn current_remote(&self) -> Option<SessionDescription> { self.core.lock().cur_remote.clone() }
    pub fn transceivers(&self) -> Vec<RtpTransceiver> { self.core.lock().trx.iter().map(|t| RtpTransceiver { t: t.clone() }).collect() }
    pub fn set_configuration(&self, c: RtcConfiguration) -> Res<()> { self.core.lock().cfg = c; Ok(()) }
    pub fn restart_ice(&self) { let mut g = self.core.lock(); g.restart = true; g.events.push_back(Ev::Negotiate); drop(g); self.kick() }
    fn open(&self) -> Res<MutexGuard<'_, Core>> { let g = self.core.lock(); if g.closed { Err(RtcError::state("the peer connection is closed")) } else { Ok(g) } }

    pub fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Res<DataChannel> {
        let mut g = self.open()?;
        if init.negotiated && init.id < 0 { return Err(RtcError::internal("negotiated data channels need an id")); }
        if init.negotiated && g.dcs.iter().any(|d| d.init.negotiated && d.init.id == init.id) { return Err(RtcError::internal("data channel id is taken")); }
        let dc = Dc::new(&self.me, label, init);
        g.dcs.push(dc.clone());
        if g.sctp { g.open_channel(&dc); self.advance(&mut g); }
        g.events.push_back(Ev::Negotiate);
        Ok(DataChannel { dc })
    }
    pub fn add_track(&self, track: MediaStreamTrack, stream_ids: Vec<String>) -> Res<RtpSender> {
        Ok(self.add_transceiver(Ok(track), RtpTransceiverInit { direction: Dir::SendRecv, stream_ids, send_encodings: vec![] })?.sender())
    }
    pub fn add_transceiver(&self, what: Result<MediaStreamTrack, MediaType>, init: RtpTransceiverInit) -> Res<RtpTransceiver> {
        let mut g = self.open()?;
        let audio = match &what { Ok(MediaStreamTrack::Audio(_)) | Err(MediaType::Audio) => true, Ok(MediaStreamTrack::Video(_)) | Err(MediaType::Video) => false, _ => return Err(RtcError::internal("not a media type")) };
        let t = self.new_trx(&mut g, audio, init.direction, init.stream_ids, init.send_encodings);
        drop(g);
        if let Ok(track) = what { t.set_send_track(Some(track)) }
        self.core.lock().events.push_back(Ev::Negotiate);
        self.kick();
        Ok(RtpTransceiver { t })
    }
    fn new_trx(&self, g: &mut Core, audio: bool, direction: Dir, stream_ids: Vec<String>, encodings: Vec<RtpEncodingParameters>) -> Arc<Trx> {
        let id = crate::native::create_random_uuid();
        let recv_track = if audio { RtcAudioTrack::remote(&id).into() } else { RtcVideoTrack::make(&id).into() };
        let t = Arc::new(Trx {
            st: Mutex::new(TrxState { mid: None, reserved: None, direction, current: None, send_track: None, recv_track, remote_streams: vec![], stream_ids, encodings, sender: None, degradation: None, seq: rand::random::<u16>() as u64 / 2, tx_packets: 0, tx_bytes: 0, rx_packets: 0, rx_bytes: 0, rx_ssrcs: vec![], declared: false }),
            pc: self.me.clone(), audio, ssrc: rand::random::<u32>() | 1, cname: format!("{:016x}", g.session), id,
        });
        g.trx.push(t.clone());
        t
    }
    pub fn remove_track(&self, sender: RtpSender) -> Res<()> {
        let mut g = self.open()?;
        { let mut s = sender.t.st.lock(); s.direction = dir_of(false, receives(s.direction)); if let Some(a) = &s.sender { a.set_active(false) } }
        sender.t.set_send_track(None);
        g.events.push_back(Ev::Negotiate);
        drop(g);
        self.kick();
        Ok(())
    }

    // ---------------------------------------------------------------- SDP out
    pub fn create_offer(&self, o: OfferOptions) -> Res<SessionDescription> {
        let mut g = self.open()?;
        if !matches!(g.sig, SignalingState::Stable | SignalingState::HaveLocalOffer) { return Err(RtcError::state("createOffer in wrong signaling state")); }
        if (o.ice_restart || g.restart) && g.started { g.next_creds = Some(IceCreds::new()); g.restart = false; }
        // give every transceiver without a section its place, data last
        let unplaced: Vec<_> = g.trx.iter().filter(|t| { let s = t.st.lock(); s.mid.is_none() && s.reserved.is_none() && s.current != Some(Dir::Stopped) }).cloned().collect();
        for t in unplaced { let m = g.new_mid(); t.st.lock().reserved = Some(m); g.lines.push(Line::Media(t)); }
        if !g.dcs.is_empty() && !g.lines.iter().any(|l| matches!(l, Line::App(_))) { let m = g.new_mid(); g.lines.push(Line::App(m)); }
        g.version += 1;
        let creds = g.next_creds.clone().unwrap_or_else(|| g.creds.clone());
        let mut body = String::new();
        let mut mids = vec![];
        for l in &g.lines {
            match l {
                Line::App(mid) => { mids.push(mid.clone()); g.app_section(&mut body, mid, &creds, "actpass"); }
                Line::Media(t) => {
                    let s = t.st.lock();
                    let mid = s.mid.clone().or_else(|| s.reserved.clone()).unwrap();
                    mids.push(mid.clone());
                    let codecs: Vec<(u8, String, String)> = if t.audio { vec![(g.opus_pt, "opus/48000/2".into(), "minptime=10;useinbandfec=1".into())] } else { VIDEO.iter().map(|(p, c, f)| (*p, c.to_string(), f.to_string())).collect() };
                    let dir = if s.current == Some(Dir::Stopped) { Dir::Inactive } else { s.direction };
                    g.media_section(&mut body, t, &s, &mid, &creds, "actpass", dir, &codecs, &own_exts());
                }
            }
        }
        Ok(SessionDescription::raw(g.session_head(&mids) + &body, SdpType::Offer))
    }
    pub fn create_answer(&self) -> Res<SessionDescription> {
        let mut g = self.open()?;
        let Some(offer) = g.pend_remote.clone() else { return Err(RtcError::state("createAnswer without a remote offer")) };
        let offer = Sdp::parse(offer.text()).map_err(|e| RtcError::sdp(e.to_string()))?;
        g.version += 1;
        let creds = g.next_creds.clone().unwrap_or_else(|| g.creds.clone());
        let setup = "active";
        let mut body = String::new();
        let mut mids = vec![];
        for (m, l) in offer.media.iter().zip(&g.lines) {
            match l {
                Line::App(mid) => { mids.push(mid.clone()); g.app_section(&mut body, mid, &creds, setup); }
                Line::Media(t) => {
                    let s = t.st.lock();
                    let codecs: Vec<_> = m.codecs().into_iter().filter(|(_, c, _)| if t.audio { c.to_lowercase().starts_with("opus/48000") } else { c.starts_with("VP8/") || c.starts_with("H264/") }).take(1).collect();
                    if codecs.is_empty() || m.port == 0 { write!(body, "m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:{}\r\n", m.kind, m.proto, m.fmts.join(" "), m.mid()).unwrap(); continue; }
                    mids.push(m.mid().to_owned());
                    let want = reverse(m.direction());
                    let dir = dir_of(sends(want) && sends(s.direction), receives(want) && receives(s.direction));
                    let exts: Vec<_> = if g.started { vec![] } else { m.extmap().into_iter().filter(|(_, u)| [URI_LEVEL, URI_TWCC, URI_MID].contains(&u.as_str())).collect() };
                    g.media_section(&mut body, t, &s, m.mid(), &creds, setup, dir, &codecs, &exts);
                }
            }
        }
        Ok(SessionDescription::raw(g.session_head(&mids) + &body, SdpType::Answer))
    }

    // ---------------------------------------------------------------- SDP in
    pub fn set_local(&self, d: SessionDescription) -> Res<()> {
        let mut g = self.open()?;
        let sdp = Sdp::parse(d.text()).map_err(|e| RtcError::sdp(e.to_string()));
        match d.sdp_type() {
            SdpType::Rollback => { g.pend_local = None; g.set_sig(SignalingState::Stable); self.finish(&mut g); return Ok(()) }
            SdpType::Offer => {
                if !matches!(g.sig, SignalingState::Stable | SignalingState::HaveLocalOffer) { return Err(RtcError::state("setLocalDescription(offer) in wrong state")); }
                let sdp = sdp?;
                if sdp.media.len() > g.lines.len() { return Err(RtcError::sdp("the offer has sections this connection did not create")); }
                for (m, l) in sdp.media.iter().zip(&g.lines) { if let Line::Media(t) = l { let mut s = t.st.lock(); s.mid = Some(m.mid().into()); } }
                g.pend_local = Some(d);
                g.set_sig(SignalingState::HaveLocalOffer);
            }
            _ => {
                if g.sig != SignalingState::HaveRemoteOffer { return Err(RtcError::state("setLocalDescription(answer) in wrong state")); }
                let sdp = sdp?;
                let remote_desc = g.pend_remote.take().unwrap();
                let remote = Sdp::parse(remote_desc.text()).map_err(|e| RtcError::sdp(e.to_string()))?;
                for ((m, r), l) in sdp.media.iter().zip(&remote.media).zip(g.lines.iter().map(|l| match l { Line::Media(t) => Some(t.clone()), _ => None }).collect::<Vec<_>>()) {
                    if let Some(t) = l { t.st.lock().mid = Some(m.mid().into()); let dir = if m.port == 0 { Dir::Inactive } else { m.direction() }; g.apply_media(&t, r, dir); }
                }
                g.cur_local = Some(d); g.cur_remote = Some(remote_desc); g.pend_local = None;
                g.set_sig(SignalingState::Stable);
                self.gather(&mut g);
                g.transport(self, &remote, true)?;
                self.finish(&mut g);
                return Ok(());
            }
        }
        self.gather(&mut g);
        self.finish(&mut g);
        Ok(())
    }
    pub fn set_remote(&self, d: SessionDescription) -> Res<()> {
        let mut g = self.open()?;
        if d.sdp_type() == SdpType::Rollback { g.pend_remote = None; g.set_sig(SignalingState::Stable); self.finish(&mut g); return Ok(()); }
        let sdp = Sdp::parse(d.text()).map_err(|e| RtcError::sdp(e.to_string()))?;
        if d.sdp_type() == SdpType::Offer {
            if !matches!(g.sig, SignalingState::Stable | SignalingState::HaveRemoteOffer) { return Err(RtcError::state("setRemoteDescription(offer) in wrong state")); }
            if !g.started {
                g.offerer = false;
                // payload types and extension ids are the offerer's: str0m wants them at build time
                let pt = sdp.media.iter().filter(|m| m.kind == "audio").flat_map(|m| m.codecs()).find(|(_, c, _)| c.to_lowercase().starts_with("opus/48000")).map_or(PT_OPUS, |c| c.0);
                let video: Vec<_> = sdp.media.iter().filter(|m| m.kind == "video").flat_map(|m| m.codecs()).filter_map(|(p, c, _)| if c.starts_with("VP8/") { Some((p, Codec::Vp8)) } else if c.starts_with("H264/") { Some((p, Codec::H264)) } else { None }).take(1).collect();
                let exts = sdp.media.iter().find(|m| m.kind == "audio").map(|m| m.extmap()).unwrap_or_default();
                g.opus_pt = pt;
                let creds = g.creds.clone();
                g.rtc = build_rtc(&creds, pt, &video, &exts);
                g.fingerprint = { let d = g.rtc.direct_api(); let f = d.local_dtls_fingerprint(); format!("{} {}", f.hash_func, f.bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")) };
            } else if sdp.transport_attr("ice-ufrag") != g.remote_ufrag.as_deref() { g.next_creds = Some(IceCreds::new()); }
            for (i, m) in sdp.media.iter().enumerate() {
                if i < g.lines.len() { continue; }
                if m.kind == "application" { g.lines.push(Line::App(m.mid().into())); continue; }
                // an unused transceiver of ours may be matched (RFC 8829 5.10); here only ones that can receive
                let free = g.trx.iter().find(|t| { let s = t.st.lock(); s.mid.is_none() && s.reserved.is_none() && t.audio == (m.kind == "audio") && s.send_track.is_some() }).cloned();
                let t = free.unwrap_or_else(|| self.new_trx(&mut g, m.kind == "audio", Dir::RecvOnly, vec![], vec![]));
                t.st.lock().mid = Some(m.mid().into());
                g.lines.push(Line::Media(t));
            }
            for (i, m) in sdp.media.iter().enumerate() { if let Some(Line::Media(t)) = g.lines.get(i) { let t = t.clone(); g.apply_streams(&t, m); } }
            g.pend_remote = Some(d);
            g.set_sig(SignalingState::HaveRemoteOffer);
        } else {
            if g.sig != SignalingState::HaveLocalOffer { return Err(RtcError::state(format!("setRemoteDescription(answer) in wrong state: {:?}", g.sig))); }
            let local = g.pend_local.clone().unwrap();
            let lsdp = Sdp::parse(local.text()).unwrap();
            if lsdp.media.len() != sdp.media.len() || lsdp.media.iter().zip(&sdp.media).any(|(a, b)| a.kind != b.kind) { return Err(RtcError::sdp("The order of m-lines in answer doesn't match order in offer. Rejecting answer.")); }
            for (i, m) in sdp.media.iter().enumerate() {
                if let Some(Line::Media(t)) = g.lines.get(i) {
                    let t = t.clone();
                    let dir = if m.port == 0 { Dir::Inactive } else { reverse(m.direction()) };
                    g.apply_media(&t, m, dir);
                    g.apply_streams(&t, m);
                }
            }
            g.cur_local = g.pend_local.take();
            g.cur_remote = Some(d);
            g.set_sig(SignalingState::Stable);
            g.transport(self, &sdp, false)?;
        }
        self.finish(&mut g);
        Ok(())
    }
    pub fn add_ice_candidate(&self, c: IceCandidate) -> Res<()> {
        let mut g = self.open()?;
        if g.cur_remote.is_none() && g.pend_remote.is_none() { return Err(RtcError::state("no remote description")); }
        let text = c.candidate();
        if text.is_empty() { return Ok(()); }
        let cand = match Candidate::from_sdp_string(&text) { Ok(c) => c, Err(e) => { log::debug!("ignored candidate {text}: {e}"); return Err(RtcError::internal(format!("bad candidate: {e}"))) } };
        g.remote_candidate(self, cand);
        self.finish(&mut g);
        Ok(())
    }
    pub fn close(&self) {
        let mut g = self.core.lock();
        if g.closed { return; }
        g.closed = true;
        g.connected = false;
        let now = Instant::now();
        let _ = g.rtc.close();
        self.pump(&mut g);
        let _ = g.rtc.handle_input(Input::Timeout(now + Duration::from_millis(1)));
        self.pump(&mut g);
        g.rtc.disconnect();
        for t in &g.trx {
            let mut s = t.st.lock();
            s.current = Some(Dir::Stopped);
            s.direction = Dir::Stopped;
            if let Some(a) = &s.sender { a.set_active(false) }
            match &s.recv_track { MediaStreamTrack::Audio(a) => a.inner.ended.store(true, Relaxed), MediaStreamTrack::Video(v) => v.inner.ended.store(true, Relaxed) }
        }
        for d in std::mem::take(&mut g.dcs) { d.st.lock().state = DataChannelState::Closed; g.events.push_back(Ev::DcState(d, DataChannelState::Closed)); }
        g.udp.clear();
        g.tcp.clear();
        g.ice = IceConnectionState::Closed;
        g.conn = PeerConnectionState::Closed;
        g.sig = SignalingState::Closed;
        g.events.push_back(Ev::Sig(SignalingState::Closed));
        g.events.push_back(Ev::Conn(PeerConnectionState::Closed));
        self.stop.store(true, Release);
        drop(g);
        self.kick();
    }

    // ---------------------------------------------------------------- network
    fn gather(&self, g: &mut Core) {
        let first = g.udp.is_empty();
        if first {
            for ip in interfaces() {
                let sock = match std::net::UdpSocket::bind((ip, 0)) { Ok(s) => s, Err(e) => { log::debug!("bind {ip}: {e}"); continue } };
                sock.set_nonblocking(true).ok();
                let addr = sock.local_addr().unwrap();
                let _rt = rt().enter();
                let Ok(sock) = UdpSocket::from_std(sock).map(Arc::new) else { continue };
                g.udp.push((addr, sock.clone()));
                rt().spawn(read_udp(self.me.clone(), Arc::downgrade(&sock), sock, addr));
                if let Ok(c) = Candidate::host(addr, "udp") { g.rtc.add_local_candidate(c.clone()); g.local_cands.push(c); }
            }
        }
        if first || g.next_creds.is_some() {
            g.gather = IceGatheringState::Gathering;
            g.events.push_back(Ev::Gather(IceGatheringState::Gathering));
            let mid = match g.lines.first() { Some(Line::Media(t)) => t.st.lock().mid.clone().unwrap_or_default(), Some(Line::App(m)) => m.clone(), None => "0".into() };
            let ufrag = g.next_creds.as_ref().unwrap_or(&g.creds).ufrag.clone();
            for c in g.local_cands.clone() {
                let mut c = c; c.set_ufrag(&ufrag);
                g.events.push_back(Ev::Cand(IceCandidate::local(&mid, 0, c.to_sdp_string())));
            }
            g.gather = IceGatheringState::Complete;
            g.events.push_back(Ev::Gather(IceGatheringState::Complete));
        }
    }
    fn dial_tcp(&self, remote: SocketAddr) {
        let me = self.me.clone();
        rt().spawn(async move {
            let Ok(Ok(s)) = tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect(remote)).await else { return };
            s.set_nodelay(true).ok();
            let Ok(local) = s.local_addr() else { return };
            let (mut rd, mut wr) = s.into_split();
            let (tx, mut rx) = mpsc::unbounded_channel::<Vec<u8>>();
            {
                let Some(pc) = me.upgrade() else { return };
                let mut g = pc.core.lock();
                if g.closed { return; }
                g.tcp.push(Tcp { local, remote, tx });
                match Candidate::builder().tcp().host(local).tcptype(TcpType::Active).build() { Ok(c) => { g.rtc.add_local_candidate(c); } Err(e) => log::warn!("tcp candidate: {e}") }
                pc.finish(&mut g);
            }
            rt().spawn(async move { while let Some(p) = rx.recv().await { let mut b = (p.len() as u16).to_be_bytes().to_vec(); b.extend(p); if wr.write_all(&b).await.is_err() { break } } });
            let mut len = [0u8; 2];
            let mut buf = vec![0u8; 65536];
            while rd.read_exact(&mut len).await.is_ok() {
                let n = u16::from_be_bytes(len) as usize;
                if rd.read_exact(&mut buf[..n]).await.is_err() { break }
                let Some(pc) = me.upgrade() else { break };
                pc.input(Protocol::Tcp, remote, local, &buf[..n]);
            }
        });
    }
    fn input(&self, proto: Protocol, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let mut g = self.core.lock();
        if g.closed { return; }
        g.rx.0 += 1; g.rx.1 += data.len() as u64;
        let now = Instant::now();
        let Ok(r) = Receive::new(proto, from, to, data) else { return };
        let i = Input::Receive(now, r);
        if !g.rtc.accepts(&i) { return; }
        if let Err(e) = g.rtc.handle_input(i) { log::warn!("webrtc input: {e}"); }
        self.pump(&mut g);
    }
    fn advance(&self, g: &mut MutexGuard<Core>) { let _ = g.rtc.handle_input(Input::Timeout(Instant::now())); self.pump(g); }
    fn finish(&self, g: &mut MutexGuard<Core>) { self.advance(g); self.kick(); }

    fn pump(&self, g: &mut Core) {
        let had = g.events.len();
        loop {
            match g.rtc.poll_output() {
                Ok(Output::Timeout(t)) => { let sooner = t < g.deadline; g.deadline = t; if sooner { self.kick() } break }
                Ok(Output::Transmit(t)) => {
                    g.tx.0 += 1; g.tx.1 += t.contents.len() as u64;
                    if t.proto == Protocol::Udp {
                        if let Some((_, s)) = g.udp.iter().find(|(a, _)| *a == t.source) { let _ = s.try_send_to(&t.contents, t.destination); }
                        g.sent_to = Some((t.source, t.destination));
                    } else if let Some(c) = g.tcp.iter().find(|c| c.local == t.source && c.remote == t.destination) { let _ = c.tx.send(t.contents.to_vec()); g.sent_to = Some((t.source, t.destination)); }
                }
                Ok(Output::Event(e)) => self.event(g, e),
                Err(e) => { log::error!("webrtc engine: {e}"); g.set_conn(PeerConnectionState::Failed); break }
            }
        }
        for d in &g.dcs {
            let mut s = d.st.lock();
            let Some(id) = s.id.filter(|_| s.queued > s.acked) else { continue };
            let left = g.rtc.channel(id).map_or(0, |mut c| c.buffered_amount()) as u64;
            let acked = s.queued.saturating_sub(left);
            if acked > s.acked { g.events.push_back(Ev::DcSent(d.clone(), acked - s.acked)); s.acked = acked; }
        }
        if g.events.len() != had { self.kick() }
    }
    fn event(&self, g: &mut Core, e: Event) {
        use str0m::IceConnectionState as I;
        match e {
            Event::Connected => { g.connected = true; g.down_since = None; g.set_conn(PeerConnectionState::Connected) }
            Event::IceConnectionStateChange(s) => {
                let (ice, conn) = match s {
                    I::New => (IceConnectionState::New, None),
                    I::Checking => (IceConnectionState::Checking, (!g.connected).then_some(PeerConnectionState::Connecting)),
                    I::Connected => (IceConnectionState::Connected, g.connected.then_some(PeerConnectionState::Connected)),
                    I::Completed => (IceConnectionState::Completed, g.connected.then_some(PeerConnectionState::Connected)),
                    I::Disconnected => (IceConnectionState::Disconnected, Some(PeerConnectionState::Disconnected)),
                };
                log::debug!("ice {s:?}");
                g.down_since = (s == I::Disconnected).then(Instant::now);
                if g.ice != ice { g.ice = ice; g.events.push_back(Ev::Ice(ice)); }
                if let Some(c) = conn { g.set_conn(c) }
            }
            Event::RtpPacket(p) => {
                let ssrc = *p.header.ssrc;
                let t = match g.by_ssrc.get(&ssrc) { Some(t) => t.clone(), None => {
                    let Some(mid) = p.header.ext_vals.mid else { return };
                    let Some(t) = g.trx.iter().find(|t| t.st.lock().mid.as_deref() == Some(&*mid.to_string())).cloned() else { return };
                    g.by_ssrc.insert(ssrc, t.clone());
                    t
                } };
                let track = { let mut s = t.st.lock(); s.rx_packets += 1; s.rx_bytes += p.payload.len() as u64; if !s.rx_ssrcs.contains(&ssrc) { s.rx_ssrcs.push(ssrc) } s.recv_track.clone() };
                if let MediaStreamTrack::Audio(a) = track {
                    if *p.header.payload_type == g.opus_pt && !p.payload.is_empty() { if let Some(r) = &a.inner.receiver { r.push(RtpPacket { ssrc, seq: *p.seq_no, timestamp: p.header.timestamp, payload: p.payload, arrival: p.timestamp }) } }
                }
            }
            Event::ChannelOpen(id, label) => {
                let known = g.dcs.iter().find(|d| d.st.lock().id == Some(id)).cloned();
                let stream = g.rtc.direct_api().sctp_stream_id_by_channel_id(id).map_or(-1, |s| s as i32);
                let (dc, new) = match known { Some(d) => (d, false), None => { let d = Dc::new(&self.me, &label, DataChannelInit::default()); d.st.lock().id = Some(id); g.dcs.push(d.clone()); (d, true) } };
                { let mut s = dc.st.lock(); s.state = DataChannelState::Open; s.stream = stream; }
                log::debug!("data channel open: {label} {stream} remote={new}");
                if new { g.events.push_back(Ev::Channel(DataChannel { dc: dc.clone() })) }
                g.events.push_back(Ev::DcState(dc, DataChannelState::Open));
            }
            Event::ChannelData(d) => { if let Some(dc) = g.dcs.iter().find(|x| x.st.lock().id == Some(d.id)).cloned() { { let mut s = dc.st.lock(); s.rx.0 += 1; s.rx.1 += d.data.len() as u64; } g.events.push_back(Ev::DcMsg(dc, d.data, d.binary)) } }
            Event::ChannelClose(id) => {
                if let Some(i) = g.dcs.iter().position(|x| x.st.lock().id == Some(id)) { let dc = g.dcs.remove(i); dc.st.lock().state = DataChannelState::Closed; g.events.push_back(Ev::DcState(dc, DataChannelState::Closed)) }
            }
            Event::Closed => { log::debug!("remote closed DTLS"); g.connected = false; g.set_conn(PeerConnectionState::Closed) }
            _ => {}
        }
    }

    // ---------------------------------------------------------------- stats
    pub fn transport_stats(&self) -> Vec<st::RtcStats> {
        let g = self.core.lock();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        let rtc = |id: &str| st::dictionaries::RtcStats { id: id.into(), timestamp: now };
        let mut out = vec![st::RtcStats::Transport(st::TransportStats { rtc: rtc("T01"), transport: st::dictionaries::TransportStats { packets_sent: g.tx.0, packets_received: g.rx.0, bytes_sent: g.tx.1, bytes_received: g.rx.1, ice_role: if g.offerer { st::IceRole::Controlling } else { st::IceRole::Controlled }, ice_local_username_fragment: g.creds.ufrag.clone(), dtls_state: Some(if g.connected { st::DtlsTransportState::Connected } else { st::DtlsTransportState::Connecting }), selected_candidate_pair_id: g.sent_to.map(|_| "CP1".into()).unwrap_or_default(), ..Default::default() } })];
        if let Some((l, r)) = g.sent_to {
            out.push(st::RtcStats::CandidatePair(st::CandidatePairStats { rtc: rtc("CP1"), candidate_pair: st::dictionaries::CandidatePairStats { transport_id: "T01".into(), local_candidate_id: "IL".into(), remote_candidate_id: "IR".into(), state: Some(st::IceCandidatePairState::Succeeded), nominated: true, packets_sent: g.tx.0, packets_received: g.rx.0, bytes_sent: g.tx.1, bytes_received: g.rx.1, ..Default::default() } }));
            let c = |a: SocketAddr| st::dictionaries::IceCandidateStats { transport_id: "T01".into(), address: a.ip().to_string(), port: a.port() as i32, protocol: "udp".into(), candidate_type: Some(st::IceCandidateType::Host), ..Default::default() };
            out.push(st::RtcStats::LocalCandidate(st::LocalCandidateStats { rtc: rtc("IL"), local_candidate: c(l) }));
            out.push(st::RtcStats::RemoteCandidate(st::RemoteCandidateStats { rtc: rtc("IR"), remote_candidate: c(r) }));
        }
        out
    }
    pub fn stats(&self, only: Option<(&str, bool)>) -> Vec<st::RtcStats> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        let rtc = |id: String| st::dictionaries::RtcStats { id, timestamp: now };
        let (trx, dcs) = { let g = self.core.lock(); (g.trx.clone(), g.dcs.clone()) };
        let mut out = vec![];
        for t in &trx {
            let s = t.st.lock();
            let kind = if t.audio { "audio" } else { "video" };
            let mid = s.mid.clone().unwrap_or_default();
            if only.is_none_or(|(id, tx)| id == t.id && tx) && s.send_track.is_some() {
                out.push(st::RtcStats::OutboundRtp(st::OutboundRtpStats { rtc: rtc(format!("O{}", t.ssrc)), stream: st::dictionaries::RtpStreamStats { ssrc: t.ssrc, kind: kind.into(), transport_id: "T01".into(), codec_id: "C111".into() }, sent: st::dictionaries::SentRtpStreamStats { packets_sent: s.tx_packets, bytes_sent: s.tx_bytes }, outbound: st::dictionaries::OutboundRtpStreamStats { mid: mid.clone(), active: s.sender.as_ref().is_some_and(|a| a.is_active()), encoder_implementation: "ropus".into(), media_source_id: format!("S{}", t.ssrc), ..Default::default() } }));
                if let Some(a) = &s.sender { out.push(st::RtcStats::MediaSource(st::MediaSourceStats { rtc: rtc(format!("S{}", t.ssrc)), source: st::dictionaries::MediaSourceStats { track_identifier: s.send_track.as_ref().map(|t| t.id()).unwrap_or_default(), kind: kind.into() }, audio: a.stats().audio_source(), ..Default::default() })); }
            }
            if only.is_none_or(|(id, tx)| id == t.id && !tx) && s.rx_packets > 0 {
                let j = match &s.recv_track { MediaStreamTrack::Audio(a) => a.inner.receiver.as_ref().map(|r| r.stats()).unwrap_or_default(), _ => Default::default() };
                out.push(st::RtcStats::InboundRtp(st::InboundRtpStats { rtc: rtc(format!("I{mid}")), stream: st::dictionaries::RtpStreamStats { ssrc: s.rx_ssrcs.last().copied().unwrap_or(0), kind: kind.into(), transport_id: "T01".into(), codec_id: "C111".into() }, received: j.received(), inbound: st::dictionaries::InboundRtpStreamStats { track_identifier: s.recv_track.id(), mid, ..j.inbound() } }));
            }
        }
        if only.is_none() {
            for d in &dcs { let s = d.st.lock(); out.push(st::RtcStats::DataChannel(st::DataChannelStats { rtc: rtc(format!("D{}", s.stream)), dc: st::dictionaries::DataChannelStats { label: d.label.clone(), protocol: d.init.protocol.clone(), data_channel_identifier: s.stream, state: Some(s.state), messages_sent: s.tx.0, bytes_sent: s.tx.1, messages_received: s.rx.0, bytes_received: s.rx.1 } })); }
            out.extend(self.transport_stats());
        }
        out
    }
}
impl Drop for Pc { fn drop(&mut self) { self.stop.store(true, Release); } }

impl Core {
    fn new_mid(&mut self) -> String { let m = self.next_mid.to_string(); self.next_mid += 1; m }
    fn set_sig(&mut self, s: SignalingState) { if self.sig != s { self.sig = s; self.events.push_back(Ev::Sig(s)) } }
    fn set_conn(&mut self, s: PeerConnectionState) { if self.conn != s && self.conn != PeerConnectionState::Closed { log::debug!("pc {:?} -> {s:?}", self.conn); self.conn = s; self.events.push_back(Ev::Conn(s)) } }
    fn session_head(&self, mids: &[String]) -> String {
        format!("v=0\r\no=- {} {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n", self.session, self.version, mids.join(" "))
    }
    fn transport_lines(&self, b: &mut String, c: &IceCreds, setup: &str) {
        write!(b, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\na=fingerprint:{}\r\na=setup:{}\r\n", c.ufrag, c.pass, self.fingerprint, setup).unwrap();
    }
    fn app_section(&self, b: &mut String, mid: &str, c: &IceCreds, setup: &str) {
        b.push_str("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n");
        self.transport_lines(b, c, setup);
        write!(b, "a=mid:{mid}\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n").unwrap();
    }
    #[allow(clippy::too_many_arguments)]
    fn media_section(&self, b: &mut String, t: &Trx, s: &TrxState, mid: &str, c: &IceCreds, setup: &str, dir: Dir, codecs: &[(u8, String, String)], exts: &[(u8, String)]) {
        let pts = codecs.iter().map(|c| c.0.to_string()).collect::<Vec<_>>().join(" ");
        write!(b, "m={} 9 UDP/TLS/RTP/SAVPF {pts}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n", if t.audio { "audio" } else { "video" }).unwrap();
        self.transport_lines(b, c, setup);
        write!(b, "a=mid:{mid}\r\n").unwrap();
        for (id, uri) in exts { if t.audio || uri != URI_LEVEL { write!(b, "a=extmap:{id} {uri}\r\n").unwrap(); } }
        write!(b, "a={}\r\n", dir_name(dir)).unwrap();
        let msid = s.send_track.as_ref().filter(|_| sends(dir)).map(|tr| format!("{} {}", s.stream_ids.first().map_or("-", |x| x), tr.id()));
        if let Some(m) = &msid { write!(b, "a=msid:{m}\r\n").unwrap(); }
        b.push_str("a=rtcp-mux\r\na=rtcp-rsize\r\n");
        for (pt, name, fmtp) in codecs {
            write!(b, "a=rtpmap:{pt} {name}\r\na=rtcp-fb:{pt} transport-cc\r\n").unwrap();
            if !t.audio { write!(b, "a=rtcp-fb:{pt} ccm fir\r\na=rtcp-fb:{pt} nack\r\na=rtcp-fb:{pt} nack pli\r\n").unwrap(); }
            if !fmtp.is_empty() { write!(b, "a=fmtp:{pt} {fmtp}\r\n").unwrap(); }
        }
        if let Some(m) = &msid { write!(b, "a=ssrc:{} cname:{}\r\na=ssrc:{} msid:{m}\r\n", t.ssrc, t.cname, t.ssrc).unwrap(); }
    }
    fn open_channel(&mut self, d: &Arc<Dc>) {
        let i = &d.init;
        let reliability = match (i.max_retransmits, i.max_retransmit_time) { (Some(n), _) => Reliability::MaxRetransmits { retransmits: n as u16 }, (None, Some(ms)) => Reliability::MaxPacketLifetime { lifetime: ms as u16 }, _ => Reliability::Reliable };
        let id = self.rtc.direct_api().create_data_channel(ChannelConfig { label: d.label.clone(), ordered: i.ordered, reliability, negotiated: i.negotiated.then_some(i.id as u16), protocol: i.protocol.clone() });
        d.st.lock().id = Some(id);
    }
    /// Streams the remote announces on this section; a new announcement is a track event.
    fn apply_streams(&mut self, t: &Arc<Trx>, m: &Section) {
        let sending = m.port != 0 && sends(m.direction());
        let ids: Vec<String> = if sending { m.msids().into_iter().map(|x| x.0).collect() } else { vec![] };
        let fire = { let mut s = t.st.lock(); let fire = s.remote_streams != ids && !ids.is_empty(); s.remote_streams = ids; fire };
        if fire {
            let tr = RtpTransceiver { t: t.clone() };
            let ev = TrackEvent { receiver: tr.receiver(), streams: t.streams(), track: t.st.lock().recv_track.clone(), transceiver: tr };
            self.events.push_back(Ev::Track(ev));
        }
    }
    /// `dir` is our negotiated direction, `m` the remote section.
    fn apply_media(&mut self, t: &Arc<Trx>, m: &Section, dir: Dir) {
        let mid = Mid::from(m.mid());
        let (declared, old) = { let s = t.st.lock(); (s.declared, s.rx_ssrcs.clone()) };
        if !declared { self.rtc.direct_api().declare_media(mid, if t.audio { MediaKind::Audio } else { MediaKind::Video }); }
        let ssrcs = if receives(dir) { m.ssrcs() } else { vec![] };
        for o in &old { if !ssrcs.iter().any(|(s, _)| s == o) { self.rtc.direct_api().remove_stream_rx((*o).into()); self.by_ssrc.remove(o); } }
        for (s, rtx) in &ssrcs {
            let mut d = self.rtc.direct_api();
            let rx = d.expect_stream_rx((*s).into(), rtx.map(Into::into), mid, None);
            if t.audio { rx.suppress_nack(true); }
            self.by_ssrc.insert(*s, t.clone());
        }
        let mut s = t.st.lock();
        s.declared = true;
        let new: Vec<u32> = ssrcs.iter().map(|x| x.0).collect();
        if new != s.rx_ssrcs { if let MediaStreamTrack::Audio(a) = &s.recv_track { if let Some(r) = &a.inner.receiver { r.reset() } } }
        s.rx_ssrcs = new;
        s.current = Some(dir);
        let send = sends(dir) && s.send_track.is_some();
        if send { self.rtc.direct_api().declare_stream_tx(t.ssrc.into(), None, mid, None); }
        if let Some(a) = &s.sender { a.set_active(send) }
    }
    fn remote_candidate(&mut self, pc: &Pc, c: Candidate) {
        if c.proto() == Protocol::Tcp {
            if c.tcptype() != Some(TcpType::Passive) { return; }
            if !self.tcp.iter().any(|t| t.remote == c.addr()) { pc.dial_tcp(c.addr()); }
        } else if c.proto() != Protocol::Udp { return; }
        self.remote_cands.push(c.clone());
        self.rtc.add_remote_candidate(c);
    }
    fn transport(&mut self, pc: &Pc, remote: &Sdp, we_answer: bool) -> Res<()> {
        let (Some(ufrag), Some(pwd)) = (remote.transport_attr("ice-ufrag"), remote.transport_attr("ice-pwd")) else { return Err(RtcError::sdp("no ICE credentials in the remote description")) };
        let changed = self.remote_ufrag.as_deref().is_some_and(|u| u != ufrag);
        if changed {
            log::debug!("ICE restart");
            for c in std::mem::take(&mut self.remote_cands) { self.rtc.direct_api().invalidate_candidate(&c); }
            if let Some(c) = self.next_creds.take() { self.creds = c.clone(); self.rtc.direct_api().set_local_ice_credentials(c); }
        }
        self.rtc.direct_api().set_remote_ice_credentials(IceCreds { ufrag: ufrag.into(), pass: pwd.into() });
        self.remote_ufrag = Some(ufrag.into());
        if !self.started {
            let Some((func, fp)) = remote.transport_attr("fingerprint").and_then(|f| f.split_once(' ')) else { return Err(RtcError::sdp("no DTLS fingerprint in the remote description")) };
            let lite = remote.session.attr("ice-lite").is_some();
            let active = we_answer || remote.transport_attr("setup") == Some("passive");
            let mut d = self.rtc.direct_api();
            d.set_ice_controlling(!we_answer || lite);
            d.set_remote_fingerprint(str0m::config::Fingerprint { hash_func: func.into(), bytes: hex(fp) });
            d.start_dtls(active).map_err(|e| RtcError::internal(e.to_string()))?;
            self.started = true;
            self.set_conn(PeerConnectionState::Connecting);
            if self.lines.iter().any(|l| matches!(l, Line::App(_))) { self.start_sctp(active); }
        } else if !self.sctp && self.lines.iter().any(|l| matches!(l, Line::App(_))) { let active = we_answer || remote.transport_attr("setup") == Some("passive"); self.start_sctp(active); }
        let cands: Vec<Candidate> = remote.media.iter().flat_map(|m| m.all("candidate")).filter_map(|c| Candidate::from_sdp_string(&format!("candidate:{c}")).ok()).collect();
        for c in cands { self.remote_candidate(pc, c); }
        Ok(())
    }
    fn start_sctp(&mut self, client: bool) {
        self.rtc.direct_api().start_sctp(client);
        self.sctp = true;
        for d in self.dcs.clone() { self.open_channel(&d); }
    }
}

fn interfaces() -> Vec<IpAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    all.into_iter().filter(|i| i.is_oper_up() && i.ip().is_ipv4()).map(|i| i.ip()).collect()
}

async fn read_udp(pc: Weak<Pc>, _w: Weak<UdpSocket>, sock: Arc<UdpSocket>, to: SocketAddr) {
    let mut buf = vec![0u8; 2048];
    loop {
        let Ok(r) = tokio::time::timeout(Duration::from_secs(1), sock.recv_from(&mut buf)).await else {
            match pc.upgrade() { Some(p) if !p.stop.load(Acquire) => continue, _ => return }
        };
        let Some(p) = pc.upgrade() else { return };
        if p.stop.load(Acquire) { return; }
        if let Ok((n, from)) = r { p.input(Protocol::Udp, from, to, &buf[..n]) }
    }
}

/// Timers and callbacks. Callbacks run here, in order, with no lock of ours held except the callback's own.
async fn drive(weak: Weak<Pc>) {
    loop {
        let Some(pc) = weak.upgrade() else { return };
        loop {
            let ev = pc.core.lock().events.pop_front();
            let Some(ev) = ev else { break };
            pc.dispatch(ev);
        }
        if pc.stop.load(Acquire) { return; }
        let (mut at, down) = { let g = pc.core.lock(); (g.deadline, g.down_since) };
        if let Some(d) = down { at = at.min(d + FAIL_AFTER); }
        let far = Instant::now() + Duration::from_secs(5);
        let at = at.min(far);
        let p2 = pc.clone();
        drop(pc);
        // the Arc is only kept while parked on its Notify; a dropped connection is noticed within 5 s
        tokio::select! {
            _ = p2.wake.notified() => {}
            _ = tokio::time::sleep_until(at.into()) => {
                let mut g = p2.core.lock();
                if !g.closed {
                    let now = Instant::now();
                    if g.down_since.is_some_and(|d| now - d >= FAIL_AFTER) { g.down_since = None; g.ice = IceConnectionState::Failed; g.events.push_back(Ev::Ice(IceConnectionState::Failed)); g.set_conn(PeerConnectionState::Failed); }
                    let _ = g.rtc.handle_input(Input::Timeout(now));
                    p2.pump(&mut g);
                }
            }
        }
        if Arc::strong_count(&p2) == 1 { p2.close(); }
    }
}
impl Pc {
    fn dispatch(&self, ev: Ev) {
        macro_rules! call { ($f:ident, $v:expr) => {{ let f = self.cbs.lock().$f.take(); if let Some(mut f) = f { f($v); let mut c = self.cbs.lock(); if c.$f.is_none() { c.$f = Some(f) } } }} }
        macro_rules! dcall { ($d:expr, $f:ident, $v:expr) => {{ let f = $d.cbs.lock().$f.take(); if let Some(mut f) = f { f($v); let mut c = $d.cbs.lock(); if c.$f.is_none() { c.$f = Some(f) } } }} }
        match ev {
            Ev::Conn(s) => call!(connection, s),
            Ev::Ice(s) => call!(ice, s),
            Ev::Gather(s) => call!(gathering, s),
            Ev::Sig(s) => call!(signaling, s),
            Ev::Cand(c) => {
                // candidates found before a handler exists must not be lost
                call!(candidate, c)
            }
            Ev::Channel(d) => call!(data_channel, d),
            Ev::Track(t) => call!(track, t),
            Ev::Negotiate => call!(negotiation, 0),
            Ev::DcState(d, s) => dcall!(d, state, s),
            Ev::DcSent(d, n) => dcall!(d, buffered, n),
            Ev::DcMsg(d, data, binary) => {
                let mut c = d.cbs.lock();
                if c.message.is_none() { c.early.push((data, binary)); if c.early.len() > 1024 { c.early.remove(0); } return; }
                drop(c);
                dcall!(d, message, DataBuffer { data: &data, binary })
            }
        }
    }
}

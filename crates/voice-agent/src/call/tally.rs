//! Counts what becomes of the transfers of a call, and how long the person waits.

use std::sync::Arc;

use transfer_core::Verdict;

use super::{
    handover::Audience,
    latency::TurnLatency,
    state::{Outcome, Output},
};
use crate::{conversation::Heard, metrics::Metrics};

/// Follows a call by what its state machine wants done.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: Arc<Metrics>,
    /// Caller and target talk, in the room: the transfer is counted before the call ends.
    together: bool,
}

impl Tally {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            together: false,
        }
    }

    pub(super) fn output(&mut self, output: &Output) {
        let verdict = match output {
            Output::Think(Heard::TransferFailed(cause)) => Verdict::Failed(*cause),
            Output::Think(Heard::TransferUnconfirmed(doubt)) => Verdict::Unconfirmed(*doubt),
            Output::Audience(Audience::Together) if !self.together => {
                self.together = true;
                Verdict::Connected
            }
            Output::End(Outcome::Transferred(verdict)) if !self.together => *verdict,
            Output::Dial
            | Output::Think(_)
            | Output::Say(..)
            | Output::Finish(_)
            | Output::Fill(_)
            | Output::StopSpeaking
            | Output::PauseSpeaking
            | Output::ResumeSpeaking
            | Output::Refer { .. }
            | Output::CallTarget { .. }
            | Output::PressKeys { .. }
            | Output::KeepNote { .. }
            | Output::DismissTarget(_)
            | Output::Audience(_)
            | Output::End(_) => return,
        };
        self.metrics.transfer_ended(verdict);
    }

    pub(super) fn turn(&self, turn: &TurnLatency) {
        let stages = [
            ("transcription_delay", Some(turn.transcription_delay)),
            ("llm_ttft", turn.ttft),
            ("answer", Some(turn.answer)),
            ("tts_ttfb", Some(turn.ttfb)),
            ("queued", Some(turn.queued)),
            ("e2e", Some(turn.total)),
        ];
        for (stage, time) in stages {
            if let Some(time) = time {
                self.metrics.waited(stage, time);
            }
        }
    }
}

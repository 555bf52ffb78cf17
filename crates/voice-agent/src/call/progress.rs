//! Tells how far the call has come, to whoever waits for its end (`dialer --wait`): as attributes of our
//! participant, and for a call with an idempotency key as the metadata of its room.

use std::collections::HashMap;

use livekit::participant::LocalParticipant;
use tokio::sync::{mpsc, watch};
use tracing::debug;
use transfer_core::{CallOutcome, CallProgress, Verdict};

use super::{
    attributes::CallStatus,
    state::{Direction, Input, Outcome, Output},
};
use crate::conversation::Heard;

/// Follows the call by what its state machine is given and what it wants done.
#[derive(Debug)]
pub(super) struct Progress {
    now: watch::Sender<CallProgress>,
}

impl Progress {
    pub(super) fn new(direction: Direction) -> Self {
        let start = match direction {
            Direction::Outbound => CallProgress::Dialing,
            Direction::Inbound => CallProgress::Answered,
        };
        Self {
            now: watch::Sender::new(start),
        }
    }

    /// What [`publish`] needs. It may miss a state that the call has left meanwhile, but not the last.
    pub(super) fn follow(&self) -> watch::Receiver<CallProgress> {
        self.now.subscribe()
    }

    pub(super) fn input(&self, input: &Input) {
        match input {
            Input::Phone {
                status: CallStatus::Ringing,
                ..
            } => self.step(CallProgress::Dialing, CallProgress::Ringing),
            Input::Dialed(Ok(_)) => {
                self.step(CallProgress::Dialing, CallProgress::Answered);
                self.step(CallProgress::Ringing, CallProgress::Answered);
            }
            Input::Joined
            | Input::Audible
            | Input::Dialed(Err(_))
            | Input::Phone { .. }
            | Input::PhoneLeft
            | Input::TargetLeft
            | Input::Key { .. }
            | Input::SpeechStarted
            | Input::SpeechEnded { .. }
            | Input::Unrecognised
            | Input::Turn { .. }
            | Input::Sentence(_)
            | Input::Replied(_)
            | Input::Sounds(_)
            | Input::Underrun(_)
            | Input::Spoke(_)
            | Input::Unspoken(_)
            | Input::Noted { .. }
            | Input::Transferred(_)
            | Input::TargetCalled(_)
            | Input::RoomLost
            | Input::HangUp => {}
        }
    }

    pub(super) fn output(&self, output: &Output) {
        match output {
            Output::Refer { .. } | Output::CallTarget { .. } => {
                self.step(CallProgress::Answered, CallProgress::Transferring);
            }
            Output::Think(Heard::TransferFailed(_) | Heard::TransferUnconfirmed(_)) => {
                self.step(CallProgress::Transferring, CallProgress::Answered);
            }
            Output::End(outcome) => {
                let end = CallProgress::Ended(outcome_of(*outcome));
                self.now.send_replace(end);
            }
            Output::Dial
            | Output::KeepNote { .. }
            | Output::Think(_)
            | Output::Say(..)
            | Output::Finish(_)
            | Output::Fill(_)
            | Output::StopSpeaking
            | Output::PauseSpeaking
            | Output::ResumeSpeaking
            | Output::PressKeys { .. }
            | Output::DismissTarget(_)
            | Output::Audience(_) => {}
        }
    }

    /// Goes from `from` to `to`, and stays where it is if it is elsewhere.
    fn step(&self, from: CallProgress, to: CallProgress) {
        self.now.send_if_modified(|now| {
            let steps = *now == from;
            if steps {
                *now = to;
            }
            steps
        });
    }
}

/// The outcome as the other side knows it.
pub(crate) fn outcome_of(outcome: Outcome) -> CallOutcome {
    match outcome {
        Outcome::NotAnswered(cause) => CallOutcome::NotAnswered(cause),
        Outcome::Transferred(Verdict::Connected) => CallOutcome::Transferred,
        Outcome::Transferred(Verdict::Unconfirmed(_)) => CallOutcome::LeftUnconfirmed,
        Outcome::Transferred(Verdict::Failed(_)) | Outcome::PhoneLeft => CallOutcome::CalleeHungUp,
        Outcome::AgentHungUp => CallOutcome::AgentHungUp,
        Outcome::AnsweredByMachine { message_left } => {
            CallOutcome::AnsweredByMachine { message_left }
        }
        Outcome::RoomLost => CallOutcome::Lost,
        Outcome::Terminated => CallOutcome::CutOff,
    }
}

/// Writes the call's progress to our participant's attributes until the end is written.
///
/// `ended` is dropped then. A state that cannot be written costs the waiting side that state only.
pub(super) async fn publish(
    me: LocalParticipant,
    mut progress: watch::Receiver<CallProgress>,
    ended: mpsc::Sender<()>,
) {
    progress.mark_changed();
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        let attributes: HashMap<_, _> = now
            .to_attributes()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        match me.set_attributes(attributes).await {
            Ok(()) => debug!(progress = ?now, "progress told"),
            Err(error) => debug!(%error, progress = ?now, "cannot tell the progress"),
        }
        if matches!(now, CallProgress::Ended(_)) {
            break;
        }
    }
    drop(ended);
}

#[cfg(test)]
mod tests {
    use transfer_core::{DialFailure, ReferTarget, TransferAnswer, TransferFailure};

    use super::*;
    use crate::call::state::Dialed;

    fn phone(status: CallStatus) -> Input {
        Input::Phone {
            identity: "sip_+15550001234".to_owned(),
            status,
        }
    }

    fn transfer() -> Output {
        Output::Refer {
            identity: "sip_+15550001234".to_owned(),
            target: ReferTarget::new("+15550009999".parse().unwrap(), None),
            request: String::new(),
        }
    }

    #[test]
    fn a_call_goes_from_dialing_to_its_end() {
        let progress = Progress::new(Direction::Outbound);
        let seen = progress.follow();
        let now = || *seen.borrow();

        assert_eq!(now(), CallProgress::Dialing);
        progress.input(&phone(CallStatus::Dialing));
        assert_eq!(now(), CallProgress::Dialing);
        progress.input(&phone(CallStatus::Ringing));
        assert_eq!(now(), CallProgress::Ringing);
        progress.input(&Input::Dialed(Ok(Dialed::Answered)));
        assert_eq!(now(), CallProgress::Answered);
        progress.input(&phone(CallStatus::Ringing));
        assert_eq!(now(), CallProgress::Answered, "a late event of the phone");
        progress.output(&transfer());
        assert_eq!(now(), CallProgress::Transferring);
        progress.input(&Input::Transferred(TransferFailure::TargetBusy.into()));
        assert_eq!(
            now(),
            CallProgress::Transferring,
            "there may be a next attempt"
        );
        let failed = Heard::TransferFailed(TransferFailure::TargetBusy);
        progress.output(&Output::Think(failed));
        assert_eq!(now(), CallProgress::Answered);
        progress.output(&transfer());
        progress.input(&Input::Transferred(TransferAnswer::Success(None)));
        assert_eq!(now(), CallProgress::Transferring);
        progress.output(&Output::End(Outcome::Transferred(Verdict::Connected)));
        assert_eq!(now(), CallProgress::Ended(CallOutcome::Transferred));
        progress.input(&phone(CallStatus::Hangup));
        assert_eq!(now(), CallProgress::Ended(CallOutcome::Transferred));
    }

    #[test]
    fn a_call_that_nobody_answered_ends_with_its_cause() {
        let progress = Progress::new(Direction::Outbound);
        progress.input(&Input::Dialed(Err(DialFailure::Busy)));
        progress.output(&Output::End(Outcome::NotAnswered(DialFailure::Busy)));
        assert_eq!(
            *progress.follow().borrow(),
            CallProgress::Ended(CallOutcome::NotAnswered(DialFailure::Busy))
        );
    }
}

//! Presses keys on somebody's line.

use livekit::{SipDTMF, participant::LocalParticipant};
use tokio::{sync::mpsc, time::sleep};
use tracing::{info, warn};

use super::attributes::masked_identity;
use crate::conversation::{Keys, Stroke};

/// Keys for one phone.
#[derive(Debug)]
pub(super) struct Press {
    /// Of the phone's participant.
    pub(super) identity: String,
    pub(super) keys: Keys,
}

/// Presses one row of keys after the other, until nobody wants any more.
///
/// LiveKit's SIP service makes an RFC 4733 event of each key. Of a row in which a key is lost nothing more is pressed: the
/// rest would be another row.
pub(super) async fn press(me: LocalParticipant, mut presses: mpsc::Receiver<Press>) {
    while let Some(Press { identity, keys }) = presses.recv().await {
        let to = masked_identity(&identity);
        let mut pressed = 0;
        for stroke in keys.strokes() {
            if let Stroke::Key(key) = stroke {
                let dtmf = SipDTMF {
                    code: key.event_code(),
                    digit: char::from(key).to_string(),
                    destination_identities: vec![identity.clone().into()],
                };
                if let Err(error) = me.publish_dtmf(dtmf).await {
                    warn!(%error, to, "a key could not be pressed, the rest is left out");
                    break;
                }
                pressed += 1;
            }
            sleep(stroke.duration()).await;
        }
        // Which ones may be a secret.
        info!(to, keys = pressed, "keys pressed");
    }
}

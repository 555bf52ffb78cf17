//! What upstream has beside the W3C API, as far as `livekit` uses it.

pub mod frame_cryptor;
pub mod packet_trailer;

/// A random UUID (version 4).
pub fn create_random_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

//! Waiting for a condition: poll often, give up late.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long anything may take before it counts as broken.
///
/// Everything waited for takes a second or two, a spoken sentence a few; reaching this means a bug.
/// Longer only makes a failure slower to report; shorter fails on a machine that is busy building.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Why a condition does not hold.
#[derive(Debug)]
pub enum Unmet {
    /// Ask again; the text says what was seen.
    NotYet(String),
    /// It never will.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Unmet {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Polls `condition` until it gives a value.
///
/// # Errors
///
/// When the condition fails for good, or after `limit` with what was last seen.
pub async fn wait_for_condition<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, Unmet>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(Unmet::Failed(error)) => {
                return Err(error).with_context(|| format!("waiting for {what}"));
            }
            Err(Unmet::NotYet(seen)) if start.elapsed() >= limit => {
                bail!("waited {limit:?} for {what}; last seen: {seen}");
            }
            Err(Unmet::NotYet(_)) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_never_holds_reports_what_was_last_seen() {
        let mut polls = 0;
        let error = wait_for_condition("rain", Duration::from_millis(50), async || {
            polls += 1;
            Err::<(), _>(Unmet::NotYet("sunshine".to_owned()))
        })
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "waited 50ms for rain; last seen: sunshine"
        );
        assert!(polls > 1);
    }

    #[tokio::test]
    async fn a_failure_ends_the_wait_at_once() {
        let error = wait_for_condition("rain", LIMIT, async || {
            Err::<(), _>(Unmet::from(anyhow::anyhow!("desert")))
        })
        .await
        .unwrap_err();
        assert_eq!(format!("{error:#}"), "waiting for rain: desert");
    }
}

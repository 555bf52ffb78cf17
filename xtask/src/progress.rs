//! What a long task is doing: a live line on a terminal, plain lines elsewhere.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a task without a terminal says that it goes on.
///
/// Shorter fills the logs of automatic builds; longer looks like a hang.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

pub(crate) struct Progress {
    name: String,
    started: Instant,
    bar: ProgressBar,
    last_plain: Cell<Instant>,
}

impl Progress {
    /// Says that `name` starts, by doing `what`.
    pub(crate) fn start(name: impl Into<String>, what: &str) -> Self {
        let name = name.into();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        println!("{name}: {what}");
        let style = "{spinner} {prefix} {elapsed} {wide_msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.set_prefix(name.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            name,
            started: Instant::now(),
            bar,
            last_plain: Cell::new(Instant::now()),
        }
    }

    /// What is being done right now.
    pub(crate) fn at(&self, detail: &str) {
        self.bar.set_message(detail.to_owned());
        self.plain(detail);
    }

    /// `done` of `total` bytes have come.
    pub(crate) fn bytes(&self, done: u64, total: u64) {
        const BAR: &str = "  {prefix} {elapsed} [{wide_bar}] {bytes} of {total_bytes}";
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar
                .set_style(ProgressStyle::with_template(BAR).expect("the template is valid"));
        }
        self.bar.set_position(done);
        self.plain(&format!("{} of {}", HumanBytes(done), HumanBytes(total)));
    }

    /// Says how it ended, and after how long.
    pub(crate) fn done(self, how: &str) {
        self.bar.finish_and_clear();
        println!("{}: {how} ({})", self.name, seconds(self.started.elapsed()));
    }

    fn plain(&self, detail: &str) {
        if self.bar.is_hidden() && self.last_plain.get().elapsed() >= PLAIN_INTERVAL {
            self.last_plain.set(Instant::now());
            println!("{}: {detail}", self.name);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// As people say it: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_they_need_to_be() {
        let check = |millis, expect| assert_eq!(seconds(Duration::from_millis(millis)), expect);
        check(432, "0.4 s");
        check(12_345, "12 s");
        check(185_999, "3 min 05 s");
    }
}

//! What a running program did, as a growing list that can be waited on.

use std::{fmt, time::Duration};

use anyhow::bail;
use tokio::sync::watch;

use crate::wait::LIMIT;

/// How many of the latest entries an error shows.
const SHOWN: usize = 12;

/// The reading end; clones see the same entries.
#[derive(Clone)]
pub struct Journal<E> {
    of: String,
    entries: watch::Receiver<Vec<E>>,
}

/// The writing end. Dropping it says that nothing more will come.
pub struct Writer<E>(watch::Sender<Vec<E>>);

/// Makes the journal of the program named `of`.
pub fn journal<E>(of: impl Into<String>) -> (Writer<E>, Journal<E>) {
    let (sender, entries) = watch::channel(Vec::new());
    let of = of.into();
    (Writer(sender), Journal { of, entries })
}

impl<E> Writer<E> {
    pub fn write(&self, entry: E) {
        self.0.send_modify(|entries| entries.push(entry));
    }
}

impl<E: Clone + fmt::Debug> Journal<E> {
    /// Number of entries so far: a mark for [`Journal::find_after`].
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything written so far.
    pub fn entries(&self) -> Vec<E> {
        self.entries.borrow().clone()
    }

    /// Everything that `pick` takes, so far.
    pub fn all<T>(&self, pick: impl Fn(&E) -> Option<T>) -> Vec<T> {
        self.all_after(0, pick)
    }

    /// Everything at or after position `from` that `pick` takes, so far.
    pub fn all_after<T>(&self, from: usize, pick: impl Fn(&E) -> Option<T>) -> Vec<T> {
        let entries = self.entries.borrow();
        entries.iter().skip(from).filter_map(pick).collect()
    }

    /// Gives every entry to `see`, those that are there and those to come, until the program ends.
    pub async fn follow(mut self, mut see: impl FnMut(&E)) {
        let mut seen = 0;
        loop {
            for entry in self.entries.borrow_and_update().iter().skip(seen) {
                see(entry);
                seen += 1;
            }
            if self.entries.changed().await.is_err() {
                return;
            }
        }
    }

    /// Position of the first entry at or after `from` that `is_it` takes, if it was written yet.
    pub fn position_after(&self, from: usize, is_it: impl Fn(&E) -> bool) -> Option<usize> {
        let entries = self.entries.borrow();
        entries
            .iter()
            .skip(from)
            .position(is_it)
            .map(|at| from + at)
    }

    /// Waits for the first entry that `pick` takes.
    ///
    /// # Errors
    ///
    /// When the program ended or [`LIMIT`] passed without one; says what came instead.
    pub async fn find<T>(&self, what: &str, pick: impl Fn(&E) -> Option<T>) -> anyhow::Result<T> {
        self.find_after(0, what, LIMIT, pick).await
    }

    /// Waits for the first entry at or after position `from` that `pick` takes.
    ///
    /// # Errors
    ///
    /// As [`Journal::find`], after `limit`.
    pub async fn find_after<T>(
        &self,
        from: usize,
        what: &str,
        limit: Duration,
        pick: impl Fn(&E) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut found = None;
        let mut looked_at = from;
        let mut receiver = self.entries.clone();
        let outcome = tokio::time::timeout(
            limit,
            receiver.wait_for(|entries| {
                found = entries.iter().skip(looked_at).find_map(&pick);
                looked_at = entries.len().max(from);
                found.is_some()
            }),
        )
        .await
        .map(|waited| waited.map(|_| ()));

        let why = match (outcome, found) {
            (_, Some(value)) => return Ok(value),
            (Ok(_), None) => "ended".to_owned(),
            (Err(_), None) => format!("went {limit:?}"),
        };
        let entries = self.entries.borrow();
        let latest = &entries[entries.len().saturating_sub(SHOWN)..];
        bail!("{} {why} without {what}; latest: {latest:#?}", self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_entry_that_is_already_there_is_found() {
        let (writer, journal) = journal("clock");
        writer.write(1);
        writer.write(2);
        let even = journal
            .find("an even number", |n| (n % 2 == 0).then_some(*n))
            .await
            .unwrap();
        assert_eq!(even, 2);
    }

    #[tokio::test]
    async fn a_program_that_ends_is_not_waited_for() {
        let (writer, journal) = journal("clock");
        writer.write(1);
        drop(writer);
        let error = journal
            .find("an even number", |n| (n % 2 == 0).then_some(*n))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("clock ended without an even number; latest: [\n    1,"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn entries_before_the_mark_do_not_count() {
        let (writer, journal) = journal("clock");
        writer.write(2);
        let mark = journal.len();
        writer.write(3);
        writer.write(4);
        let even = journal
            .find_after(mark, "an even number", LIMIT, |n| {
                (n % 2 == 0).then_some(*n)
            })
            .await
            .unwrap();
        assert_eq!(even, 4);
    }
}

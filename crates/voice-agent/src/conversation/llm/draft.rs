//! A model's answer while it is written.

use std::time::Instant;

use speech::clauses;

use super::super::{Listener, Told, sentences::Sentences};

/// Characters of what is told at once, at least: a voice says "Sure." better with the sentence that follows.
const SHORTEST: usize = 20;

/// Tells an answer sentence by sentence.
pub(super) struct Draft<'a> {
    to: &'a Listener,
    has_begun: bool,
    unsaid: Sentences,
    is_told: bool,
    /// What was told since the last tool was called.
    since_tools: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(to: &'a Listener) -> Self {
        Self {
            to,
            has_begun: false,
            unsaid: Sentences::default(),
            is_told: false,
            since_tools: Vec::new(),
        }
    }

    /// The model has answered something.
    pub(super) async fn begins(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.to.tell(Told::FirstToken(Instant::now())).await;
        }
    }

    pub(super) fn write(&mut self, text: &str) {
        self.unsaid.push(text);
    }

    /// Tells the sentences that are complete.
    pub(super) async fn tell_sentences(&mut self) {
        while let Some(sentence) = self.unsaid.take(SHORTEST) {
            self.tell(sentence).await;
        }
    }

    /// Tells all that is written, if there are words in it.
    pub(super) async fn tell_rest(&mut self) {
        let rest = self.unsaid.rest();
        if let Some(rest) = rest.filter(|rest| clauses(rest).next().is_some()) {
            self.tell(rest).await;
        }
    }

    /// Takes what is written and was not told.
    pub(super) fn rest(&mut self) -> Option<String> {
        self.unsaid.rest()
    }

    /// Takes the sentences that are complete, and were too short to be told by themselves.
    pub(super) fn complete(&mut self) -> Option<String> {
        let sentences: Vec<_> = std::iter::from_fn(|| self.unsaid.take(0)).collect();
        joined(&sentences)
    }

    /// Waits until what is answered was really said.
    pub(super) async fn meant(&self) {
        self.to.meant().await;
    }

    /// The model has called a tool that answers it. Takes what it said before; what was not told is dropped.
    pub(super) fn calls_tool(&mut self) -> Option<String> {
        self.unsaid = Sentences::default();
        joined(&std::mem::take(&mut self.since_tools))
    }

    /// Whether something was told.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Whether something was told since a tool was called last, if one was.
    pub(super) fn is_told_since_tools(&self) -> bool {
        !self.since_tools.is_empty()
    }

    async fn tell(&mut self, sentence: String) {
        self.is_told = true;
        self.since_tools.push(sentence.clone());
        self.to.tell(Told::Sentence(sentence)).await;
    }
}

fn joined(sentences: &[String]) -> Option<String> {
    Some(sentences.join(" ")).filter(|text| !text.is_empty())
}

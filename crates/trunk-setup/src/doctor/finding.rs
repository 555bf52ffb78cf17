//! What a check found.

use serde::Serialize;

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    Environment,
    Livekit,
    Clock,
    SipService,
    Trunk,
    Dns,
    Options,
    Digest,
    Numbers,
    Refer,
    Worker,
    LanguageModel,
}

impl Check {
    /// Returns the word for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Livekit => "livekit",
            Self::Clock => "clock",
            Self::SipService => "sip service",
            Self::Trunk => "trunk",
            Self::Dns => "dns",
            Self::Options => "options",
            Self::Digest => "digest",
            Self::Numbers => "numbers",
            Self::Refer => "refer",
            Self::Worker => "worker",
            Self::LanguageModel => "language model",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    Warn,
    Failed,
    Skipped,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) status: Status,
    /// What is the case; for a check that failed, the cause.
    pub(crate) cause: String,
    /// What was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

impl Finding {
    fn new(check: Check, status: Status, cause: impl Into<String>) -> Self {
        Self {
            check,
            status,
            cause: cause.into(),
            evidence: Vec::new(),
            fix: None,
        }
    }

    pub(crate) fn ok(check: Check, cause: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, cause)
    }

    pub(crate) fn warn(check: Check, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Status::Warn, cause).with_fix(fix)
    }

    pub(crate) fn failed(check: Check, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Status::Failed, cause).with_fix(fix)
    }

    pub(crate) fn skipped(check: Check, reason: impl Into<String>) -> Self {
        Self::new(check, Status::Skipped, reason)
    }

    pub(crate) fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

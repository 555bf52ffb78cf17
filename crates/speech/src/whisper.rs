//! Speech recognition: Whisper in pure Rust, from a CTranslate2 model.

mod ctranslate2;
mod kernels;
mod mel;
mod network;
mod tokens;

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use crate::{
    HEARING_RATE,
    lane::lane,
    models::{LoadError, read, read_json},
};
use ctranslate2::Weights;
use mel::LogMel;
use network::{Decoder, Encoder};
use tokens::{Token, TokenizerFile, Vocabulary, encode};

/// What Whisper is told to have written before, in [`Pass::Second`].
///
/// It shows the spelling we like: numbers as words, in groups. Its own number is too short to be a
/// phone number anywhere, so it cannot be taken for one if it leaks into a transcript.
const PROMPT: &str = " Transfer me to a live agent. Plus three, double seven, four nine, two six. \
                      No thank you. Yes please. Cancel that.";

/// Tokens that any utterance may have, and those that each second may add.
///
/// Whisper repeats itself when the window is short; nobody speaks faster than this.
const TOKENS: usize = 8;
const TOKENS_PER_SECOND: f64 = 6.0;

/// The encoder's frames in a second.
const FRAMES_PER_SECOND: f64 = 50.0;

/// How to listen: the two ways fail differently, so that a number on which they agree is rarely wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// A window of 15 s and nothing said about the content: the faster one.
    First,
    /// A window of 20 s and an example of how numbers are written.
    Second,
}

impl Pass {
    /// Encoder frames of 20 ms. Below 768 Whisper repeats itself, with a prompt below 1024.
    fn frames(self) -> usize {
        match self {
            Self::First => 768,
            Self::Second => 1024,
        }
    }
}

/// What was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// As Whisper spells it; empty when nobody spoke.
    pub text: String,
    /// Mean log probability of the tokens; below -1 the text is little more than a guess.
    pub confidence: f32,
    /// Whisper's own estimate, 0 to 1, that nobody spoke. It is a weak one.
    pub no_speech: f32,
}

impl Transcript {
    /// Whether somebody spoke at all, by the two signs together, as OpenAI's implementation has it.
    pub fn is_speech(&self) -> bool {
        let invented = self.no_speech > 0.6 && self.confidence < -1.0;
        !self.text.is_empty() && !invented
    }
}

/// Inference failed, which no audio should be able to cause.
#[derive(Debug, thiserror::Error)]
#[error("Whisper cannot transcribe {seconds:.1} s of audio")]
pub struct TranscribeError {
    seconds: f64,
    source: candle_core::Error,
}

/// A Whisper model, loaded once and shared by all calls.
pub struct Whisper {
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    prompt: Vec<Token>,
    /// By token: never to be written.
    suppressed: Vec<bool>,
    /// Not to be written first.
    suppressed_first: Vec<Token>,
}

/// CTranslate2's `config.json`, the parts that are used.
#[derive(Deserialize)]
struct Config {
    suppress_ids: Vec<Token>,
    suppress_ids_begin: Vec<Token>,
}

impl Whisper {
    /// Loads `model.bin` (float16 or float32), `tokenizer.json` and `config.json` from a folder.
    ///
    /// Takes any CTranslate2 Whisper of the 80-band generation (tiny to large-v2), English or
    /// multilingual; the latter listens for English.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let weights_path = dir.join("model.bin");
        let bad_weights = |source| LoadError::malformed(&weights_path, source);
        let mut weights = Weights::read(&read(&weights_path)?).map_err(bad_weights)?;
        let encoder = Encoder::new(&mut weights).map_err(bad_weights)?;
        let decoder = Decoder::new(&mut weights).map_err(bad_weights)?;
        let tokens = decoder.vocabulary_size();

        let tokenizer_path = dir.join("tokenizer.json");
        let tokenizer: TokenizerFile = read_json(&tokenizer_path)?;
        let vocabulary = Vocabulary::new(&tokenizer, tokens)
            .map_err(|source| LoadError::malformed(&tokenizer_path, source))?;

        let config: Config = read_json(&dir.join("config.json"))?;
        let mut suppressed = vec![false; tokens];
        for token in config.suppress_ids {
            if let Some(slot) = suppressed.get_mut(token as usize) {
                *slot = true;
            }
        }
        // Special tokens and timestamps come after the end of text, which must stay.
        suppressed[vocabulary.special.end_of_text as usize + 1..].fill(true);
        suppressed[vocabulary.special.end_of_text as usize] = false;

        Ok(Self {
            mel: LogMel::new(encoder.mel_bands()),
            encoder,
            decoder,
            prompt: encode(&tokenizer, PROMPT),
            vocabulary,
            suppressed,
            suppressed_first: config.suppress_ids_begin,
        })
    }

    /// Writes down what was said in `pcm`: 16 kHz mono, full scale 1, at most 30 s, the rest is not heard.
    ///
    /// Blocks for a few tenths of a second on the calling thread and uses that one only.
    ///
    /// # Errors
    ///
    /// Only when the model contradicts itself, such as weights of the wrong shape.
    pub fn transcribe(&self, pcm: &[f32], pass: Pass) -> Result<Transcript, TranscribeError> {
        lane()
            .run(|| self.decode(pcm, pass))
            .map_err(|source| TranscribeError {
                seconds: pcm.len() as f64 / f64::from(HEARING_RATE),
                source,
            })
    }

    fn decode(&self, pcm: &[f32], pass: Pass) -> candle_core::Result<Transcript> {
        let seconds = pcm.len() as f64 / f64::from(HEARING_RATE);
        let needed = (seconds * FRAMES_PER_SECOND).ceil() as usize;
        let frames = pass.frames().max(needed).min(self.encoder.max_frames());
        let mel = Tensor::from_vec(
            self.mel.compute(pcm, frames * 2),
            (1, self.mel.bands(), frames * 2),
            &Device::Cpu,
        )?;
        let audio = self.encoder.forward(&mel)?;
        let mut memory = self.decoder.remember(&audio)?;

        let special = self.vocabulary.special;
        let mut next = Vec::new();
        if pass == Pass::Second {
            next.push(special.start_of_previous);
            next.extend(&self.prompt);
        }
        let start = next.len();
        next.push(special.start_of_transcript);
        next.extend(special.english_transcribe.into_iter().flatten());
        next.push(special.no_timestamps);

        let room = self.decoder.max_tokens().saturating_sub(next.len());
        let cap = room.min(TOKENS + (seconds * TOKENS_PER_SECOND) as usize);
        let mut text: Vec<Token> = Vec::new();
        let mut log_probability = 0.0;
        let mut no_speech = 0.0;
        while text.len() < cap {
            let states = self.decoder.read(&mut memory, &next)?;
            if text.is_empty() {
                let scores = self.decoder.scores(&states, start)?;
                no_speech = log_softmax(&scores, special.no_speech).exp();
            }
            let mut scores = self.decoder.scores(&states, next.len() - 1)?;
            for (score, &suppressed) in scores.iter_mut().zip(&self.suppressed) {
                if suppressed {
                    *score = f32::NEG_INFINITY;
                }
            }
            if text.is_empty() {
                for &token in &self.suppressed_first {
                    if let Some(score) = scores.get_mut(token as usize) {
                        *score = f32::NEG_INFINITY;
                    }
                }
            }
            let best = best(&scores);
            log_probability += log_softmax(&scores, best);
            if best == special.end_of_text {
                break;
            }
            text.push(best);
            next = vec![best];
        }
        Ok(Transcript {
            text: without_repetition(&self.vocabulary.decode(&text)),
            confidence: log_probability / (text.len() + 1) as f32,
            no_speech,
        })
    }
}

fn best(scores: &[f32]) -> Token {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token as Token)
}

fn log_softmax(scores: &[f32], token: Token) -> f32 {
    let peak = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - peak).exp()).sum();
    scores[token as usize] - peak - sum.ln()
}

/// Drops sentences that repeat the one before and words that come a third time, which is how Whisper
/// fills a window that is too long.
///
/// Single words and numbers stay: "No. No." is said, and so is "Five five. Five five."
fn without_repetition(text: &str) -> String {
    let words = |sentence: &str| {
        sentence
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    let mut kept: Vec<&str> = Vec::new();
    for sentence in text.split_inclusive(['.', '?', '!']) {
        let ours = words(sentence);
        let may_be_dropped = ours.len() > 1 && ours.iter().any(|word| !is_number(word));
        let repeats = kept.last().is_some_and(|previous| words(previous) == ours);
        if !(may_be_dropped && repeats) {
            kept.push(sentence);
        }
    }
    let mut words_kept: Vec<&str> = Vec::new();
    let kept = kept.concat();
    for word in kept.split_whitespace() {
        let repeats = |earlier: &&str| words(earlier) == words(word);
        let twice_before =
            words_kept.len() > 1 && words_kept[words_kept.len() - 2..].iter().all(repeats);
        if !(twice_before && words(word).iter().all(|word| !is_number(word))) {
            words_kept.push(word);
        }
    }
    words_kept.join(" ")
}

fn is_number(word: &str) -> bool {
    const NAMES: [&str; 14] = [
        "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
        "double", "triple", "plus",
    ];
    NAMES.contains(&word) || word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_sentences_are_dropped_and_repeated_digits_are_not() {
        let check = |text: &str, expect: &str| assert_eq!(without_repetition(text), expect);
        check(
            "Transfer me to a live agent. Transfer me to a live agent. Transfer me to",
            "Transfer me to a live agent. Transfer me to",
        );
        check(
            "Transfer me, please. transfer me please!",
            "Transfer me, please.",
        );
        check("No. No.", "No. No.");
        check("Five. Five. Five.", "Five. Five. Five.");
        check("5.5.5.", "5.5.5.");
        check("Yeah, yeah, yeah, yeah", "Yeah, yeah,");
        check("five five five five", "five five five five");
        check("Five five. Five five.", "Five five. Five five.");
        check("Transfer me. Transfer me. Transfer me.", "Transfer me.");
        check("", "");
    }

    #[test]
    fn the_best_token_and_its_probability() {
        let scores = [0.0, f32::NEG_INFINITY, 2.0f32.ln()];
        assert_eq!(best(&scores), 2);
        assert!((log_softmax(&scores, 2).exp() - 2.0 / 3.0).abs() < 1e-6);
    }
}

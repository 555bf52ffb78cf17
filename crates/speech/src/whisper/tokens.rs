//! Whisper's byte-level tokens.

use std::collections::HashMap;

use serde::Deserialize;

pub(super) type Token = u32;

/// What is wrong with a `tokenizer.json`.
#[derive(Debug, thiserror::Error)]
pub(super) enum VocabularyError {
    #[error("the special token `{0}` is missing")]
    NoSpecialToken(&'static str),
    #[error("token {0} is out of range")]
    OutOfRange(u64),
}

/// Hugging Face's `tokenizer.json`, the parts that are used.
#[derive(Deserialize)]
pub(super) struct TokenizerFile {
    added_tokens: Vec<AddedToken>,
    model: BytePairs,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct BytePairs {
    vocab: HashMap<String, u64>,
    merges: Vec<Merge>,
}

/// `"Ġ t"`, or `["Ġ", "t"]` in files of newer tools.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

/// Tokens with a meaning of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Special {
    pub(super) end_of_text: Token,
    pub(super) start_of_transcript: Token,
    pub(super) start_of_previous: Token,
    pub(super) no_speech: Token,
    pub(super) no_timestamps: Token,
    /// Of multilingual models: English, and "transcribe" as opposed to "translate".
    pub(super) english_transcribe: Option<[Token; 2]>,
}

pub(super) struct Vocabulary {
    /// The bytes of every ordinary token; special tokens have none.
    bytes: Vec<Vec<u8>>,
    pub(super) special: Special,
}

/// Multilingual vocabularies begin here; the English ones have fewer tokens.
const MULTILINGUAL: usize = 51_865;

impl Vocabulary {
    pub(super) fn new(file: &TokenizerFile, model_tokens: usize) -> Result<Self, VocabularyError> {
        let special = |names: &[&'static str]| {
            file.added_tokens
                .iter()
                .find(|token| names.contains(&token.content.as_str()))
                .and_then(|token| Token::try_from(token.id).ok())
                .filter(|&token| (token as usize) < model_tokens)
                .ok_or(VocabularyError::NoSpecialToken(names[0]))
        };
        let english_transcribe = if model_tokens >= MULTILINGUAL {
            Some([special(&["<|en|>"])?, special(&["<|transcribe|>"])?])
        } else {
            None
        };
        let special = Special {
            end_of_text: special(&["<|endoftext|>"])?,
            start_of_transcript: special(&["<|startoftranscript|>"])?,
            start_of_previous: special(&["<|startofprev|>"])?,
            no_speech: special(&["<|nospeech|>", "<|nocaptions|>"])?,
            no_timestamps: special(&["<|notimestamps|>"])?,
            english_transcribe,
        };
        let alphabet = byte_alphabet();
        let mut bytes = vec![Vec::new(); special.end_of_text as usize];
        for (text, &id) in &file.model.vocab {
            let index = usize::try_from(id).map_err(|_| VocabularyError::OutOfRange(id))?;
            if index >= model_tokens {
                return Err(VocabularyError::OutOfRange(id));
            }
            if let Some(slot) = bytes.get_mut(index) {
                *slot = text
                    .chars()
                    .filter_map(|c| alphabet.get(&c).copied())
                    .collect();
            }
        }
        Ok(Self { bytes, special })
    }

    pub(super) fn decode(&self, tokens: &[Token]) -> String {
        let bytes: Vec<u8> = tokens
            .iter()
            .filter_map(|&token| self.bytes.get(token as usize))
            .flatten()
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// Encodes plain English (letters, spaces and punctuation) as the byte-pair merges would.
pub(super) fn encode(file: &TokenizerFile, text: &str) -> Vec<Token> {
    let ranks: HashMap<(&str, &str), usize> = file
        .model
        .merges
        .iter()
        .enumerate()
        .filter_map(|(rank, merge)| match merge {
            Merge::Line(line) => line.split_once(' ').map(|pair| (pair, rank)),
            Merge::Pair(left, right) => Some(((left.as_str(), right.as_str()), rank)),
        })
        .collect();
    words(text)
        .iter()
        .flat_map(|word| {
            let mut parts: Vec<String> = word.chars().map(String::from).collect();
            while let Some((_, at)) = parts
                .windows(2)
                .enumerate()
                .filter_map(|(at, pair)| ranks.get(&(&*pair[0], &*pair[1])).map(|rank| (rank, at)))
                .min()
            {
                let right = parts.remove(at + 1);
                parts[at].push_str(&right);
            }
            parts
        })
        .filter_map(|part| file.model.vocab.get(&part).copied())
        .filter_map(|id| Token::try_from(id).ok())
        .collect()
}

/// GPT-2's pre-tokens of ASCII text: a word or a run of punctuation with the space before it, which is
/// written `Ġ`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = ' ';
    for c in text.chars().filter(char::is_ascii) {
        let joins = previous == ' ' && !words.is_empty()
            || (c != ' ' && c.is_alphanumeric() == previous.is_alphanumeric());
        let c_shown = if c == ' ' { 'Ġ' } else { c };
        match words.last_mut() {
            Some(word) if joins && c != ' ' => word.push(c_shown),
            _ => words.push(c_shown.to_string()),
        }
        previous = c;
    }
    words
}

/// GPT-2's printable stand-ins for bytes.
fn byte_alphabet() -> HashMap<char, u8> {
    let mut stand_ins = (256u32..).filter_map(char::from_u32);
    (0..=255u8)
        .map(|byte| {
            let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let shown = if printable {
                char::from(byte)
            } else {
                stand_ins.next().expect("there are 68 characters above 255")
            };
            (shown, byte)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_that_of_gpt_2() {
        let alphabet = byte_alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(alphabet[&'Ġ'], b' ');
        assert_eq!(alphabet[&'Ċ'], b'\n');
        assert_eq!(alphabet[&'a'], b'a');
    }

    #[test]
    fn words_keep_the_space_before_them() {
        assert_eq!(
            words(" Plus one, five."),
            ["ĠPlus", "Ġone", ",", "Ġfive", "."]
        );
        assert_eq!(words("No."), ["No", "."]);
    }

    #[test]
    fn merges_apply_in_order_of_their_rank() {
        let file: TokenizerFile = serde_json::from_value(serde_json::json!({
            "added_tokens": [],
            "model": {
                "vocab": {"o": 1, "n": 2, "e": 3, "on": 4, "ne": 5, "one": 6, "Ġone": 7, "Ġ": 8, "ot": 9, "t": 10},
                "merges": ["o n", ["n", "e"], "on e", "Ġ one"],
            },
        }))
        .unwrap();
        assert_eq!(encode(&file, " one"), [7]);
        assert_eq!(encode(&file, "ne"), [5]);
        assert_eq!(encode(&file, "not"), [2, 1, 10]);
    }
}

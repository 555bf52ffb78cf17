//! Speech synthesis: a Piper voice in pure Rust.

mod clauses;
mod phonemes;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rten::{Model, NodeId, RunOptions};
use rten_tensor::{NdTensor, Tensor, prelude::*};
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use crate::{
    Pcm,
    lane::lane,
    models::{LoadError, read, read_json},
};

pub use clauses::clauses;
pub use phonemes::PhonemesError;

/// A text could not be spoken.
#[derive(Debug, thiserror::Error)]
pub enum SynthesizeError {
    #[error("no phonemes for the text")]
    Phonemes(#[from] PhonemesError),
    #[error("Piper cannot speak {phonemes} phonemes")]
    Inference {
        phonemes: usize,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A Piper voice, loaded once and shared by all calls.
pub struct Piper {
    model: Model,
    nodes: Nodes,
    config: VoiceConfig,
}

struct Nodes {
    input: NodeId,
    input_lengths: NodeId,
    scales: NodeId,
    output: NodeId,
}

/// Piper's `.onnx.json`, the parts that are used.
#[derive(Deserialize)]
struct VoiceConfig {
    audio: Audio,
    espeak: Espeak,
    inference: Inference,
    phoneme_id_map: HashMap<String, Vec<i32>>,
}

#[derive(Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Deserialize)]
struct Espeak {
    voice: String,
}

#[derive(Deserialize)]
struct Inference {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

impl Piper {
    /// Loads the one `.onnx` of a folder and the `.onnx.json` beside it.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let model_path = find_voice(dir)?;
        let mut config_path = model_path.clone().into_os_string();
        config_path.push(".json");
        let config: VoiceConfig = read_json(Path::new(&config_path))?;
        let model = Model::load(read(&model_path)?)
            .map_err(|source| LoadError::malformed(&model_path, source))?;
        let node = |name: &str| {
            model.find_node(name).ok_or_else(|| {
                LoadError::malformed(&model_path, format!("there is no node `{name}`"))
            })
        };
        let nodes = Nodes {
            input: node("input")?,
            input_lengths: node("input_lengths")?,
            scales: node("scales")?,
            output: node("output")?,
        };
        Ok(Self {
            model,
            nodes,
            config,
        })
    }

    /// Takes the variation out of the voice: the same text then always gives the same samples.
    ///
    /// It sounds a little flatter. Meant for callers in tests.
    pub fn steady(mut self) -> Self {
        self.config.inference.noise_scale = 0.0;
        self.config.inference.noise_w = 0.0;
        self
    }

    /// Samples in a second of this voice.
    pub fn sample_rate(&self) -> u32 {
        self.config.audio.sample_rate
    }

    /// Speaks a text in one piece.
    ///
    /// The audio comes when all of it is ready, so give long texts clause by clause ([`clauses()`]).
    /// A text without words gives none, and no text sounds the same twice unless the voice is
    /// [`Self::steady`].
    ///
    /// Blocks for about a twelfth of the time that the speech lasts, on the calling thread.
    pub fn synthesize(&self, text: &str) -> Result<Pcm, SynthesizeError> {
        let phonemes = phonemes::phonemes(text, &self.config.espeak.voice)?;
        let samples = if phonemes.is_empty() {
            Vec::new()
        } else {
            let ids = self.phoneme_ids(&phonemes);
            self.infer(&ids)
                .map_err(|source| SynthesizeError::Inference {
                    phonemes: ids.len(),
                    source,
                })?
        };
        Ok(Pcm {
            sample_rate: self.sample_rate(),
            samples,
        })
    }

    /// `^`, then every phoneme followed by the pad `_`, then `$`.
    fn phoneme_ids(&self, phonemes: &str) -> Vec<i32> {
        let ids = |symbol: char| {
            let mut buffer = [0; 4];
            self.config
                .phoneme_id_map
                .get(&*symbol.encode_utf8(&mut buffer))
                .map_or(&[][..], Vec::as_slice)
        };
        let mut all = [ids('^'), ids('_')].concat();
        for symbol in phonemes.nfd() {
            // What the voice was not trained on, such as espeak-ng's joiners, is left out.
            let known = ids(symbol);
            if !known.is_empty() {
                all.extend(known);
                all.extend(ids('_'));
            }
        }
        all.extend(ids('$'));
        all
    }

    fn infer(&self, ids: &[i32]) -> Result<Vec<i16>, Box<dyn std::error::Error + Send + Sync>> {
        let length = i32::try_from(ids.len())?;
        let Inference {
            noise_scale,
            length_scale,
            noise_w,
        } = self.config.inference;
        let input = NdTensor::from_data([1, ids.len()], ids.to_vec());
        let lengths = NdTensor::from_data([1], vec![length]);
        let scales = NdTensor::from_data([3], vec![noise_scale, length_scale, noise_w]);
        let [output] = self.model.run_n(
            vec![
                (self.nodes.input, input.view().into()),
                (self.nodes.input_lengths, lengths.view().into()),
                (self.nodes.scales, scales.view().into()),
            ],
            [self.nodes.output],
            Some(RunOptions::default().with_thread_pool(Some(lane()))),
        )?;
        let output: Tensor<f32> = output.try_into()?;
        Ok(output
            .iter()
            .map(|sample| (sample * 32_767.0).round() as i16)
            .collect())
    }
}

fn find_voice(dir: &Path) -> Result<PathBuf, LoadError> {
    let is_model = |path: &PathBuf| path.extension().is_some_and(|e| e == "onnx");
    std::fs::read_dir(dir)
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(is_model)
        .ok_or_else(|| LoadError::Missing {
            path: dir.join("*.onnx"),
        })
}

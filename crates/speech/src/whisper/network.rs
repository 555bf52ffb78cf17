//! Whisper's two blocks (Radford et al. 2022), with a cache of keys and values.

use candle_core::{self as candle, D, DType, Device, IndexOp, Module, Tensor};
use candle_nn::{Conv1d, Conv1dConfig, LayerNorm, Linear};

use super::{
    ctranslate2::{Weights, WeightsError},
    kernels::{Projection, gelu, softmax},
    tokens::Token,
};

const LAYER_NORM_EPSILON: f64 = 1e-5;

pub(super) struct Encoder {
    conv1: Conv1d,
    conv2: Conv1d,
    positions: Tensor,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
}

struct EncoderBlock {
    norm: LayerNorm,
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl Encoder {
    pub(super) fn new(weights: &mut Weights) -> Result<Self, WeightsError> {
        let heads = weights.heads("encoder")?;
        let conv = |weights: &mut Weights, name: &str, stride| -> Result<Conv1d, WeightsError> {
            let config = Conv1dConfig {
                padding: 1,
                stride,
                ..Conv1dConfig::default()
            };
            Ok(Conv1d::new(
                weights.take(&format!("encoder/{name}/weight"))?,
                Some(weights.take(&format!("encoder/{name}/bias"))?),
                config,
            ))
        };
        Ok(Self {
            conv1: conv(weights, "conv1", 1)?,
            conv2: conv(weights, "conv2", 2)?,
            positions: weights.take("encoder/position_encodings/encodings")?,
            blocks: layers(weights, "encoder")
                .map(|layer| {
                    Ok(EncoderBlock {
                        norm: norm(weights, &format!("{layer}/self_attention/layer_norm"))?,
                        attention: SelfAttention::new(weights, &layer, heads)?,
                        feed_forward: FeedForward::new(weights, &layer)?,
                    })
                })
                .collect::<Result<_, WeightsError>>()?,
            norm: norm(weights, "encoder/layer_norm")?,
        })
    }

    /// Mel bands that go in.
    pub(super) fn mel_bands(&self) -> usize {
        self.conv1.weight().dims()[1]
    }

    /// The most frames (of 20 ms) that come out.
    pub(super) fn max_frames(&self) -> usize {
        self.positions.dims()[0]
    }

    /// From a mel spectrogram `[1, bands, 2 * frames]` to what was heard, `[1, frames, width]`.
    pub(super) fn forward(&self, mel: &Tensor) -> candle::Result<Tensor> {
        let x = gelu(&self.conv1.forward(mel)?)?;
        let x = gelu(&self.conv2.forward(&x)?)?;
        let x = x.transpose(1, 2)?.contiguous()?;
        let frames = x.dim(1)?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, 0, frames)?)?;
        for block in &self.blocks {
            let (heard, _) = block
                .attention
                .forward(&block.norm.forward(&x)?, None, None)?;
            x = (x + heard)?;
            x = block.feed_forward.add_to(x)?;
        }
        self.norm.forward(&x)
    }
}

pub(super) struct Decoder {
    /// As f16; the output projection is made of the same weights.
    embeddings: Tensor,
    positions: Tensor,
    blocks: Vec<DecoderBlock>,
    norm: LayerNorm,
    output: Projection,
}

struct DecoderBlock {
    norm: LayerNorm,
    attention: SelfAttention,
    cross_norm: LayerNorm,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

/// What the decoder keeps of one utterance, so that no token is read twice.
pub(super) struct Memory {
    layers: Vec<LayerMemory>,
    tokens: usize,
}

struct LayerMemory {
    /// Keys and values of the audio.
    audio: KeysValues,
    /// Keys and values of the tokens so far.
    text: Option<KeysValues>,
}

#[derive(Clone)]
struct KeysValues {
    /// `[1, heads, head width, n]`
    keys: Tensor,
    /// `[1, heads, n, head width]`
    values: Tensor,
}

impl Decoder {
    pub(super) fn new(weights: &mut Weights) -> Result<Self, WeightsError> {
        let heads = weights.heads("decoder")?;
        const EMBEDDINGS: &str = "decoder/embeddings/weight";
        let bad_shape = |source| WeightsError::Shape(EMBEDDINGS.to_owned(), source);
        let embeddings = weights.take(EMBEDDINGS)?;
        Ok(Self {
            output: Projection::new(&embeddings).map_err(bad_shape)?,
            embeddings: embeddings.to_dtype(DType::F16).map_err(bad_shape)?,
            positions: weights.take("decoder/position_encodings/encodings")?,
            blocks: layers(weights, "decoder")
                .map(|layer| {
                    Ok(DecoderBlock {
                        norm: norm(weights, &format!("{layer}/self_attention/layer_norm"))?,
                        attention: SelfAttention::new(weights, &layer, heads)?,
                        cross_norm: norm(weights, &format!("{layer}/attention/layer_norm"))?,
                        cross: CrossAttention::new(weights, &layer, heads)?,
                        feed_forward: FeedForward::new(weights, &layer)?,
                    })
                })
                .collect::<Result<_, WeightsError>>()?,
            norm: norm(weights, "decoder/layer_norm")?,
        })
    }

    pub(super) fn vocabulary_size(&self) -> usize {
        self.embeddings.dims()[0]
    }

    /// The most tokens of prompt and text together.
    pub(super) fn max_tokens(&self) -> usize {
        self.positions.dims()[0]
    }

    /// Prepares for an utterance that the encoder heard.
    pub(super) fn remember(&self, audio: &Tensor) -> candle::Result<Memory> {
        let layers = self
            .blocks
            .iter()
            .map(|block| {
                Ok(LayerMemory {
                    audio: block.cross.keys_values(audio)?,
                    text: None,
                })
            })
            .collect::<candle::Result<_>>()?;
        Ok(Memory { layers, tokens: 0 })
    }

    /// Reads `tokens`, which follow those already in `memory`; returns a state for each.
    pub(super) fn read(&self, memory: &mut Memory, tokens: &[Token]) -> candle::Result<Tensor> {
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let positions = self.positions.narrow(0, memory.tokens, tokens.len())?;
        let embedded = self.embeddings.index_select(&ids, 0)?;
        let mut x = (embedded.to_dtype(DType::F32)? + positions)?.unsqueeze(0)?;
        let mask = causal_mask(tokens.len(), memory.tokens)?;
        for (block, memory) in self.blocks.iter().zip(&mut memory.layers) {
            let (read, text) = block.attention.forward(
                &block.norm.forward(&x)?,
                memory.text.take(),
                mask.as_ref(),
            )?;
            memory.text = Some(text);
            x = (x + read)?;
            let heard = block
                .cross
                .forward(&block.cross_norm.forward(&x)?, &memory.audio)?;
            x = (x + heard)?;
            x = block.feed_forward.add_to(x)?;
        }
        memory.tokens += tokens.len();
        self.norm.forward(&x)?.i(0)
    }

    /// The score of every token to come next, given one state of [`Self::read`].
    pub(super) fn scores(&self, states: &Tensor, index: usize) -> candle::Result<Vec<f32>> {
        Ok(self.output.scores(&states.i(index)?.to_vec1()?))
    }
}

/// Query, key and value from one projection, which is how the file has them.
struct SelfAttention {
    input: Linear,
    output: Linear,
    heads: usize,
}

impl SelfAttention {
    fn new(weights: &mut Weights, layer: &str, heads: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            input: linear(weights, &format!("{layer}/self_attention/linear_0"))?,
            output: linear(weights, &format!("{layer}/self_attention/linear_1"))?,
            heads,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        before: Option<KeysValues>,
        mask: Option<&Tensor>,
    ) -> candle::Result<(Tensor, KeysValues)> {
        let parts = self.input.forward(x)?.chunk(3, D::Minus1)?;
        let queries = split_heads(&parts[0], self.heads)?;
        let keys = split_heads(&parts[1], self.heads)?.transpose(2, 3)?;
        let values = split_heads(&parts[2], self.heads)?;
        let all = match before {
            None => KeysValues {
                keys: keys.contiguous()?,
                values,
            },
            Some(before) => KeysValues {
                keys: Tensor::cat(&[&before.keys, &keys], 3)?,
                values: Tensor::cat(&[&before.values, &values], 2)?,
            },
        };
        let x = attend(&queries, &all, mask)?;
        Ok((self.output.forward(&x)?, all))
    }
}

struct CrossAttention {
    queries: Linear,
    keys_values: Linear,
    output: Linear,
    heads: usize,
}

impl CrossAttention {
    fn new(weights: &mut Weights, layer: &str, heads: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            queries: linear(weights, &format!("{layer}/attention/linear_0"))?,
            keys_values: linear(weights, &format!("{layer}/attention/linear_1"))?,
            output: linear(weights, &format!("{layer}/attention/linear_2"))?,
            heads,
        })
    }

    fn keys_values(&self, audio: &Tensor) -> candle::Result<KeysValues> {
        let parts = self.keys_values.forward(audio)?.chunk(2, D::Minus1)?;
        Ok(KeysValues {
            keys: split_heads(&parts[0], self.heads)?
                .transpose(2, 3)?
                .contiguous()?,
            values: split_heads(&parts[1], self.heads)?,
        })
    }

    fn forward(&self, x: &Tensor, audio: &KeysValues) -> candle::Result<Tensor> {
        let queries = split_heads(&self.queries.forward(x)?, self.heads)?;
        self.output.forward(&attend(&queries, audio, None)?)
    }
}

struct FeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn new(weights: &mut Weights, layer: &str) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: norm(weights, &format!("{layer}/ffn/layer_norm"))?,
            up: linear(weights, &format!("{layer}/ffn/linear_0"))?,
            down: linear(weights, &format!("{layer}/ffn/linear_1"))?,
        })
    }

    fn add_to(&self, x: Tensor) -> candle::Result<Tensor> {
        let inner = gelu(&self.up.forward(&self.norm.forward(&x)?)?)?;
        x + self.down.forward(&inner)?
    }
}

/// `[1, n, width]` to `[1, heads, n, width / heads]`.
fn split_heads(x: &Tensor, heads: usize) -> candle::Result<Tensor> {
    let (batch, n, width) = x.dims3()?;
    x.reshape((batch, n, heads, width / heads))?
        .transpose(1, 2)?
        .contiguous()
}

fn attend(queries: &Tensor, over: &KeysValues, mask: Option<&Tensor>) -> candle::Result<Tensor> {
    let (batch, heads, n, head_width) = queries.dims4()?;
    let scale = (head_width as f64).powf(-0.5);
    let mut scores = (queries * scale)?.matmul(&over.keys)?;
    if let Some(mask) = mask {
        scores = scores.broadcast_add(mask)?;
    }
    softmax(&scores)?
        .matmul(&over.values)?
        .transpose(1, 2)?
        .reshape((batch, n, heads * head_width))
}

/// Hides from each of `n` new tokens those after it; a single one has none.
fn causal_mask(n: usize, before: usize) -> candle::Result<Option<Tensor>> {
    if n == 1 {
        return Ok(None);
    }
    let mask: Vec<f32> = (0..n)
        .flat_map(|row| {
            (0..before + n).map(move |column| {
                if column > before + row {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
        })
        .collect();
    Tensor::from_vec(mask, (n, before + n), &Device::Cpu)?
        .to_dtype(DType::F32)
        .map(Some)
}

fn layers(weights: &Weights, side: &'static str) -> impl Iterator<Item = String> + use<> {
    let count = (0..)
        .take_while(|layer| weights.has(&format!("{side}/layer_{layer}/ffn/linear_0/weight")))
        .count();
    (0..count).map(move |layer| format!("{side}/layer_{layer}"))
}

fn linear(weights: &mut Weights, name: &str) -> Result<Linear, WeightsError> {
    Ok(Linear::new(
        weights.take(&format!("{name}/weight"))?,
        Some(weights.take(&format!("{name}/bias"))?),
    ))
}

fn norm(weights: &mut Weights, name: &str) -> Result<LayerNorm, WeightsError> {
    Ok(LayerNorm::new(
        weights.take(&format!("{name}/gamma"))?,
        weights.take(&format!("{name}/beta"))?,
        LAYER_NORM_EPSILON,
    ))
}

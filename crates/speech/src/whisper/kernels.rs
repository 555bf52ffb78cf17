//! Three loops that candle runs one element at a time, in forms that the compiler can vectorise.
//!
//! Together they were half of a transcription.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Applies `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks and Gimpel 2016).
///
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Gelu)
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = storage.as_slice::<f32>()?;
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::Msg("gelu wants contiguous values".into()))?;
        let activated = values[start..end].iter().map(|&x| activate(x)).collect();
        Ok((CpuStorage::F32(activated), layout.shape().clone()))
    }
}

#[inline]
fn activate(x: f32) -> f32 {
    // tanh(y) = 1 - 2 / (e^(2y) + 1), and e^(2y) = 2^t.
    const SCALE: f32 = 2.0 * std::f32::consts::LOG2_E * 0.797_884_6;
    let t = (SCALE * (x + 0.044_715 * x * x * x)).clamp(-40.0, 40.0);
    x - x / (exp2(t) + 1.0)
}

/// 2^t for |t| ≤ 40 within 3 millionths.
#[inline]
fn exp2(t: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let shifted = t + ROUND;
    let fraction = t - (shifted - ROUND);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let polynomial = 1.0
        + fraction
            * (std::f32::consts::LN_2
                + fraction * (0.240_226_5 + fraction * (0.055_504_1 + fraction * 0.009_618_1)));
    power * polynomial
}

/// Softmax over the last dimension, which `x` must have at least one element of.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Softmax)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = storage.as_slice::<f32>()?;
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::Msg("softmax wants contiguous values".into()))?;
        let width = layout.dims().last().copied().unwrap_or(1).max(1);
        let mut result = values[start..end].to_vec();
        for row in result.chunks_exact_mut(width) {
            softmax_row(row);
        }
        Ok((CpuStorage::F32(result), layout.shape().clone()))
    }
}

fn softmax_row(row: &mut [f32]) {
    let peak = lanes(row, f32::NEG_INFINITY, f32::max);
    for value in row.iter_mut() {
        // e^-27 is nothing beside the peak's 1; masked values are minus infinity.
        *value = exp2(((*value - peak) * std::f32::consts::LOG2_E).max(-40.0));
    }
    let scale = 1.0 / lanes(row, 0.0, |a, b| a + b);
    for value in row.iter_mut() {
        *value *= scale;
    }
}

/// Folds in eight strands: floats are not reordered by the compiler, so it needs to be told.
fn lanes(values: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut strands = [start; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder().iter().copied().fold(start, &fold);
    for chunk in chunks {
        for (strand, value) in strands.iter_mut().zip(chunk) {
            *strand = fold(*strand, *value);
        }
    }
    strands.into_iter().fold(rest, fold)
}

/// The output projection in 8 bits, one scale for each token.
///
/// It is read from end to end for every token that is written, so its size is the speed of the decoder.
pub(super) struct Projection {
    weights: Vec<i8>,
    scales: Vec<f32>,
    width: usize,
}

impl Projection {
    /// Takes weights `[tokens, width]`.
    pub(super) fn new(weights: &Tensor) -> Result<Self> {
        let (_, width) = weights.dims2()?;
        let rows = weights.flatten_all()?.to_vec1::<f32>()?;
        let (mut quantised, mut scales) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows.chunks_exact(width) {
            let scale = peak(row) / 127.0;
            quantised.extend(row.iter().map(|weight| (weight / scale).round() as i8));
            scales.push(scale);
        }
        Ok(Self {
            weights: quantised,
            scales,
            width,
        })
    }

    /// The score of every token.
    ///
    /// The state is rounded to 13 bits, so that the sum of a thousand products fits 32.
    pub(super) fn scores(&self, state: &[f32]) -> Vec<f32> {
        let scale = peak(state) / 4095.0;
        let state: Vec<i16> = state.iter().map(|x| (x / scale).round() as i16).collect();
        self.weights
            .chunks_exact(self.width)
            .zip(&self.scales)
            .map(|(row, row_scale)| {
                let products = row.iter().zip(&state);
                let sum: i32 = products.map(|(w, x)| i32::from(*w) * i32::from(*x)).sum();
                sum as f32 * scale * row_scale
            })
            .collect()
    }
}

/// The largest magnitude, and never zero.
fn peak(values: &[f32]) -> f32 {
    lanes(values, f32::MIN_POSITIVE, |a, b| a.max(b.abs()))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_the_activation_that_candle_computes() {
        let x: Vec<f32> = (-1200..=1200).map(|n| n as f32 / 100.0).collect();
        let tensor = Tensor::from_vec(x, 2401, &Device::Cpu).unwrap();
        let ours = gelu(&tensor).unwrap().to_vec1::<f32>().unwrap();
        let theirs = tensor.gelu().unwrap().to_vec1::<f32>().unwrap();
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() < 2e-5, "{ours} {theirs}");
        }
    }

    #[test]
    fn softmax_is_that_of_candle_masked_values_included() {
        let x: Vec<f32> = (0..5 * 77)
            .map(|n| match n % 13 {
                0 => f32::NEG_INFINITY,
                _ => (n as f32 * 0.37).sin() * 9.0,
            })
            .collect();
        let tensor = Tensor::from_vec(x, (5, 77), &Device::Cpu).unwrap();
        let theirs = candle_nn::ops::softmax_last_dim(&tensor).unwrap();
        let difference = (softmax(&tensor).unwrap() - theirs).unwrap();
        let difference = difference.abs().unwrap().flatten_all().unwrap();
        let largest = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(largest < 5e-6, "{largest}");
    }

    #[test]
    fn the_projection_in_8_bits_is_close_to_the_one_in_32() {
        let wave = |n: usize, step: f32| (n as f32 * step).sin() * 3.0;
        let weights: Vec<f32> = (0..64 * 384).map(|n| wave(n, 0.71)).collect();
        let state: Vec<f32> = (0..384).map(|n| wave(n, 1.3)).collect();
        let weights = Tensor::from_vec(weights, (64, 384), &Device::Cpu).unwrap();
        let column = Tensor::from_vec(state.clone(), (384, 1), &Device::Cpu).unwrap();
        let exact = weights.matmul(&column).unwrap().flatten_all().unwrap();
        let exact = exact.to_vec1::<f32>().unwrap();
        let ours = Projection::new(&weights).unwrap().scores(&state);
        // A share of what the Cauchy-Schwarz inequality allows for waves of amplitude 3.
        let bound = 0.005 * 9.0 * 384.0 / 2.0;
        for (ours, exact) in ours.iter().zip(exact) {
            assert!((ours - exact).abs() < bound, "{ours} {exact}");
        }
    }
}

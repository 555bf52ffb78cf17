//! Reads the `model.bin` of a CTranslate2 Whisper model.
//!
//! The layout is that of CTranslate2's `ModelSpec.save`: a version (6), the spec's name and revision, then
//! named variables of shape, type and bytes, all little-endian.
//! Projections that are applied to the same input are stored as one (query, key and value of
//! self-attention; key and value of cross-attention).

use std::collections::HashMap;

use candle_core::{DType, Device, Shape, Tensor};
use half::f16;

/// What is wrong with a `model.bin`.
#[derive(Debug, thiserror::Error)]
pub(super) enum WeightsError {
    #[error("the file is cut off at byte {0}")]
    CutOff(usize),
    #[error("format version {0}, and only 6 is known")]
    Version(u32),
    #[error("this is a `{0}`, not a `WhisperSpec`")]
    NotWhisper(String),
    #[error("variable `{name}` has element type {kind}; convert the model to float16 or float32")]
    ElementType { name: String, kind: u8 },
    #[error("variable `{0}` is missing")]
    Missing(String),
    #[error("variable `{0}` has an unusable shape")]
    Shape(String, #[source] candle_core::Error),
}

/// The variables of a model by their CTranslate2 names, as f32.
pub(super) struct Weights {
    tensors: HashMap<String, Tensor>,
    heads: HashMap<String, u16>,
}

const FLOAT32: u8 = 0;
const INT8: u8 = 1;
const INT16: u8 = 2;
const FLOAT16: u8 = 4;

impl Weights {
    pub(super) fn read(file: &[u8]) -> Result<Self, WeightsError> {
        let mut cursor = Cursor { file, at: 0 };
        let version = cursor.u32()?;
        if version != 6 {
            return Err(WeightsError::Version(version));
        }
        let spec = cursor.string()?;
        if spec != "WhisperSpec" {
            return Err(WeightsError::NotWhisper(spec));
        }
        let _revision = cursor.u32()?;
        let mut weights = Self {
            tensors: HashMap::new(),
            heads: HashMap::new(),
        };
        for _ in 0..cursor.u32()? {
            let name = cursor.string()?;
            let rank = cursor.u8()?;
            let shape = (0..rank)
                .map(|_| cursor.u32().map(|dim| dim as usize))
                .collect::<Result<Vec<_>, _>>()?;
            let kind = cursor.u8()?;
            let length = cursor.u32()? as usize;
            let bytes = cursor.take(length)?;
            if shape.is_empty() {
                if let (INT16, [low, high], Some(side)) =
                    (kind, bytes, name.strip_suffix("/num_heads"))
                {
                    let heads = u16::from_le_bytes([*low, *high]);
                    weights.heads.insert(side.to_owned(), heads);
                }
                continue;
            }
            let values: Vec<f32> = match kind {
                FLOAT32 => bytes
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
                FLOAT16 => bytes
                    .chunks_exact(2)
                    .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                    .collect(),
                // Word alignment is not used.
                INT8 | INT16 if name.starts_with("decoder/alignment") => continue,
                _ => return Err(WeightsError::ElementType { name, kind }),
            };
            let tensor = Tensor::from_vec(values, Shape::from(shape), &Device::Cpu)
                .map_err(|source| WeightsError::Shape(name.clone(), source))?;
            debug_assert_eq!(tensor.dtype(), DType::F32);
            weights.tensors.insert(name, tensor);
        }
        Ok(weights)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Tensor, WeightsError> {
        self.tensors
            .remove(name)
            .ok_or_else(|| WeightsError::Missing(name.to_owned()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Attention heads of `encoder` or `decoder`.
    pub(super) fn heads(&self, side: &str) -> Result<usize, WeightsError> {
        self.heads
            .get(side)
            .map(|&heads| usize::from(heads))
            .filter(|&heads| heads > 0)
            .ok_or_else(|| WeightsError::Missing(format!("{side}/num_heads")))
    }
}

struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WeightsError> {
        let bytes = self
            .file
            .get(self.at..)
            .and_then(|rest| rest.get(..length))
            .ok_or(WeightsError::CutOff(self.at))?;
        self.at += length;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, WeightsError> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Result<u16, WeightsError> {
        self.take(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, WeightsError> {
        self.take(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A length that counts the terminating NUL, then the text.
    fn string(&mut self) -> Result<String, WeightsError> {
        let length = self.u16()?;
        let bytes = self.take(usize::from(length))?;
        let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, shape: &[u32], kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = string(name);
        bytes.push(shape.len() as u8);
        bytes.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.push(kind);
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn string(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as u16 + 1).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    }

    fn file(spec: &str, variables: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = 6u32.to_le_bytes().to_vec();
        bytes.extend(string(spec));
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((variables.len() as u32).to_le_bytes());
        bytes.extend(variables.concat());
        bytes
    }

    #[test]
    fn halves_become_floats_and_scalars_become_heads() {
        let halves: Vec<u8> = [1.0f32, -0.5]
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect();
        let file = file(
            "WhisperSpec",
            &[
                variable("encoder/num_heads", &[], INT16, &[6, 0]),
                variable("a/weight", &[1, 2], FLOAT16, &halves),
                variable("decoder/alignment_heads", &[1, 2], INT16, &[0; 4]),
            ],
        );
        let mut weights = Weights::read(&file).unwrap();
        assert_eq!(weights.heads("encoder").unwrap(), 6);
        let tensor = weights.take("a/weight").unwrap();
        assert_eq!(tensor.to_vec2::<f32>().unwrap(), [[1.0, -0.5]]);
        assert!(matches!(
            weights.take("a/weight"),
            Err(WeightsError::Missing(_))
        ));
    }

    #[test]
    fn every_shorter_file_is_refused_without_a_panic() {
        let file = file(
            "WhisperSpec",
            &[variable("a/weight", &[2], FLOAT32, &[0; 8])],
        );
        for length in 0..file.len() {
            let error = Weights::read(&file[..length]).err();
            assert!(
                matches!(error, Some(WeightsError::CutOff(_))),
                "{length}: {error:?}"
            );
        }
    }

    #[test]
    fn other_models_and_quantised_ones_are_named() {
        let error = Weights::read(&file("TransformerSpec", &[])).err().unwrap();
        assert_eq!(
            error.to_string(),
            "this is a `TransformerSpec`, not a `WhisperSpec`"
        );
        let quantised = file("WhisperSpec", &[variable("a/weight", &[2], INT8, &[1, 2])]);
        let error = Weights::read(&quantised).err().unwrap();
        assert!(error.to_string().contains("convert"), "{error}");
    }

    #[test]
    fn a_shape_that_does_not_fit_its_bytes_is_refused() {
        let file = file(
            "WhisperSpec",
            &[variable("a/weight", &[3], FLOAT32, &[0; 8])],
        );
        assert!(matches!(
            Weights::read(&file),
            Err(WeightsError::Shape(name, _)) if name == "a/weight"
        ));
    }
}

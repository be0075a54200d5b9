//! Rotary frequencies and their long-context scalings.

use serde_json::{Map, Value};

/// Inverse frequencies of a head, already scaled: `(D / 2,)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// `1 / theta^(2 i / D)`, scaled as the config asks.
    pub inverse_frequencies: Vec<f32>,
}

impl Rotary {
    /// Reads `rope_theta` and `rope_scaling` (or `rope_parameters`, which holds both).
    ///
    /// # Errors
    /// Names the scaling type, the missing key, or the value that is no use.
    pub fn from_json(
        theta: Option<f64>,
        parameters: Option<&Map<String, Value>>,
        head_width: usize,
    ) -> Result<Self, String> {
        let get = |key: &str| parameters.and_then(|map| map.get(key)).filter(|value| !value.is_null());
        let number = |key: &str| match get(key).map(Value::as_f64) {
            None => Ok(None),
            Some(Some(value)) if value.is_finite() && value > 0.0 => Ok(Some(value)),
            Some(_) => Err(format!("`{key}` that is not a positive number in its rope settings")),
        };
        if number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            return Err("`partial_rotary_factor` other than 1".into());
        }
        let theta = number("rope_theta")?.or(theta).unwrap_or(10_000.0);
        if !(theta.is_finite() && theta > 0.0) {
            return Err(format!("`rope_theta` = {theta}"));
        }
        let plain = (0..head_width / 2).map(|i| 1.0 / theta.powf(2.0 * i as f64 / head_width as f64));
        let kind = match get("rope_type").or(get("type")) {
            None => "default",
            Some(kind) => kind.as_str().ok_or_else(|| format!("`rope_type` = {kind}"))?,
        };
        let need = |key: &str| number(key)?.ok_or_else(|| format!("rope scaling `{kind}` without `{key}`"));
        let scaled: Vec<f64> = match kind {
            "default" => plain.collect(),
            "linear" => {
                let factor = need("factor")?;
                plain.map(|frequency| frequency / factor).collect()
            }
            "llama3" => {
                let scaling = Llama3 {
                    factor: need("factor")?,
                    low: need("low_freq_factor")?,
                    high: need("high_freq_factor")?,
                    original_tokens: need("original_max_position_embeddings")?,
                };
                if scaling.high <= scaling.low {
                    return Err("rope scaling `llama3` with `high_freq_factor` not above `low_freq_factor`".into());
                }
                plain.map(|frequency| scaling.apply(frequency)).collect()
            }
            other => return Err(format!("rope scaling `{other}` (default, linear and llama3 are supported)")),
        };
        let inverse_frequencies: Vec<f32> = scaled.into_iter().map(|frequency| frequency as f32).collect();
        match inverse_frequencies.iter().find(|frequency| !frequency.is_finite()) {
            Some(frequency) => Err(format!("rope settings that give a frequency of {frequency}")),
            None => Ok(Self { inverse_frequencies }),
        }
    }
}

/// Llama 3.1's scaling: long wavelengths are stretched by `factor`, short ones kept, those between blended.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    original_tokens: f64,
}

impl Llama3 {
    fn apply(&self, frequency: f64) -> f64 {
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        if wavelength < self.original_tokens / self.high {
            return frequency;
        }
        if wavelength > self.original_tokens / self.low {
            return frequency / self.factor;
        }
        let smooth = (self.original_tokens / wavelength - self.low) / (self.high - self.low);
        (1.0 - smooth) * frequency / self.factor + smooth * frequency
    }
}

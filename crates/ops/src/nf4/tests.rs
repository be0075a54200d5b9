//! Against what bitsandbytes made (`tests/golden/nf4`), bit for bit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/nf4").join(name)
}

struct Case {
    name: String,
    tensors: HashMap<String, Tensor>,
}

impl Case {
    fn all() -> Vec<Self> {
        let paths: Vec<PathBuf> = std::fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let named = paths.iter().map(|path| (path, path.file_stem().unwrap().to_str().unwrap()));
        let cases: Vec<Self> = named
            .filter(|(_, name)| *name != "tables")
            .map(|(path, name)| Self {
                name: name.to_owned(),
                tensors: candle_core::safetensors::load(path, &Device::Cpu).unwrap(),
            })
            .collect();
        assert!(cases.len() >= 9, "only {} goldens", cases.len());
        cases
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        self.tensors[key].to_vec1().unwrap()
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        self.tensors[key].to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    fn offset(&self) -> f32 {
        self.floats("offset")[0]
    }

    /// What bitsandbytes quantised.
    fn quantised(&self) -> Nf4 {
        Nf4 {
            codes: self.tensors["codes"].clone(),
            scales: self.tensors["scales"].clone(),
            scale_of_scales: self.tensors["scale_of_scales"].clone(),
            tables: tables(&Device::Cpu).unwrap(),
            offset: self.offset(),
            shape: self.tensors["weight"].dims2().unwrap(),
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn tables_are_those_of_bitsandbytes() {
    let tensors = candle_core::safetensors::load(golden("tables.safetensors"), &Device::Cpu).unwrap();
    let want: Vec<f32> = ["values", "levels"].iter().flat_map(|key| tensors[*key].to_vec1().unwrap()).collect();
    assert_eq!(bits(&TABLES[..]), bits(&want));
}

#[test]
fn codes_and_scales_are_those_of_bitsandbytes() {
    for case in Case::all() {
        let weight_view = view("test", &case.tensors["weight"]).unwrap();
        let (codes, absmax) = quantise_values(weight_view.values().unwrap());
        assert_eq!(codes, case.bytes("codes"), "{}", case.name);
        let (scales, scale_of_scales) = quantise_scales(&absmax, case.offset());
        assert_eq!(scales, case.bytes("scales"), "{}", case.name);
        assert_eq!(bits(&scale_of_scales), bits(&case.floats("scale_of_scales")), "{}", case.name);
    }
}

#[test]
fn the_mean_of_the_scales_is_within_two_ulp_of_torch() {
    for case in Case::all() {
        let ours = Nf4::quantise(&case.tensors["weight"]).unwrap();
        let ulp = ours.offset.to_bits().abs_diff(case.offset().to_bits());
        assert!(ulp <= 2, "{}: {} and {}", case.name, ours.offset, case.offset());
        assert_eq!(ours.codes.to_vec1::<u8>().unwrap(), case.bytes("codes"), "{}", case.name);
        assert_eq!(ours.scales.to_vec1::<u8>().unwrap(), case.bytes("scales"), "{}", case.name);
    }
}

#[test]
fn dequantised_values_are_those_of_bitsandbytes() {
    for case in Case::all() {
        let quantised = case.quantised();
        for (dtype, key) in [(DType::F32, "f32"), (DType::BF16, "bf16")] {
            let (got, want) = (quantised.dequantise(dtype).unwrap(), case.floats(key));
            assert_eq!(got.dims(), case.tensors["weight"].dims(), "{}", case.name);
            assert_eq!(got.dtype(), dtype);
            let got = flat(&got);
            assert_eq!(bits(&got[got.len() - want.len()..]), bits(&want), "{} in {key}", case.name);
        }
    }
}

#[test]
fn a_scale_halfway_between_two_levels_gets_the_lower() {
    let levels = &TABLES[16..];
    let halfway: Vec<f32> = levels.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    // The largest is 1, so that the fractions are the scales themselves, in a whole group and in a short one.
    for count in [GROUP, GROUP - 56] {
        for step in [-1i32, 0, 1] {
            let next = |value: &f32| f32::from_bits(value.to_bits().wrapping_add_signed(step));
            let mut absmax: Vec<f32> = halfway[128..].iter().map(next).collect();
            absmax.resize(count, 1.0);
            let (scales, scale_of_scales) = quantise_scales(&absmax, 0.0);
            assert_eq!(scale_of_scales, [1.0]);
            let want = (128..255).map(|lower| if step > 0 { lower + 1 } else { lower });
            assert_eq!(scales[..127], want.map(|level| level as u8).collect::<Vec<_>>(), "{step}");
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    let zeros = Tensor::zeros((5, 100), DType::F32, &Device::Cpu).unwrap();
    let rows = Tensor::cat(&[&zeros, &(zeros.ones_like().unwrap() * 3.0).unwrap()], 0).unwrap();
    for weight in [zeros, rows] {
        let got = flat(&Nf4::quantise(&weight).unwrap().dequantise(DType::F32).unwrap());
        let pairs = got.iter().zip(flat(&weight));
        assert!(pairs.clone().count() >= 500);
        for (got, want) in pairs {
            assert!(if want == 0.0 { *got == 0.0 } else { (got - want).abs() < 0.1 }, "{got} for {want}");
        }
    }
}

#[test]
fn every_way_to_be_wrong_is_an_error() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.5; 130];
        values[70] = value;
        let weight = Tensor::from_vec(values, (2, 65), &Device::Cpu).unwrap();
        assert!(Nf4::quantise(&weight).unwrap_err().to_string().contains("not finite"), "{value}");
    }
    let empty = Tensor::zeros((0, 64), DType::F32, &Device::Cpu).unwrap();
    assert!(Nf4::quantise(&empty).unwrap_err().to_string().contains("0 x 64"));
    let one = Nf4::quantise(&Tensor::ones((2, 64), DType::BF16, &Device::Cpu).unwrap()).unwrap();
    assert!(one.dequantise(DType::F16).is_err());
}

#[test]
fn bytes_are_counted_as_stored() {
    for case in Case::all() {
        let quantised = case.quantised();
        let tensors = [&quantised.codes, &quantised.scales, &quantised.scale_of_scales];
        let stored: usize = tensors.iter().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
        assert_eq!(quantised.byte_count(), stored, "{}", case.name);
    }
    assert_eq!(byte_count_of(4096, 4096), 8 * 1024 * 1024 + 262_144 + 4096);
}

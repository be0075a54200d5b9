//! JSON that is changed where it hurts.

use serde_json::{Map, Value, json};

use crate::harness::Random;

/// Changes one value, anywhere within.
pub fn mutate(random: &mut Random, value: &mut Value) {
    match value {
        Value::Object(map) if !map.is_empty() && !random.once_in(8) => {
            let key = map.keys().nth(random.below(map.len())).cloned().unwrap();
            match random.below(8) {
                0 => drop(map.remove(&key)),
                1 => {
                    let value = map[&key].clone();
                    map.insert(format!("{key}{}", random.below(3)), value);
                }
                _ => mutate(random, map.get_mut(&key).unwrap()),
            }
        }
        Value::Array(list) if !list.is_empty() && !random.once_in(8) => {
            let at = random.below(list.len());
            match random.below(6) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                2 => *list = vec![list[at].clone(); random.below(100)],
                _ => mutate(random, &mut list[at]),
            }
        }
        other => *other = strange(random),
    }
}

/// A value that nobody expects.
fn strange(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(-(random.below(1000) as i64) - 1),
        3 => json!(i64::MIN),
        4 => json!(1e308),
        5 => json!(-1e-308),
        6 => json!(random.number() as f64 / 1e9),
        7 => json!("x".repeat(random.below(300))),
        8 => (0..random.below(200)).fold(json!(1), |inner, _| json!([inner])),
        9 => Value::Object(Map::from_iter((0..random.below(50)).map(|at| (at.to_string(), json!(at))))),
        10 => json!(vec![0; random.below(5000)]),
        _ => json!(random.odd_number()),
    }
}

//! Curves of any length as a few hundred points that look the same.

use super::history::Series;

/// Shorter curves are shown as they are.
const SMOOTH_FROM: usize = 24;

/// A smoothed curve looks back over about this part of the run.
const SPANS: usize = 40;

/// The curve with its noise averaged out: an exponential mean over about a fortieth of the points, started without bias
/// as in Adam (Kingma and Ba 2015, section 3). `None` for curves that are too short for it.
pub fn smoothed(points: &Series) -> Option<Series> {
    if points.len() < SMOOTH_FROM {
        return None;
    }
    let span = (points.len() as f64 / SPANS as f64).max(2.0);
    let keep = 1.0 - 2.0 / (span + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let smooth = points.iter().map(|(step, value)| {
        sum = keep * sum + (1.0 - keep) * value;
        weight = keep * weight + (1.0 - keep);
        (*step, sum / weight)
    });
    Some(smooth.collect())
}

/// At most two points for each of `buckets` equal parts of the steps from `first` to `last`: the least and the greatest
/// value of each, in their order, so that no spike is lost.
pub fn thinned(points: &Series, (first, last): (f64, f64), buckets: usize) -> Series {
    if points.len() <= 2 * buckets {
        return points.clone();
    }
    let width = (last - first).max(f64::MIN_POSITIVE) / buckets as f64;
    let bucket = |step: f64| (((step - first) / width) as usize).min(buckets - 1);
    let mut thin = Series::new();
    for part in points.chunk_by(|left, right| bucket(left.0) == bucket(right.0)) {
        let by_value = |left: &&(f64, f64), right: &&(f64, f64)| left.1.total_cmp(&right.1);
        let (least, greatest) = (part.iter().min_by(by_value), part.iter().max_by(by_value));
        if let (Some(least), Some(greatest)) = (least, greatest) {
            thin.push(if least.0 <= greatest.0 { *least } else { *greatest });
            if least.0 != greatest.0 {
                thin.push(if least.0 <= greatest.0 { *greatest } else { *least });
            }
        }
    }
    thin
}

/// The point at `step`, or the last one before it, or else the first.
pub fn at(points: &Series, step: f64) -> Option<(f64, f64)> {
    let behind = points.partition_point(|point| point.0 <= step);
    points.get(behind.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_spikes_and_order() {
        let mut points: Series = (0..100_000).map(|step| (f64::from(step), 1.0)).collect();
        points[54_321].1 = 9.0;
        points[70_000].1 = -9.0;
        let thin = thinned(&points, (0.0, 99_999.0), 200);
        assert!(thin.len() <= 400, "{}", thin.len());
        assert!(thin.contains(&(54_321.0, 9.0)) && thin.contains(&(70_000.0, -9.0)));
        assert!(thin.is_sorted_by(|left, right| left.0 < right.0));
        assert_eq!(thinned(&points[..300].to_vec(), (0.0, 300.0), 200).len(), 300);
    }

    #[test]
    fn a_smoothed_curve_begins_at_the_first_value_and_follows() {
        let points: Series = (0..1000).map(|step| (f64::from(step), if step < 500 { 4.0 } else { 2.0 })).collect();
        let smooth = smoothed(&points).expect("long enough");
        assert_eq!(smooth[0], (0.0, 4.0));
        assert!((smooth[499].1 - 4.0).abs() < 1e-9 && (smooth[999].1 - 2.0).abs() < 1e-9);
        assert!(smoothed(&points[..10].to_vec()).is_none());
    }

    #[test]
    fn a_value_is_looked_up_at_or_before_a_step() {
        let points = vec![(1.0, 10.0), (5.0, 50.0)];
        assert_eq!(
            [0.0, 1.0, 4.9, 9.0].map(|step| at(&points, step).map(|point| point.1)),
            [10.0, 10.0, 10.0, 50.0].map(Some)
        );
        assert_eq!(at(&Vec::new(), 1.0), None);
    }
}

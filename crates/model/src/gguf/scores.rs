//! Scores of SentencePiece, which `tokenizer.json` does not have, out of the order of its merges.
//!
//! llama.cpp joins the neighbouring pair whose joined piece has the best score; the tokenizers library joins the pair
//! that comes first in its list. The list was made by sorting pairs by score, so a piece whose pairs come earlier had the
//! better one. Pieces whose pairs lie between each other's had the same: runs of blanks, which are told apart by ids.

use std::collections::HashMap;

/// A score for each piece: equal or falling along `merges`, and lower still for pieces that no merge makes.
///
/// * `merges`: pairs of pieces, first to last.
/// * `ids`: of every piece that merges may use.
/// * `count`: pieces there are.
///
/// # Errors
/// Names a merge of unknown pieces, or a piece of two known ones that no merge makes: llama.cpp would join these.
pub(super) fn from_merges(
    merges: &[(String, String)],
    ids: &HashMap<String, u32>,
    count: usize,
) -> Result<Vec<f32>, String> {
    // First and last place of each piece's pairs.
    let mut spans: HashMap<u32, (usize, usize)> = HashMap::new();
    for (place, (left, right)) in merges.iter().enumerate() {
        let joined = format!("{left}{right}");
        let (Some(_), Some(_), Some(&id)) = (ids.get(left), ids.get(right), ids.get(&joined)) else {
            return Err(format!("its merge of `{left}` and `{right}` is not one of known pieces"));
        };
        spans.entry(id).or_insert((place, place)).1 = place;
    }
    for (piece, id) in ids.iter().filter(|(_, id)| !spans.contains_key(id)) {
        let mut cuts = piece.char_indices().skip(1);
        if let Some((cut, _)) =
            cuts.find(|(cut, _)| ids.contains_key(&piece[..*cut]) && ids.contains_key(&piece[*cut..]))
        {
            let (left, right) = piece.split_at(cut);
            return Err(format!("its piece `{piece}` (id {id}) is `{left}` and `{right}`, but no merge makes it"));
        }
    }
    let mut spans: Vec<(usize, usize, u32)> = spans.into_iter().map(|(id, (first, last))| (first, last, id)).collect();
    spans.sort_unstable();
    let mut scores = vec![-(merges.len() as f32) - 1.0; count];
    let (mut class, mut end) = (0, 0);
    for (first, last, id) in spans {
        if first > end {
            class = first;
        }
        end = end.max(last);
        scores[id as usize] = -(class as f32);
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(pieces: &[&str], merges: &[(&str, &str)]) -> Result<Vec<f32>, String> {
        let ids = pieces.iter().enumerate().map(|(id, piece)| (piece.to_string(), id as u32)).collect();
        let merges: Vec<(String, String)> =
            merges.iter().map(|(left, right)| (left.to_string(), right.to_string())).collect();
        from_merges(&merges, &ids, pieces.len())
    }

    #[test]
    fn earlier_merges_have_better_scores() {
        let pieces = ["a", "b", "ab", "abb", "bb"];
        let found = scores(&pieces, &[("a", "b"), ("b", "b"), ("a", "bb"), ("ab", "b")]).unwrap();
        assert!(found[2] > found[4] && found[4] > found[3], "{found:?}");
        assert!(found[0] < found[3] && found[0] == found[1]);
    }

    #[test]
    fn pieces_whose_pairs_are_mixed_share_a_score() {
        let pieces = ["_", "__", "___", "____"];
        let found = scores(&pieces, &[("_", "_"), ("_", "__"), ("_", "___"), ("__", "_"), ("__", "__")]).unwrap();
        assert!(found[1] > found[2] && found[2] == found[3], "{found:?}");
    }

    #[test]
    fn what_llama_cpp_would_join_otherwise_is_refused() {
        assert!(scores(&["a", "b", "ab"], &[]).unwrap_err().contains("no merge makes it"));
        assert!(scores(&["a", "b"], &[("a", "b")]).unwrap_err().contains("known pieces"));
    }
}

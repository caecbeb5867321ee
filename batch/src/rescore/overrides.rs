//! What people say of pairs of categories, beside what was scored.
//!
//! What counts as similar is what `consent_data.similar_pair` says: pairs from the threshold on, then people's overrides, of
//! which a no beats a yes.

use super::catalogue::Catalogue;
use super::pairs::Scored;
use anyhow::Result;
use pg_consent_policy::similarity::Neighbours;
use postgres::Client;
use std::collections::HashMap;

/// A person's word on a pair of positions, the lower first: similar or not.
pub type Overrides = HashMap<(u32, u32), bool>;

pub fn read(client: &mut Client, sender_id: i32, catalogue: &Catalogue) -> Result<Overrides> {
    let rows = client.query(
        "SELECT o.category_a, o.category_b, bool_and(o.is_similar) FROM consent_data.similarity_override o
          WHERE coalesce(o.sender_id, $1) = $1 GROUP BY 1, 2",
        &[&sender_id],
    )?;
    let mut overrides = Overrides::new();
    for row in rows {
        if let (Some(a), Some(b)) = (catalogue.position(row.get(0)), catalogue.position(row.get(1))) {
            let said = overrides.entry((a.min(b), a.max(b))).or_insert(true);
            *said &= row.get::<_, bool>(2);
        }
    }
    Ok(overrides)
}

pub fn neighbours(scored: &Scored, threshold: f64, overrides: &Overrides) -> Neighbours {
    let counts = scored.pairs.iter().filter(|p| p.score >= threshold);
    let scores =
        counts.filter(|p| !overrides.contains_key(&(p.low, p.high))).map(|p| (p.low, p.high, p.score));
    let said = overrides.iter().filter(|(pair, yes)| **yes && pair.0 != pair.1);
    let pairs: Vec<_> = scores.chain(said.map(|((a, b), _)| (*a, *b, 1.0))).collect();
    Neighbours::of(scored.alone.len(), &pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_person_said_of_a_pair_wins_over_its_score() {
        let pair = |low, high, score| super::super::pairs::Pair { low, high, both: 0, score };
        let scored = Scored {
            sender_id: 1,
            pairs: vec![pair(0, 1, 0.9), pair(0, 2, 0.4), pair(0, 3, 0.8), pair(1, 2, 0.1)],
            alone: vec![1; 5],
            all: 1,
            counting: Duration::ZERO,
        };
        let overrides = Overrides::from([((0, 1), false), ((0, 4), true), ((0, 3), true), ((2, 2), true)]);
        let similar = neighbours(&scored, 0.5, &overrides);
        assert_eq!(similar.of_category(0), [(1.0, 3), (1.0, 4)]);
        assert_eq!(similar.of_category(1), []);
        assert_eq!(similar.degrees().collect::<Vec<_>>(), [(0, 2), (3, 1), (4, 1)]);
    }
}

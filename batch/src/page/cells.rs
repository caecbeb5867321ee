//! Small cells: a figure about fewer than ten people may point at one of them, so it is not shown.
//!
//! Leaving a cell out is not enough: whoever knows the total subtracts. So what is not shown is pooled, and where the
//! pool is itself too small the smallest shown cell joins it. Every total on the page is a sum of what is shown.

use super::figures::Refusals;
use crate::permission::Answer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// From how many people on a figure is shown.
pub const LEAST: u64 = 10;

/// Keeps the cells of at least [`LEAST`] people, in their order; the others are pooled. The pool counts 0, or at least
/// [`LEAST`] unless all cells together are fewer.
pub fn publish<T>(cells: Vec<(T, u64)>) -> (Vec<(T, u64)>, u64) {
    let (mut shown, small): (Vec<_>, Vec<_>) =
        cells.into_iter().filter(|(_, n)| *n > 0).partition(|(_, n)| *n >= LEAST);
    let mut pooled: u64 = small.iter().map(|(_, n)| n).sum();
    if (1..LEAST).contains(&pooled)
        && let Some(smallest) = shown.iter().enumerate().min_by_key(|(_, (_, n))| *n).map(|(i, _)| i)
    {
        pooled += shown.remove(smallest).1;
    }
    (shown, pooled)
}

/// What the small groups of one answer in one jurisdiction count under.
pub const OTHER: &str = "other_grounds";

/// Counts the small grounds of each answer in each jurisdiction together, so that only an answer given to fewer than
/// [`LEAST`] people has to leave its jurisdiction: shares would look better than they are otherwise.
pub fn within_sides<'a>(cells: Vec<(Answer<'a>, u64)>) -> Vec<(Answer<'a>, u64)> {
    let mut sides: BTreeMap<(&'a str, bool), Vec<(Answer<'a>, u64)>> = BTreeMap::new();
    for (answer, n) in cells {
        sides.entry((answer.0, answer.1)).or_default().push((answer, n));
    }
    sides
        .into_iter()
        .flat_map(|((jurisdiction, allowed), cells)| {
            let (mut shown, pooled) = publish(cells);
            shown.extend((pooled > 0).then_some(((jurisdiction, allowed, OTHER), pooled)));
            shown
        })
        .collect()
}

/// A pool that is still too small says nothing but that there is somebody.
pub fn shown(pooled: u64) -> Option<u64> {
    (pooled >= LEAST).then_some(pooled)
}

/// Requests with the ways and reasons of few people counted together. How many came in a month stays exact: it divides
/// nobody by what they are or did.
pub fn pool_requests(all: &[Refusals]) -> impl Iterator<Item = Refusals> {
    let mut pooled: BTreeMap<(&str, &str, &str, &str, &str), u64> = BTreeMap::new();
    for r in all {
        let (via, reason) =
            if r.events < LEAST { ("any", "any") } else { (r.via.as_str(), r.reason_code.as_str()) };
        *pooled.entry((&r.month, &r.kind, &r.sender, via, reason)).or_default() += r.events;
    }
    pooled.into_iter().map(|((month, kind, sender, via, reason), events)| Refusals {
        month: month.to_owned(),
        kind: kind.to_owned(),
        sender: sender.to_owned(),
        via: via.to_owned(),
        reason_code: reason.to_owned(),
        events,
    })
}

/// Figures of a run that count no people.
const NO_PEOPLE: &[&str] = &[
    "version",
    "categories",
    "pairs",
    "similar_pairs",
    "changed_sides",
    "threshold",
    "night",
    "days",
    "curves",
];

/// A run's figures as the page may have them: no lists, which name contacts, and no small numbers of people.
pub fn of_run(figures: &Value) -> Value {
    match figures {
        Value::Object(members) => members
            .iter()
            .filter(|(_, v)| !v.is_array())
            .map(|(k, v)| (k.clone(), of_figure(k, v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Number(n) if n.as_u64().is_some_and(|n| (1..LEAST).contains(&n)) => json!("fewer than ten"),
        other => other.clone(),
    }
}

/// One figure of a run, by its name.
pub fn of_figure(name: &str, value: &Value) -> Value {
    if NO_PEOPLE.contains(&name) { value.clone() } else { of_run(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_subtract_a_small_cell_from_the_total() {
        let (shown, pooled) = publish(vec![("a", 500), ("b", 12), ("c", 4), ("d", 0)]);
        assert_eq!((shown, pooled), (vec![("a", 500)], 16));
    }

    #[test]
    fn small_cells_together_are_shown_as_one() {
        assert_eq!(publish(vec![("a", 9), ("b", 9), ("c", 10)]), (vec![("c", 10)], 18));
    }

    #[test]
    fn a_jurisdiction_keeps_its_denials_however_few_of_each_kind() {
        let cells = vec![
            (("es", true, "soft_opt_in"), 27),
            (("es", false, "opted_out"), 6),
            (("es", false, "no_consent"), 5),
            (("pt", false, "opted_out"), 3),
        ];
        let expected =
            [(("es", false, OTHER), 11), (("es", true, "soft_opt_in"), 27), (("pt", false, OTHER), 3)];
        assert_eq!(within_sides(cells), expected);
    }

    #[test]
    fn a_run_tells_of_no_few_and_names_nobody() {
        let run = json!({"contacts": 500, "stages": {"expired (fr.retention/1)": 5}, "version": 3, "threshold": 0.5,
                         "drift": {"contacts": [42]}});
        let shown = json!({"contacts": 500, "stages": {"expired (fr.retention/1)": "fewer than ten"}, "version": 3,
                           "threshold": 0.5, "drift": {}});
        assert_eq!(of_run(&run), shown);
    }

    #[test]
    fn nobody_is_known_by_a_rare_reason() {
        let one = |via: &str, reason: &str, events| Refusals {
            month: "2026-03".into(),
            kind: "opt_out".into(),
            sender: "shop".into(),
            via: via.into(),
            reason_code: reason.into(),
            events,
        };
        let pooled: Vec<_> =
            pool_requests(&[one("link", "too_many", 40), one("letter", "moved", 1), one("reply", "ill", 2)])
                .map(|r| (r.via, r.reason_code, r.events))
                .collect();
        assert_eq!(pooled, [("any".into(), "any".into(), 3), ("link".into(), "too_many".into(), 40)]);
    }

    #[test]
    fn a_handful_of_people_stay_unseen() {
        let (cells, pooled) = publish(vec![("a", 3), ("b", 4)]);
        assert!(cells.is_empty() && shown(pooled).is_none());
        assert_eq!(publish::<&str>(Vec::new()), (Vec::new(), 0));
    }
}

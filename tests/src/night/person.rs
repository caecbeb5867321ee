//! One contact with everything the CRM knows: invented, seeded, the same for the same seed whoever asks.

use super::catalogue::{Catalogue, chance};
use crate::demo_data::dice::Dice;

pub const DAY: i64 = 86_400;
/// How far back the oldest contact joined, in days.
const YEARS: f64 = 8.0 * 365.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub id: i64,
    pub country: &'static str,
    pub subscriber: &'static str,
    pub address_kind: Option<&'static str>,
    /// Whose mailbox it is: some couples share one.
    pub mailbox: i64,
    pub sales: Vec<Sale>,
    pub engagement: Vec<Engagement>,
    pub answers: Vec<Answer>,
}

/// Times are seconds before the day's first midnight, between 9 and 18 o'clock: no time zone and no change of clocks
/// moves an end of retention over a midnight (UTC), so that every way of reckoning it must find the same contacts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sale {
    pub type_: usize,
    pub company: i16,
    pub offered: bool,
    pub ago: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Engagement {
    pub kind: &'static str,
    pub machine: bool,
    pub ago: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    pub kind: &'static str,
    pub method: Option<&'static str>,
    pub type_: Option<usize>,
    pub ago: i64,
}

/// How many, with this mean; few have many.
fn how_many(mean: f64, most: f64, dice: &mut Dice) -> usize {
    // The floor of an exponential variable with this rate has the mean asked for.
    let rate = (1.0 + 1.0 / mean).ln();
    (-(1.0 - chance(dice)).ln() / rate).min(most) as usize
}

impl Person {
    pub fn new(id: i64, seed: u64, catalogue: &Catalogue) -> Person {
        let dice = &mut Dice::new(seed, id);
        let country = dice.share(&[("GB", 35), ("FR", 25), ("US", 15), ("DE", 15), ("CA", 10)]);
        let company = dice.percent(5);
        let mailbox = if id > 1 && dice.percent(1) { id - 1 } else { id };
        // From joining to today, or to the day they lost interest.
        let joined = 2.0 + chance(dice) * (YEARS - 2.0);
        let left = if dice.percent(60) { 1.0 } else { 1.0 + chance(dice) * (joined - 1.0) };
        let ago = |dice: &mut Dice| {
            let day = (left + chance(dice) * (joined - left)) as i64;
            day * DAY - dice.between(9 * 3600, 18 * 3600)
        };
        let favourites = [catalogue.anything(dice), catalogue.anything(dice)];
        let two = dice.percent(12);
        let bought = if dice.percent(4) { 0 } else { how_many(6.75, 80.0, dice) };
        let mut sales: Vec<Sale> = Vec::with_capacity(bought);
        for n in 0..bought {
            let favourite = favourites[usize::from(dice.percent(30))];
            let type_ = match dice.between(0, 100) {
                0..7 if n > 0 => sales[dice.between(0, n as i64) as usize].type_,
                0..45 => catalogue.of_group(favourite, dice),
                45..70 => catalogue.of_department(favourite, dice),
                _ => catalogue.anything(dice),
            };
            let company = if two && dice.percent(40) { 2 } else { 1 };
            sales.push(Sale { type_, company, offered: dice.percent(85), ago: ago(dice) });
        }
        let engagement = (0..how_many(1.3, 40.0, dice))
            .map(|_| {
                let click = dice.percent(40);
                let kind = if click { "click" } else { "open" };
                Engagement { kind, machine: click && dice.percent(15), ago: ago(dice) }
            })
            .collect();
        let mut answers = Vec::new();
        if dice.percent(18) {
            let method = if dice.percent(92) { "active" } else { "pre_ticked" };
            answers.push(Answer { kind: "opt_in", method: Some(method), type_: None, ago: ago(dice) });
        }
        if dice.percent(6) {
            let type_ = dice.percent(15).then(|| catalogue.anything(dice));
            answers.push(Answer { kind: "opt_out", method: None, type_, ago: ago(dice) });
        }
        Person {
            id,
            country,
            subscriber: if company { "corporate" } else { "individual" },
            // No person behind it, and so beyond retention.
            address_kind: company.then_some("role"),
            mailbox,
            sales,
            engagement,
            answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_set_has_the_size_it_is_said_to_have() {
        let catalogue = Catalogue::new(42);
        let n = 20_000;
        let (mut events, mut pairs, mut answers) = (0, 0, 0);
        for id in 1..=n {
            let p = Person::new(id, 42, &catalogue);
            events += p.sales.len() + p.engagement.len() + p.answers.len();
            answers += p.answers.len();
            pairs += p.sales.iter().map(|s| s.type_).collect::<HashSet<_>>().len();
        }
        let each = |x: usize| x as f64 / n as f64;
        // 40 million events and 25.6 million pairs for 5 million contacts.
        assert!((7.8..8.2).contains(&each(events)), "{} events a contact", each(events));
        assert!((5.0..5.5).contains(&each(pairs)), "{} pairs a contact", each(pairs));
        assert!((0.02..0.05).contains(&(each(answers) / each(events))));
    }

    #[test]
    fn nothing_happens_in_the_future_or_at_night() {
        let catalogue = Catalogue::new(42);
        for id in 1..=2_000 {
            let p = Person::new(id, 42, &catalogue);
            assert_eq!(p, Person::new(id, 42, &catalogue));
            for ago in p.sales.iter().map(|s| s.ago).chain(p.engagement.iter().map(|e| e.ago)) {
                let hour = DAY - ago.rem_euclid(DAY);
                assert!(ago > 0 && (9 * 3600..=18 * 3600).contains(&hour), "{ago}");
            }
        }
    }
}

//! Whether it would be noticed: each single condition of a pack is flipped, and some scenario must then answer otherwise
//! than the law says, or some approved answer change.

mod flips;
mod values;
mod variants;

use crate::matrix;
use crate::parallel::in_parallel;
use crate::scenario::{Answer, Prepared, Scenario};
use anyhow::{Context, Result};
use flips::Flip;
use pg_consent_policy::pack::Pack;
use serde_json::{Value, json};

/// What became of one pack's mutants.
#[derive(Debug, Default)]
pub struct Outcome {
    pub pack: String,
    pub scenarios: usize,
    pub mutants: usize,
    /// Of the mutants killed those that a scenario answers to; of the others only the approved answers change.
    pub by_scenarios: usize,
    /// In the pack's order.
    pub survivors: Vec<Survivor>,
    /// Scenarios that fail as it is; they can kill nothing.
    pub failing: Vec<String>,
}

/// A flip that nothing answers to.
#[derive(Debug, Clone)]
pub struct Survivor {
    pub rule: String,
    pub flip: String,
    /// The variant of a scenario whose answer it changes: what is to be written.
    pub shows: Option<String>,
}

impl std::fmt::Display for Survivor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Survivor { rule, flip, shows } = self;
        write!(f, "{rule}: {flip}")?;
        shows.as_ref().map_or(Ok(()), |shows| write!(f, "  ({shows})"))
    }
}

impl Outcome {
    pub fn killed(&self) -> usize {
        self.mutants - self.survivors.len()
    }

    pub fn to_json(&self) -> Value {
        let entry = |s: &Survivor| json!({"rule": s.rule, "flip": s.flip, "shows": s.shows});
        let survivors: Vec<Value> = self.survivors.iter().map(entry).collect();
        json!({"pack": self.pack, "scenarios": self.scenarios, "mutants": self.mutants,
               "killed": self.killed(), "by_scenarios": self.by_scenarios, "survivors": survivors, "failing": self.failing})
    }
}

/// A scenario, and the rule that its answer cites.
struct Witness<'a> {
    scenario: &'a Scenario,
    prepared: Prepared,
    cited: Option<String>,
}

impl Witness<'_> {
    /// Whether it answers otherwise than expected under these packs.
    fn objects(&self, packs: &[Pack]) -> bool {
        let answer = self.prepared.ask(packs, self.scenario.expect.valid_until.is_some());
        !matches!(self.scenario.fault(&answer), Ok(None))
    }
}

/// Flips each condition of `packs[which]` in turn; what no scenario answers to, the approved answers may (`with_matrix`).
/// `hints` looks for what would kill the survivors, which takes longer.
pub fn check(
    packs: &[Pack],
    which: usize,
    scenarios: &[Scenario],
    hints: bool,
    with_matrix: bool,
) -> Result<Outcome> {
    let pack = &packs[which];
    let mut outcome = Outcome { pack: pack.id.clone(), ..Outcome::default() };
    let others: Vec<Pack> = packs.iter().filter(|p| p.fallback && p.id != pack.id).cloned().collect();
    let with = |own: Pack| [vec![own], others.clone()].concat();
    let unchanged = with(pack.clone());
    let mut witnesses = Vec::new();
    for scenario in scenarios.iter().filter(|s| concerns(packs, pack, s)) {
        let prepared = scenario.prepare().with_context(|| scenario.id.clone())?;
        let cited = prepared.ask(&unchanged, false).rule;
        let witness = Witness { scenario, prepared, cited };
        if witness.objects(&unchanged) {
            outcome.failing.push(scenario.id.clone());
        } else {
            witnesses.push(witness);
        }
    }
    outcome.scenarios = witnesses.len();

    let form = serde_json::to_value(pack)?;
    let mutants: Vec<(Flip, Pack)> = flips::all(&form)?
        .into_iter()
        .filter_map(|flip| Some((mutant(&form, &flip)?, flip)))
        .filter(|(changed, _)| changed != pack)
        .map(|(changed, flip)| (flip, changed))
        .collect();
    outcome.mutants = mutants.len();
    let survives = |(flip, changed): &(Flip, Pack)| {
        if !changed.faults().is_empty() {
            return false;
        }
        let packs = with(changed.clone());
        let citing = |w: &&Witness| w.cited.as_deref() == Some(&flip.rule);
        let (first, then): (Vec<_>, Vec<_>) = witnesses.iter().partition(citing);
        !first.into_iter().chain(then).any(|w| w.objects(&packs))
    };
    let lived = in_parallel(&mutants, survives);
    let lived: Vec<_> = mutants.iter().zip(lived).filter(|(_, lived)| *lived).map(|(m, _)| m).collect();
    outcome.by_scenarios = mutants.len() - lived.len();
    let survivors = if with_matrix {
        let changed: Vec<&Pack> = lived.iter().map(|(_, changed)| changed).collect();
        let noticed = matrix::noticed(pack, &changed);
        lived.into_iter().zip(noticed).filter(|(_, noticed)| !*noticed).map(|(m, _)| m).collect()
    } else {
        lived
    };

    let variants = if hints { Variant::all(&witnesses, &form, &unchanged) } else { Vec::new() };
    let shows: Vec<Option<String>> = in_parallel(&survivors, |(_, changed): &&(Flip, Pack)| {
        let packs = with(changed.clone());
        let found = |with_end| variants.iter().find(|v| v.tells_apart(&packs, with_end));
        found(false).or_else(|| found(true)).map(|v| v.what.clone())
    });
    let named = |((flip, _), shows): (&(Flip, Pack), _)| Survivor {
        rule: flip.rule.clone(),
        flip: flip.what.clone(),
        shows,
    };
    outcome.survivors = survivors.into_iter().zip(shows).map(named).collect();
    Ok(outcome)
}

/// Enough to find most, and few enough to take seconds.
const MAX_VARIANTS: usize = 10_000;

/// A scenario asked a little otherwise, and its answer under the pack as it is, with its end.
struct Variant {
    what: String,
    prepared: Prepared,
    answer: Answer,
}

impl Variant {
    fn all(witnesses: &[Witness<'_>], pack: &Value, packs: &[Pack]) -> Vec<Variant> {
        let spoken = values::Spoken::of(pack);
        let of = |w: &Witness<'_>| {
            let id = w.scenario.id.clone();
            let named = move |(what, variant)| (format!("{id} {what}"), variant);
            variants::of(w.scenario, pack, &spoken).into_iter().map(named)
        };
        let all: Vec<_> = witnesses.iter().flat_map(of).collect();
        let sample: Vec<_> = all.iter().step_by(all.len() / MAX_VARIANTS + 1).collect();
        let asked = in_parallel(&sample, |(what, variant)| {
            let prepared = variant.prepare().ok()?;
            let answer = prepared.ask(packs, true);
            Some(Variant { what: what.clone(), prepared, answer })
        });
        asked.into_iter().flatten().collect()
    }

    fn tells_apart(&self, packs: &[Pack], with_end: bool) -> bool {
        let answer = self.prepared.ask(packs, with_end);
        let same =
            |a: &Answer, b: &Answer| (a.allowed, &a.basis, &a.reason) == (b.allowed, &b.basis, &b.reason);
        !same(&answer, &self.answer) || with_end && answer.valid_until != self.answer.valid_until
    }
}

/// Whether the pack answers for the scenario's contact.
fn concerns(packs: &[Pack], pack: &Pack, scenario: &Scenario) -> bool {
    let names = |p: &Pack| p.countries.iter().any(|c| c.code == scenario.contact.country);
    names(pack) || pack.fallback && !packs.iter().any(names)
}

/// The changed pack; `None` where the change makes it none (a value that must be there taken away).
fn mutant(form: &Value, flip: &Flip) -> Option<Pack> {
    let mut form = form.clone();
    for (place, value) in &flip.edits {
        *form.pointer_mut(place)? = value.clone();
    }
    serde_json::from_value(form).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use pg_consent_policy::pack::builtin;

    #[test]
    fn no_field_of_a_compiled_in_pack_is_unknown_to_the_flips() {
        for pack in builtin() {
            let form = serde_json::to_value(pack).unwrap();
            assert!(flips::all(&form).unwrap().len() > 20 * pack.rules.len(), "{}", pack.id);
        }
    }

    #[test]
    fn every_flip_changes_the_pack_or_takes_away_what_must_be_there() {
        for pack in builtin() {
            let form = serde_json::to_value(pack).unwrap();
            for flip in flips::all(&form).unwrap() {
                match mutant(&form, &flip) {
                    Some(changed) => assert!(changed != *pack, "{}: {}", flip.rule, flip.what),
                    None => assert!(flip.what.ends_with("removed"), "{}: {}", flip.rule, flip.what),
                }
            }
        }
    }

    #[test]
    fn without_scenarios_every_valid_mutant_survives() {
        let outcome = check(builtin(), 0, &[], false, false).unwrap();
        assert!(outcome.survivors.len() * 10 > outcome.mutants * 9);
        assert!(outcome.killed() > 0, "an invalid pack can't answer");
    }

    #[test]
    fn texts_for_readers_are_no_conditions() {
        let form = serde_json::to_value(&builtin()[0]).unwrap();
        for flip in flips::all(&form).unwrap() {
            for (place, _) in &flip.edits {
                let field = place.rsplit('/').next().unwrap();
                assert!(!["note", "citation", "id", "obligations", "confidence"].contains(&field), "{place}");
            }
        }
    }
}

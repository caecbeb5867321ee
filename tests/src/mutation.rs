//! Whether the scenarios would notice: each single condition of a pack is flipped, and some scenario must then answer
//! otherwise than the law says.

mod flips;
mod values;

use crate::scenario::{Prepared, Scenario};
use anyhow::{Context, Result};
use flips::Flip;
use pg_consent_policy::pack::Pack;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of one pack's mutants.
#[derive(Debug, Default)]
pub struct Outcome {
    pub pack: String,
    pub scenarios: usize,
    pub mutants: usize,
    /// `rule: what was flipped`, in the pack's order.
    pub survivors: Vec<(String, String)>,
    /// Scenarios that fail as it is; they can kill nothing.
    pub failing: Vec<String>,
}

impl Outcome {
    pub fn to_json(&self) -> Value {
        let survivors: Vec<_> = self.survivors.iter().map(|(r, w)| json!({"rule": r, "flip": w})).collect();
        json!({"pack": self.pack, "scenarios": self.scenarios, "mutants": self.mutants,
               "killed": self.mutants - self.survivors.len(), "survivors": survivors,
               "failing": self.failing})
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

/// Flips each condition of `packs[which]` in turn.
pub fn check(packs: &[Pack], which: usize, scenarios: &[Scenario]) -> Result<Outcome> {
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
    let survivors = in_parallel(&mutants, survives);
    outcome.survivors =
        survivors.into_iter().map(|i| (mutants[i].0.rule.clone(), mutants[i].0.what.clone())).collect();
    Ok(outcome)
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

/// The positions of the items of which `test` is true, in order.
fn in_parallel<T: Sync>(items: &[T], test: impl Fn(&T) -> bool + Sync) -> BTreeSet<usize> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((i, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            if test(item) {
                found.push(i);
            }
        }
        found
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
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
    fn every_flip_changes_something_and_almost_every_one_leaves_a_pack() {
        for pack in builtin() {
            let form = serde_json::to_value(pack).unwrap();
            let flips = flips::all(&form).unwrap();
            let packs: Vec<_> = flips.iter().filter_map(|f| mutant(&form, f)).collect();
            assert!(packs.iter().all(|p| p != pack), "{}", pack.id);
            assert!(packs.len() * 10 > flips.len() * 9, "{}", pack.id);
        }
    }

    #[test]
    fn without_scenarios_every_valid_mutant_survives() {
        let outcome = check(builtin(), 0, &[]).unwrap();
        assert!(outcome.survivors.len() * 10 > outcome.mutants * 9);
        assert!(outcome.survivors.len() < outcome.mutants, "an invalid pack can't answer");
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

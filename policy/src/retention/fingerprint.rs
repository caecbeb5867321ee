//! What retention rests on besides the contact: when it changes, what was worked out by it is worth nothing.

use crate::pack::{Requirement, Rule};
use crate::question::Question;
use sha2::{Digest, Sha256};

/// A digest of the version, the senders, and the retention rules with the countries and decisions they depend on; one
/// question a sender, in a fixed order. The instant of asking is no part of it.
pub fn fingerprint(questions: &[Question]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for question in questions {
        digest
            .update(postcard::to_allocvec(&(&question.policy_version, &question.sender)).unwrap_or_default());
        for jurisdiction in &question.law.jurisdictions {
            let rules: Vec<&Rule> =
                jurisdiction.rules.iter().filter(|r| matches!(r.then, Requirement::Retention(_))).collect();
            let part = (
                &jurisdiction.id,
                jurisdiction.fallback,
                &jurisdiction.countries,
                rules,
                &jurisdiction.switches,
            );
            digest.update(postcard::to_allocvec(&part).unwrap_or_default());
        }
    }
    digest.finalize().into()
}

//! A state: the compact merge of everything known about one contact.
//!
//! [`State`] is the owned form used to build and merge; [`StateView`] reads the stored bytes in place, without
//! allocating, which is what a decision does for each row of a scan.

mod atom;
mod codec;
mod drift;

pub use atom::*;
pub use codec::{Atoms, Corrupt, MAX_STATE_BYTES, ProfileView, Relations, StateView, VERSION};
pub use drift::differences;

use crate::codes::*;
use crate::fact::Fact;
use crate::profile::Profile;
use crate::time::Instant;
use enumset::EnumSet;

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The latest fact taken in. Earlier instants can't be answered from this state.
    pub horizon: Instant,
    /// A fold failed or a source broke: denies until refolded.
    pub dirty: bool,
    /// The relationships did not fit: the full state is in the side table.
    pub overflow: bool,
    pub profile: Option<Profile>,
    /// Sorted by key.
    atoms: Vec<Atom>,
}

impl Default for State {
    fn default() -> Self {
        State { horizon: Instant::MIN, dirty: false, overflow: false, profile: None, atoms: Vec::new() }
    }
}

impl State {
    pub fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// The state of a contact of whom nothing is known but the profile.
    pub fn of_profile(profile: Profile) -> State {
        State { horizon: Instant::MIN, profile: Some(profile), ..State::default() }
    }

    /// What one fact leaves behind. Facts that no decision depends on (opens, bounces, service messages, answers that
    /// are no opt-in) leave an empty state.
    pub fn of_fact(fact: &Fact) -> State {
        let mut state = State::default();
        let earlier = fact.at.min(fact.recorded_at);
        let to_second = |t: Instant| Instant::from_seconds(t.seconds());
        let own = fact.other_contact == 0;
        let restriction = |kind| {
            Atom::Restriction(Restriction {
                kind,
                sender: fact.sender,
                channels: fact.channels,
                category: if kind == RestrictionKind::OptOut && fact.scope == Scope::Category {
                    fact.category
                } else {
                    0
                },
                everything: kind == RestrictionKind::OptOut && fact.scope == Scope::All,
                other_contact: fact.other_contact,
                from: earlier,
                lifted_after: fact.at.max(fact.recorded_at),
            })
        };
        use EventKind::*;
        match fact.kind {
            OptOut if fact.via == Some(Via::System) => state.add(restriction(RestrictionKind::PassiveOptOut)),
            OptOut => state.add(restriction(RestrictionKind::OptOut)),
            OptInRefused if own => state.add(restriction(RestrictionKind::Refusal)),
            // An objection and an erasure request concern the person: every channel, whatever was named.
            Objection | ErasureRequest => {
                let kind = match fact.kind {
                    Objection => RestrictionKind::Objection,
                    _ => RestrictionKind::Erasure,
                };
                if let Atom::Restriction(r) = restriction(kind) {
                    state.add(Atom::Restriction(Restriction { channels: EnumSet::all(), ..r }));
                }
            }
            OptIn => state.add(Atom::OptIn(atom::OptIn {
                sender: fact.sender,
                channels: fact.channels,
                purposes: fact.purposes,
                category: fact.category,
                address: fact.address,
                other_contact: fact.other_contact,
                // An opt-in of unknown making is worth no more than an implied one.
                method: fact.method.unwrap_or(Method::Implied),
                grade: fact.grade,
                names_sender: fact.names_sender,
                from_person: fact.from_person,
                pending: fact.pending,
                expires: fact.expires,
                at: earlier,
            })),
            OptInConfirmed if own => state.add(Atom::Confirmation(Confirmation {
                sender: fact.sender,
                channels: fact.channels,
                purposes: fact.purposes,
                address: fact.address,
                at: earlier,
            })),
            RegisterListed | RegisterDelisted => {
                if let Some(register) = fact.register {
                    let listed = (fact.kind == RegisterListed).then_some(to_second(earlier));
                    state.add(Atom::Listing(Listing {
                        register,
                        sender: fact.sender,
                        channels: fact.channels,
                        first_listed: listed,
                        last_listed: listed,
                        // A removal counts from the later of the two: until it was known, the number was listed.
                        delisted: (fact.kind == RegisterDelisted)
                            .then_some(to_second(fact.at.max(fact.recorded_at))),
                    }));
                }
            }
            ContractEnd | SubscriptionEnd | MembershipEnd if own => {
                let kind = match fact.kind {
                    ContractEnd => ContractStart,
                    SubscriptionEnd => SubscriptionStart,
                    _ => MembershipStart,
                };
                state.add(Atom::Contract(Contract {
                    kind,
                    sender: fact.sender,
                    category: fact.category,
                    started: None,
                    ended: Some(to_second(fact.at)),
                }));
            }
            Click | Login if own && !fact.machine => state.add(Atom::Action(Action {
                kind: fact.kind,
                sender: fact.sender,
                at: to_second(earlier),
            })),
            // A message of unknown kind may have been advertising, and nothing shows that it was lawful.
            Sent if own && fact.nature.is_none_or(|n| !n.is_service()) => state.add(Atom::Sends(Sends {
                sender: fact.sender,
                channels: fact.channels,
                compliant: fact.compliant && fact.nature.is_some(),
                first: to_second(fact.at),
                last: to_second(fact.at),
            })),
            BusinessTransferred if own && fact.to != 0 && fact.to != fact.sender => {
                state.add(Atom::Transfer(Transfer {
                    from: fact.sender,
                    to: fact.to,
                    at: to_second(fact.at),
                }));
            }
            LegalHold => state.add(Atom::Hold(Hold { held: Some(to_second(fact.at)), released: None })),
            LegalHoldReleased => {
                state.add(Atom::Hold(Hold { held: None, released: Some(to_second(fact.at)) }));
            }
            OptInRefused | OptInConfirmed | ContractEnd | SubscriptionEnd | MembershipEnd => {}
            Click | Login => {}
            InboundContact if fact.machine => {}
            OptInUnanswered | SystemOptIn | Open | Bounce | Sent | CallAttempt | BusinessTransferred => {}
            // How often somebody wants to be written to is counted in the send log.
            Preference => {}
            // What is left is a way of collecting the address, or a contact that the person sought.
            kind if own => {
                state.add(Atom::Relation(Relation {
                    kind,
                    sender: fact.sender,
                    category: fact.category,
                    channels: fact.channels,
                    address: fact.address,
                    opt_out_offered: fact.opt_out_offered,
                    from_person: fact.from_person,
                    grade: fact.grade,
                    funded_by_paid: fact.funded_by_paid,
                    refusal_notice: fact.refusal_notice,
                    relevant_to_role: fact.relevant_to_role,
                    purposes: fact.purposes,
                    referred: fact.referred,
                    at: to_second(earlier),
                }));
                if kind.begins_contract() {
                    state.add(Atom::Contract(Contract {
                        kind,
                        sender: fact.sender,
                        category: fact.category,
                        started: Some(to_second(earlier)),
                        ended: None,
                    }));
                }
                if fact.refused {
                    state.add(restriction(RestrictionKind::Refusal));
                }
            }
            _ => {}
        }
        if !state.atoms.is_empty() {
            state.horizon = earlier;
        }
        state
    }

    /// Takes `other` in. Commutative, associative and idempotent.
    pub fn merge(&mut self, other: &State) {
        self.horizon = self.horizon.max(other.horizon);
        self.dirty |= other.dirty;
        self.overflow |= other.overflow;
        if other.profile > self.profile {
            self.profile.clone_from(&other.profile);
        }
        for atom in &other.atoms {
            self.add(*atom);
        }
    }

    /// Takes a stored state in: what decoding it and merging would give, without the state in between.
    pub fn merge_stored(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let view = StateView::new(bytes)?;
        self.horizon = self.horizon.max(view.horizon);
        self.dirty |= view.dirty;
        self.overflow |= view.overflow;
        if let Some(profile) = view.profile {
            self.profile = self.profile.take().max(Some(profile.to_owned()));
        }
        for atom in view.atoms() {
            self.add(atom?);
        }
        Ok(())
    }

    /// Joins one atom in, keeping the list sorted and, among opt-ins of one key, only the undominated.
    fn add(&mut self, atom: Atom) {
        let key = atom.key();
        let start = self.atoms.partition_point(|a| a.key() < key);
        let mut end = start;
        let mut atom = atom;
        while end < self.atoms.len() && self.atoms[end].key() == key {
            match self.atoms[end].join(atom) {
                Some(joined) => {
                    atom = joined;
                    self.atoms.remove(end);
                }
                None => end += 1,
            }
        }
        let place = match atom {
            Atom::OptIn(new) => {
                start + self.atoms[start..end].partition_point(|a| matches!(a, Atom::OptIn(o) if *o < new))
            }
            Atom::Sends(new) => {
                start
                    + self.atoms[start..end]
                        .partition_point(|a| matches!(a, Atom::Sends(s) if s.first < new.first))
            }
            _ => start,
        };
        self.atoms.insert(place, atom);
    }

    /// What the person did, and nothing else of the state: clicks, logins, replies.
    pub fn activity(&self) -> State {
        let mut activity = State::default();
        for atom in &self.atoms {
            let at = match atom {
                Atom::Action(a) => a.at,
                Atom::Relation(r) if r.kind == EventKind::InboundContact => r.at,
                _ => continue,
            };
            activity.horizon = activity.horizon.max(at);
            activity.add(*atom);
        }
        activity
    }

    /// What is stored where the full state exceeds [`MAX_STATE_BYTES`]: it denies, and the side table has the rest.
    /// The restrictions that concern everything stay, for whoever reads only this.
    pub fn capped(&self) -> State {
        let mut short = self.clone();
        short.overflow = true;
        short.atoms.retain(|a| match a {
            Atom::Restriction(r) => r.category == 0 && r.other_contact == 0,
            Atom::Listing(_) => true,
            _ => false,
        });
        short
    }
}

#[cfg(test)]
mod tests;

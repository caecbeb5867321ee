//! What surrounds a contact: where, when, by whom, with what message, under which decisions.

use super::contacts::{ABOVE, SAME, SIMILAR};
use chrono::{Days, Months, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use pg_consent_policy::codes::*;
use pg_consent_policy::pack::Pack;
use pg_consent_policy::profile::{AddressInUse, Profile};
use pg_consent_policy::question::{Form, Message, PolicyDecision, Question, Sender, Target};
use pg_consent_policy::time::{Instant, Period, from_local};

/// The asking sender.
pub const US: u32 = 1;

/// Where a contact lives, and at what line.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub country: String,
    pub region: Option<String>,
    pub line: Line,
    pub zone: Tz,
}

/// Whom the message comes from, and what it is like, but for nature and channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    pub sender: Sender,
    pub form: Form,
    pub sector: Option<Sector>,
    /// Contested points decided otherwise than by default: the switch, and how.
    pub decisions: Vec<(String, bool)>,
    /// The message names no product category.
    pub general: bool,
}

impl Place {
    pub fn of(pack: &Pack, country: Option<&str>) -> Place {
        let found = pack.countries.iter().find(|c| country.is_none_or(|code| c.code == code));
        Place {
            country: found.map_or("ZZ", |c| &c.code).to_owned(),
            region: None,
            line: Line::Unknown,
            zone: found.and_then(|c| c.zone.parse().ok()).unwrap_or(Tz::UTC),
        }
    }

    pub fn profile(&self, subscriber: Subscriber, kind: AddressKind) -> anyhow::Result<Profile> {
        let region = self.region.as_ref().map(|r| format!("{}-{r}", self.country));
        let mut profile = Profile::new(Instant::MIN, Some(&self.country), region.as_deref(), None)?;
        (profile.subscriber, profile.address_kind, profile.line) = (subscriber, kind, self.line);
        profile.addresses = [AddressInUse { tag: 1, since: None }; 3];
        Ok(profile)
    }
}

impl Asked {
    /// Compiled for one pack.
    pub fn question(&self, nature: Nature, channel: Channel, at: Instant, pack: &[Pack]) -> Question {
        let decisions = self.decisions.iter().map(|(switch, permissive)| PolicyDecision {
            switch: switch.clone(),
            permissive: *permissive,
            decided_by: "the board".into(),
            decided_on: "2026-01-01".into(),
            reason: "on advice".into(),
            document: String::new(),
        });
        let message = Message { kind: nature.code().into(), nature, channel, form: self.form.clone() };
        let target = Target {
            category: if self.general { 0 } else { SAME },
            ancestors: if self.general { Vec::new() } else { vec![SAME, ABOVE] },
            similar: if self.general { Vec::new() } else { vec![SAME, SIMILAR] },
            sector: self.sector,
        };
        let sender = Sender { id: US, name: "Us".into(), ..self.sender.clone() };
        Question::new(at, sender, message, target, pack, decisions.collect())
    }

    /// What differs from the ordinary, in words; empty for nothing.
    pub fn words(&self) -> String {
        let (form, sender, usual) = (&self.form, &self.sender, Form::default());
        let mut words: Vec<String> = Vec::new();
        let mut say = |it: bool, what: &str| {
            if it {
                words.push(what.to_owned());
            }
        };
        say(sender.charity, "sender charity");
        say(sender.political_party, "sender political party");
        say(sender.pension_authorised, "sender pension_authorised");
        say(form.promotional_first, "promotional_first");
        say(form.automated, "automated");
        say(form.profession_related, "profession_related");
        say(form.ongoing_contract_related, "ongoing_contract_related");
        say(!form.identity, "no identity");
        say(!form.postal_address, "no postal_address");
        say(form.misleading_subject, "misleading_subject");
        say(form.unsubscribe != usual.unsubscribe, &format!("unsubscribe {}", form.unsubscribe));
        say(self.general, "no category");
        if let Some(promotional) = form.promotional {
            words.push(format!("promotional {promotional}"));
        }
        if let Some(sector) = self.sector {
            words.push(format!("sector {sector}"));
        }
        for (switch, permissive) in &self.decisions {
            words.push(format!("{switch} decided {}", if *permissive { "permissively" } else { "strictly" }));
        }
        words.join(", ")
    }
}

/// Half past two, within every country's hours on a working day.
pub fn afternoon(day: NaiveDate, zone: Tz) -> Instant {
    from_local(day.and_time(NaiveTime::from_hms_opt(14, 30, 0).unwrap_or_default()), zone)
}

pub fn days_before(at: Instant, days: i64) -> Instant {
    Instant(at.0 - days * 86_400_000)
}

/// The evening of the day from which the period reaches to this one, or so many days earlier.
pub fn evening_before(at: Instant, period: Period, days: u64, zone: Tz) -> Instant {
    let day = at.local_date(zone);
    let start = day
        .checked_sub_months(Months::new(period.years * 12 + period.months))
        .and_then(|d| d.checked_sub_days(Days::new(u64::from(period.days) + days)))
        .unwrap_or(day);
    from_local(start.and_time(NaiveTime::from_hms_opt(20, 0, 0).unwrap_or_default()), zone)
}

//! Every scenario in three ways: the pure core, all facts in SQL, and the stored state.

use crate::cluster::{Cluster, Options};
use crate::scenario::{Answer, Event, Scenario};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use pg_consent_policy::codes::{Channel, EventKind};
use pg_consent_policy::time::Instant;
use postgres::{Client, Row, Transaction};
use serde_json::{Value, json};

/// The contact whose every fact is recorded; asked as of then.
const WITH_ALL_FACTS: i64 = 1;
/// The contact of whom only what counts at the time of asking is recorded; asked live.
const LIVE: i64 = 2;
/// Added to a contact's id: somebody else who uses the same addresses.
const NEIGHBOUR: i64 = 10;

const CRM: &str = "
    CREATE EXTENSION pg_consent;
    CALL consent.setup();
    CREATE SCHEMA crm;
    CREATE TABLE crm.contact (contact_id bigint PRIMARY KEY, country text, region text, timezone text,
        subscriber text, address_kind text, line text, email text, phone text, post text);
    CREATE VIEW crm.bound_contact AS TABLE crm.contact;
    SELECT consent.bind_contacts('crm.bound_contact');";

pub struct Runner {
    client: Client,
    _cluster: Cluster,
}

impl Runner {
    pub fn start() -> Result<Runner> {
        let cluster = Cluster::start(Options::default())?;
        let mut client = cluster.connect("postgres", "postgres")?;
        client.batch_execute(CRM).context("setting up the scenario database")?;
        Ok(Runner { client, _cluster: cluster })
    }

    /// What is wrong with the three answers, one line each; nothing if all is well.
    pub fn faults(&mut self, scenario: &Scenario) -> Result<Vec<String>> {
        let core = scenario.ask_core().context("core")?;
        // Rolled back when dropped: scenarios leave nothing behind.
        let mut transaction = self.client.transaction()?;
        let case = Case { scenario };
        case.prepare(&mut transaction)?;
        let ledger = case.ask_as_of(&mut transaction).context("all facts in SQL")?;
        let live = case.ask_live(&mut transaction).context("stored state")?;
        let gate = case.ask_gates(&mut transaction).context("gates")?;
        let mut faults = Vec::new();
        for (way, answer) in [("core", &core), ("all facts", &ledger), ("stored state", &live)] {
            faults.extend(scenario.fault(answer)?.map(|f| format!("{way}: {f}")));
        }
        for (way, answer) in [("all facts", &ledger), ("stored state", &live)] {
            if *answer != core {
                faults.push(format!("{way} says {answer}, the core {core}"));
            }
        }
        // Frequency limits are judged where something is sent, not in a scan.
        let gated = live.allowed || live.reason.as_deref() == Some("frequency_cap");
        if gate != [gated, gated] {
            faults.push(format!("can_send and @@ say {gate:?}, explain_send {}", live.allowed));
        }
        Ok(faults)
    }
}

struct Case<'a> {
    scenario: &'a Scenario,
}

fn sql_time(t: Instant) -> DateTime<Utc> {
    t.to_utc()
}

impl Case<'_> {
    fn prepare(&self, t: &mut Transaction<'_>) -> Result<()> {
        let s = self.scenario;
        for (i, name) in s.senders().iter().enumerate() {
            let asks = i == 0;
            t.execute(
                // Scenarios say which categories are similar; the sender's breadth must not say otherwise.
                "INSERT INTO consent_data.sender (name, charity, political_party, pension_authorised, is_default, breadth)
                 VALUES ($1, $2, $3, $4, $5, 'supermarket')",
                &[
                    name,
                    &(asks && s.sender.charity),
                    &(asks && s.sender.political_party),
                    &(asks && s.sender.pension_authorised),
                    &asks,
                ],
            )?;
        }
        for category in &s.categories {
            let sector = category.sector.map(|x| x.code());
            t.execute(
                "INSERT INTO consent_data.category (name, sector) VALUES ($1, $2)",
                &[&category.name, &sector],
            )?;
        }
        for category in s.categories.iter().filter(|c| c.parent.is_some()) {
            t.execute(
                "UPDATE consent_data.category c SET parent_id = p.category_id
                   FROM consent_data.category p WHERE c.name = $1 AND p.name = $2",
                &[&category.name, &category.parent],
            )?;
        }
        for pair in &s.similar {
            t.execute(
                "INSERT INTO consent_data.similarity (version, sender_id, category_a, category_b, score, wu_palmer,
                     buyers_a, buyers_b, buyers_both, buyers_all, expected_both, npmi, llr, evidence, threshold)
                 SELECT 0, n.sender_id, least(a.category_id, b.category_id), greatest(a.category_id, b.category_id),
                        $4, 0, 0, 0, 0, 0, 0, 0, 0, false, 0.5
                   FROM consent_data.sender n, consent_data.category a, consent_data.category b
                  WHERE n.name = $1 AND a.name = $2 AND b.name = $3",
                &[&s.sender.name, &pair.from, &pair.to, &pair.score],
            )?;
        }
        t.execute(
            "INSERT INTO consent_data.message_kind (name, nature, channel, form) VALUES ('asked', $1, $2, $3)",
            &[&s.ask.kind.code(), &s.ask.channel.code(), &json!(s.form()?)],
        )?;
        for contact in [WITH_ALL_FACTS, LIVE] {
            for (id, owner) in [(contact, contact), (contact + NEIGHBOUR, contact)] {
                let c = &s.contact;
                t.execute(
                    "INSERT INTO crm.contact VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    &[
                        &id,
                        &c.country,
                        &c.region,
                        &c.timezone,
                        &c.subscriber.code(),
                        &c.address_kind.code(),
                        &c.line.map(|l| l.code()),
                        &format!("person{owner}@example.org"),
                        &format!("+44 20 7946 00{owner:02}"),
                        &format!("{owner} High Street"),
                    ],
                )?;
            }
        }
        t.batch_execute("SELECT consent.refold(ARRAY(SELECT contact_id::text FROM crm.contact))")?;
        for event in &s.events {
            self.record(t, event, WITH_ALL_FACTS)?;
            if s.counts(event)? {
                self.record(t, event, LIVE)?;
            }
        }
        Ok(())
    }

    fn record(&self, t: &mut Transaction<'_>, event: &Event, contact: i64) -> Result<()> {
        let s = self.scenario;
        let contact = if event.other_contact { contact + NEIGHBOUR } else { contact };
        let at = s.instant(&event.at)?;
        let recorded = event.recorded_at.as_deref().map_or(Ok(at), |r| s.instant(r))?;
        let evidence = match &event.evidence {
            None => Some(json!({"held": true})),
            Some(Value::Null) => None,
            Some(held) => Some(held.clone()),
        };
        let mut detail = event.rest.clone();
        if let Some(Value::String(end)) = event.rest.get("expires").filter(|e| *e != "never") {
            let end = sql_time(s.instant(end)?).to_rfc3339_opts(SecondsFormat::Secs, true);
            detail.insert("expires".into(), end.into());
        }
        // Left to the function where the file says nothing.
        let said = event.channel.is_some() || event.channels.is_some();
        let channels: Option<Vec<&str>> =
            said.then(|| s.channels(event)).transpose()?.map(|c| c.iter().map(Channel::code).collect());
        if at.to_utc() > Utc::now() {
            return self.record_ahead_of_time(t, event, contact, &detail, evidence.as_ref());
        }
        let event_id: i64 = t
            .query_one(
                "SELECT consent.record_event($1::bigint, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                                             recorded_at => $14)",
                &[
                    &contact,
                    &event.kind.code(),
                    &sql_time(at),
                    &channels,
                    &event.category,
                    &event.sender,
                    &event.opt_out_offered.map(|o| o.code()),
                    &event.refused,
                    &event.from_person,
                    &event.purposes,
                    &Value::Object(detail),
                    &evidence,
                    &event.address,
                    &sql_time(recorded),
                ],
            )
            .with_context(|| format!("recording {}", event.kind))?
            .get(0);
        if event_id <= 0 && event.kind != EventKind::Open {
            bail!("no event id");
        }
        Ok(())
    }

    /// What a scenario tells of the future can't be recorded yet, so it goes into the ledger by hand.
    fn record_ahead_of_time(
        &self,
        t: &mut Transaction<'_>,
        event: &Event,
        contact: i64,
        detail: &serde_json::Map<String, Value>,
        evidence: Option<&Value>,
    ) -> Result<()> {
        let s = self.scenario;
        let channels: Vec<&str> = s.channels(event)?.iter().map(Channel::code).collect();
        let sender = event.sender.as_ref().unwrap_or(&s.sender.name);
        t.execute(
            "INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id,
                 opt_out_offered, refused, from_person, purposes, detail, evidence)
             SELECT $1, $2, $3, $3, consent._sender_id($4), nullif($5::text[], '{}'), consent._category_id($6), $7, $8, $9, $10, $11, $12",
            &[
                &contact,
                &event.kind.code(),
                &sql_time(s.instant(&event.at)?),
                &sender,
                &channels,
                &event.category,
                &event.opt_out_offered.map(|o| o.code()),
                &event.refused,
                &event.from_person.unwrap_or(true),
                &event.purposes,
                &Value::Object(detail.clone()),
                &evidence,
            ],
        )?;
        let key = contact.to_string();
        t.execute("SELECT consent._link_refusals(ARRAY[$1::text])", &[&key])?;
        t.execute("SELECT consent.refold(ARRAY[$1])", &[&key])?;
        Ok(())
    }

    fn ask_as_of(&self, t: &mut Transaction<'_>) -> Result<Answer> {
        let s = self.scenario;
        let at = sql_time(s.instant(&s.ask.at)?);
        let known = s.ask.known_at.as_deref().map(|k| s.instant(k)).transpose()?.map(sql_time);
        let row = t.query_one(
            "SELECT * FROM consent.explain_send_as_of($1::bigint::text, 'asked', $2, $3, coalesce($4::timestamptz, 'infinity'))",
            &[&WITH_ALL_FACTS, &s.ask.category, &at, &known],
        )?;
        answer(&row)
    }

    fn ask_live(&self, t: &mut Transaction<'_>) -> Result<Answer> {
        let s = self.scenario;
        let at = sql_time(s.instant(&s.ask.at)?);
        let row = t.query_one(
            "SELECT * FROM consent.explain_send($1::bigint, 'asked', $2, at => $3)",
            &[&LIVE, &s.ask.category, &at],
        )?;
        answer(&row)
    }

    fn ask_gates(&self, t: &mut Transaction<'_>) -> Result<[bool; 2]> {
        let s = self.scenario;
        let at = sql_time(s.instant(&s.ask.at)?);
        let row = t.query_one(
            "SELECT consent.can_send($1::bigint, 'asked', $2, at => $3),
                    state OPERATOR(consent.@@) (SELECT consent.question('asked', $2, at => $3))
               FROM consent_data.contact_state WHERE contact_id = $1",
            &[&LIVE, &s.ask.category, &at],
        )?;
        Ok([row.get(0), row.get(1)])
    }
}

fn answer(row: &Row) -> Result<Answer> {
    // `infinity` has no equivalent in chrono; it is the answer of a yes without an end in sight.
    let until: Option<DateTime<Utc>> = row.try_get::<_, Option<DateTime<Utc>>>("valid_until").unwrap_or(None);
    Ok(Answer {
        allowed: row.try_get("allowed")?,
        basis: row.try_get("basis")?,
        reason: row.try_get("reason")?,
        rule: row.try_get("rule")?,
        valid_until: until,
    })
}

//! What no path through a CRM's own plumbing may do: lose a refusal, or make a permission. Each on Odoo and on Dolibarr,
//! with triggers on the CRM's tables and without.

use crate::crm;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use std::sync::{Mutex, PoisonError};

/// One cluster for all tests of this file; its keeper ends it with this process.
static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);

const SHOES: &str = "Clothes / Shoes";

struct Crm {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// Master data, and in schema `t` what users of this CRM do.
    plumbing: &'static str,
    stated: &'static str,
}

const ODOO: Crm = Crm {
    name: "odoo",
    variables: &[("sender", "Shop Ltd")],
    plumbing: include_str!("invariants/odoo.sql"),
    stated: "INSERT INTO consent_odoo.refusal_offered VALUES (1, '2001-01-01Z', NULL, 'checkout')",
};
const DOLIBARR: Crm = Crm {
    name: "dolibarr",
    variables: &[("sender", "Shop Ltd"), ("timezone", "Europe/Paris")],
    plumbing: include_str!("invariants/dolibarr.sql"),
    stated: "INSERT INTO consent_dolibarr.refusal_offered VALUES (1, '2001-01-01Z', NULL, 'order form')",
};

/// A bound CRM without contacts.
struct Db {
    client: Client,
    watched: bool,
    name: String,
}

/// A database for each CRM that is there, with triggers and without.
fn each(test: &str, mut check: impl FnMut(&mut Db)) {
    for crm in [ODOO, DOLIBARR] {
        if !crm::is_there(crm.name) {
            continue;
        }
        for watched in [true, false] {
            check(&mut crm.database(test, watched));
        }
    }
}

impl Crm {
    fn database(&self, test: &str, watched: bool) -> Db {
        let mut cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = cluster.get_or_insert_with(|| Cluster::start(Options::default()).unwrap());
        let template = format!("bound_{}", self.name);
        let mut admin = cluster.connect("postgres", "postgres").unwrap();
        if admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&template]).unwrap().is_none() {
            let mut client = crm::set_up(cluster, &template, self.name);
            client.batch_execute(self.plumbing).unwrap();
            crm::bind(cluster, &template, self.name, self.variables).unwrap();
            client.batch_execute(self.stated).unwrap();
        }
        let name = format!("{test}_{}_{watched}", self.name);
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        let mut client = cluster.connect(&name, "postgres").unwrap();
        if !watched {
            client
                .batch_execute("SELECT consent.unwatch(w.relation::regclass) FROM (SELECT DISTINCT relation FROM consent_data.watch) w")
                .unwrap();
        }
        crm::refold_all(&mut client);
        Db { client, watched, name }
    }
}

impl Db {
    fn is(&self, crm: &Crm) -> bool {
        self.name.contains(crm.name)
    }

    /// Something that somebody does in the CRM. Where nothing watches it, who is concerned is refolded, and everything is
    /// by the batch: refusals that name only an address are nobody's, so a refold by key does not look for them.
    fn run(&mut self, sql: &str) {
        self.client.batch_execute(sql).unwrap_or_else(|e| panic!("{}: {sql}: {e:?}", self.name));
        if !self.watched {
            self.client
                .batch_execute(
                    "SELECT consent.refold(ARRAY(SELECT contact_id FROM consent_data.crm_contact
                                           UNION SELECT contact_id FROM consent_data.contact_state))",
                )
                .unwrap();
            crm::refold_all(&mut self.client);
        }
    }

    fn person(&mut self, email: &str, country: &str) -> String {
        let key =
            self.client.query_one("SELECT t.person($1, nullif($2, ''))", &[&email, &country]).unwrap().get(0);
        self.run("SELECT");
        key
    }

    /// A person of Great Britain who bought shoes last month.
    fn customer(&mut self, email: &str) -> String {
        let key = self.person(email, "GB");
        self.run(&format!("SELECT t.buy('{key}', 'Shoes', '1 month')"));
        key
    }

    /// By key, now. What a scan answers may lag, but never with a yes.
    fn ask(&mut self, key: &str, kind: &str, category: Option<&str>) -> bool {
        let row = self
            .client
            .query_one(
                "SELECT consent.can_send($1::text, $2, $3), EXISTS (SELECT FROM consent.audience($2, $3) a WHERE a.contact_id = $1)",
                &[&key, &kind, &category],
            )
            .unwrap();
        let (by_key, by_scan): (bool, bool) = (row.get(0), row.get(1));
        assert!(by_key || !by_scan, "{}: {key}: a scan says yes and can_send no", self.name);
        by_key
    }

    fn newsletter(&mut self, key: &str) -> bool {
        self.ask(key, "newsletter", Some(SHOES))
    }

    /// The same now, and after a minute's and a night's work.
    fn stays(&mut self, key: &str, wanted: bool, why: &str) {
        assert_eq!(self.newsletter(key), wanted, "{}: {key}: {why}", self.name);
        self.client.batch_execute("SELECT consent.refold_pending()").unwrap();
        assert_eq!(self.newsletter(key), wanted, "{}: {key}: {why}, once folded", self.name);
        crm::refold_all(&mut self.client);
        assert_eq!(self.newsletter(key), wanted, "{}: {key}: {why}, after a night", self.name);
    }
}

#[test]
fn an_overwriting_import_lifts_no_opt_out() {
    each("overwrite", |db| {
        let key = db.customer("ann@example.org");
        db.stays(&key, true, "a customer");
        db.run("SELECT t.unsubscribe('ann@example.org')");
        assert!(!db.newsletter(&key), "{}", db.name);
        db.run("SELECT t.overwrite()");
        db.stays(&key, false, "overwritten");
    });
}

#[test]
fn no_bulk_clean_up_forgets_a_suppression() {
    each("clean_up", |db| {
        let key = db.customer("ann@example.org");
        db.run("SELECT t.unsubscribe('ann@example.org'), t.unsubscribe('stranger@example.org')");
        db.run("SELECT t.clean_up()");
        db.stays(&key, false, "cleaned up");
        let stranger = db.customer("stranger@example.org");
        db.stays(&stranger, false, "whoever gets the address");
    });
}

#[test]
fn no_refusal_is_lost_when_a_contact_is_deleted_and_imported_again() {
    each("again", |db| {
        let key = db.customer("ann@example.org");
        db.run("SELECT t.unsubscribe('ann@example.org')");
        let by_key = db.customer("bob@example.org");
        db.run(&format!("SELECT consent.opt_out('{by_key}'::text)"));
        for gone in [&key, &by_key] {
            db.run(&format!("SELECT t.remove('{gone}')"));
            assert!(!db.newsletter(gone));
        }
        db.run("SELECT t.clean_up()");
        for email in ["ann@example.org", "bob@example.org"] {
            let again = db.customer(email);
            db.stays(&again, false, "imported again");
        }
    });
}

#[test]
fn a_merge_in_the_crm_does_not_lose_the_twins_opt_out() {
    each("merge", |db| {
        let key = db.customer("ann@example.org");
        let twin = db.customer("Ann@Example.org");
        let other = db.customer("ann@old.example.org");
        db.stays(&key, true, "before");
        db.run("SELECT t.unsubscribe('ann@old.example.org')");
        db.run(&format!("SELECT consent.opt_out('{twin}'::text)"));
        db.run(&format!("SELECT t.merge('{twin}', '{key}')"));
        db.run(&format!("SELECT t.merge('{other}', '{key}')"));
        db.run("SELECT t.clean_up()");
        db.stays(&key, false, "merged");
        let again = db.customer("ann@old.example.org");
        db.stays(&again, false, "the merged twin's address");
    });
}

/// The CRM deletes the one that goes in the same breath: its row can't be looked up any more. Without triggers nobody sees it.
#[test]
fn a_twin_that_the_crm_merges_and_deletes_takes_its_refusal_along() {
    each("twin", |db| {
        if !db.watched {
            return;
        }
        let key = db.customer("ann@example.org");
        let twin = db.customer("ann@old.example.org");
        db.run(&format!("SELECT consent.opt_out('{twin}'::text)"));
        db.stays(&key, true, "before");
        db.run(&format!("SELECT t.merge('{twin}', '{key}')"));
        db.run("SELECT consent.refold_pending()");
        db.stays(&key, false, "merged by the CRM");
    });
}

#[test]
fn a_files_keys_are_those_of_a_binding_or_rejected() {
    each("file", |db| {
        let key = db.customer("ann@example.org");
        let bare = key.split(':').nth(1).unwrap_or_default().to_owned();
        db.run(&format!(
            "CREATE TABLE public.file AS SELECT contact FROM unnest(ARRAY['{bare}', repeat('x', 5000), upper('{key}')]) contact"
        ));
        let outcomes = "SELECT string_agg(DISTINCT outcome, ' ') FROM consent.import_suppressions('public.file', '{\"from\": \"a file\"}')";
        assert_eq!(db.client.query_one(outcomes, &[]).unwrap().get::<_, String>(0), "rejected");
        db.stays(&key, true, "nobody was named");
        // What a spreadsheet leaves: a byte order mark, a no-break space, a tab.
        db.run(&format!(
            "DELETE FROM public.file; INSERT INTO public.file VALUES (E'\\ufeff{key}\\u00a0\\t')"
        ));
        assert_eq!(db.client.query_one(outcomes, &[]).unwrap().get::<_, String>(0), "accepted");
        db.stays(&key, false, "refused by the file");
    });
}

#[test]
fn merging_an_opted_out_contact_into_another_denies() {
    each("merged", |db| {
        if db.client.query_one("SELECT to_regproc('consent.merge_contacts') IS NULL", &[]).unwrap().get(0) {
            eprintln!("!! SKIPPED merging: no consent.merge_contacts");
            return;
        }
        let key = db.customer("ann@example.org");
        let twin = db.customer("ann@old.example.org");
        db.run("SELECT t.unsubscribe('ann@old.example.org')");
        db.stays(&key, true, "before");
        db.run(&format!("SELECT consent.merge_contacts('{twin}'::text, '{key}'::text)"));
        db.stays(&key, false, "merged");
    });
}

#[test]
fn an_opt_out_of_a_category_covers_what_lies_below_it() {
    each("parent", |db| {
        let key = db.customer("ann@example.org");
        db.run(&format!("SELECT t.buy('{key}', 'Books', '1 month')"));
        assert!(db.newsletter(&key) && db.ask(&key, "newsletter", Some("Books")), "{}", db.name);
        db.run(&format!("SELECT consent.opt_out('{key}'::text, category => 'Clothes')"));
        assert!(!db.newsletter(&key) && db.ask(&key, "newsletter", Some("Books")), "{}", db.name);
        // Moved elsewhere, it is still below the one it was below.
        db.run(&format!(
            "SELECT t.move_shoes_to_books(); SELECT consent_{}.sync_categories()",
            if db.is(&ODOO) { "odoo" } else { "dolibarr" }
        ));
        assert!(!db.ask(&key, "newsletter", Some("Books / Shoes")), "{}", db.name);
    });
}

#[test]
fn a_change_of_address_takes_the_opt_out_along_and_leaves_it_behind() {
    each("moved", |db| {
        let key = db.customer("ann@example.org");
        let opted_in = db.person("cy@example.org", "GB");
        db.run(&format!("SELECT consent.opt_in('{opted_in}'::text, evidence => '{{\"form\": 1}}')"));
        assert!(db.newsletter(&key) && db.newsletter(&opted_in), "{}", db.name);
        db.run("SELECT t.unsubscribe('ann@example.org')");
        db.run(&format!("SELECT t.change_email('{key}', 'ann@new.example.org')"));
        db.stays(&key, false, "the person refused");
        for email in ["ann@example.org", "ann@new.example.org"] {
            let another = db.customer(email);
            db.stays(&another, false, "the address is suppressed");
        }
        db.run(&format!("SELECT t.change_email('{opted_in}', 'cy@new.example.org')"));
        db.stays(&opted_in, false, "nobody opted in for that address");
        let another = db.person("cy@example.org", "GB");
        db.stays(&another, false, "nobody else's opt-in");
    });
}

#[test]
fn two_spellings_of_an_address_are_not_two_people() {
    each("spelled", |db| {
        let key = db.customer("\"Ann Other\" <Ann@Example.ORG>");
        assert!(db.newsletter(&key), "{}", db.name);
        db.run("SELECT t.unsubscribe('ann@example.org')");
        db.stays(&key, false, "the same address");
    });
}

#[test]
fn a_bounce_neither_makes_nor_clears_an_objection() {
    each("bounce", |db| {
        let key = db.customer("ann@example.org");
        let refused = db.customer("bob@example.org");
        db.run(&format!("SELECT consent.object('{refused}'::text)"));
        db.run(&format!("SELECT t.bounce('{key}'), t.bounce('{refused}')"));
        db.stays(&key, true, "a bounce is no objection");
        db.stays(&refused, false, "nor the end of one");
    });
}

#[test]
fn the_opt_out_of_an_archived_twin_counts() {
    each("archived", |db| {
        let key = db.customer("ann@example.org");
        let (twin, late) = (db.customer("ann@example.org"), db.customer("bob@example.org"));
        db.run(&format!("SELECT consent.opt_out('{twin}'::text), t.archive('{twin}')"));
        db.stays(&key, false, "the twin refused");
        // What is archived gets no advertising, and what it must.
        db.run(&format!("SELECT t.archive('{late}')"));
        db.stays(&late, false, "archived");
        assert!(db.ask(&late, "order_confirmation", None), "{}", db.name);
        let active = db.customer("bob@example.org");
        db.stays(&active, true, "nobody refused by being archived");
    });
}

#[test]
fn a_grant_and_a_refusal_of_one_instant_deny() {
    each("instant", |db| {
        let key = db.person("ann@example.org", "GB");
        for kind in ["opt_in", "opt_out", "opt_in"] {
            let detail = if kind == "opt_in" { "{\"method\": \"active\"}" } else { "{\"scope\": \"all\"}" };
            db.run(&format!(
                "SELECT consent.record_event('{key}'::text, '{kind}', '2026-01-01Z', detail => '{detail}', evidence => '{{\"form\": 1}}', recorded_at => '2026-01-01Z')"
            ));
            assert_eq!(
                db.newsletter(&key),
                kind == "opt_in"
                    && db
                        .client
                        .query_one("SELECT count(*) = 1 FROM consent_data.event", &[])
                        .unwrap()
                        .get::<_, bool>(0),
                "{}",
                db.name
            );
        }
        db.stays(&key, false, "a tie");
    });
}

#[test]
fn a_single_opt_in_does_not_pass_where_a_double_one_is_pending() {
    each("double", |db| {
        let key = db.person("ann@example.org", "GB");
        db.run(&format!(
            "SELECT consent.opt_in('{key}'::text, double_opt_in => true, evidence => '{{\"form\": 1}}')"
        ));
        db.run("SELECT t.enlist('ann@example.org')");
        db.stays(&key, false, "not confirmed");
        db.run(&format!("SELECT consent.confirm_opt_in('{key}'::text, evidence => '{{\"link\": 1}}')"));
        db.stays(&key, true, "confirmed");
    });
}

#[test]
fn neither_an_open_nor_an_edit_nor_a_machine_moves_the_retention_clock() {
    each("clock", |db| {
        let key = db.person("ann@example.org", "FR");
        db.run(&format!("SELECT t.buy('{key}', 'Shoes', '1094 days')"));
        assert!(db.newsletter(&key), "{}", db.name);
        db.run(&format!("SELECT t.open('{key}'), t.machine_click('{key}'), t.edit('{key}')"));
        crm::refold_all(&mut db.client);
        let in_a_week = |db: &mut Db| -> bool {
            db.client
                .query_one(
                    "SELECT consent.can_send($1::text, 'newsletter', $2, at => now() + interval '7 days')",
                    &[&key, &SHOES],
                )
                .unwrap()
                .get(0)
        };
        assert!(db.newsletter(&key) && !in_a_week(db), "{}: three years are over", db.name);
        if db.is(&ODOO) {
            db.run(&format!("SELECT t.click('{key}')"));
            crm::refold_all(&mut db.client);
            assert!(in_a_week(db), "{}: a person's click counts", db.name);
        }
    });
}

#[test]
fn an_old_invoice_keeps_the_data_and_no_permission() {
    each("old", |db| {
        let key = db.person("ann@example.org", "FR");
        db.run(&format!("SELECT t.buy('{key}', 'Shoes', '10 years')"));
        db.stays(&key, false, "ten years ago");
        assert!(db.ask(&key, "legal_notice", None), "{}", db.name);
        let held: i64 = db
            .client
            .query_one("SELECT count(*) FROM consent_data.crm_event_of($1)", &[&key])
            .unwrap()
            .get(0);
        assert_eq!(held, 1, "{}", db.name);
    });
}

#[test]
fn no_lists_opt_in_outweighs_a_refusal() {
    each("lists", |db| {
        let key = db.customer("ann@example.org");
        db.run("SELECT t.enlist('ann@example.org')");
        assert!(db.newsletter(&key), "{}", db.name);
        db.run("SELECT t.leave_one_list('ann@example.org')");
        db.stays(&key, false, "left one list and stays on another");
        db.run("SELECT t.enlist('ann@example.org')");
        db.stays(&key, false, "put on a list again");
    });
}

#[test]
fn an_unknown_country_is_not_taken_for_a_lenient_one() {
    each("country", |db| {
        let key = db.customer("ann@example.org");
        let nowhere = db.person("bob@example.org", "");
        db.run(&format!("SELECT t.buy('{nowhere}', 'Shoes', '1 month')"));
        db.stays(&nowhere, false, "no country");
        assert!(db.ask(&nowhere, "order_confirmation", None), "{}", db.name);
        for channel in ["email", "sms", "phone_live", "phone_auto", "post"] {
            let answer: bool = db
                .client
                .query_one(
                    "SELECT consent.can_send($1::text, 'marketing', $2, channel => $3)",
                    &[&nowhere, &SHOES, &channel],
                )
                .unwrap()
                .get(0);
            assert!(!answer, "{} {channel}", db.name);
        }
        assert!(db.newsletter(&key), "{}", db.name);
        db.run(&format!("SELECT t.forget_country('{key}')"));
        db.stays(&key, false, "its country was taken away");
    });
}

#[test]
fn a_voided_sale_gives_nothing() {
    each("void", |db| {
        let key = db.customer("ann@example.org");
        db.stays(&key, true, "bought");
        db.run(&format!("SELECT t.void('{key}')"));
        db.stays(&key, false, "taken back");
        let asker = db.person("bob@example.org", "GB");
        db.run(&format!("SELECT t.offer('{asker}', 'Shoes')"));
        db.stays(&asker, false, "a quotation or draft is the seller's act");
    });
}

#[test]
fn a_companys_invoice_gives_no_permission_for_its_people() {
    each("company", |db| {
        let row = db.client.query_one("SELECT c.company, c.employee FROM t.company('Firm & Sons', 'firm@example.org', 'jo@example.org') c", &[]).unwrap();
        let (company, employee): (String, String) = (row.get(0), row.get(1));
        db.run(&format!("SELECT t.buy('{company}', 'Shoes', '1 month')"));
        db.stays(&company, true, "the buyer");
        db.stays(&employee, false, "who bought nothing");
    });
}

#[test]
fn no_row_of_the_crm_becomes_two_or_none() {
    each("rows", |db| {
        for n in 0..50 {
            let key = db.customer(&format!("person{}@example.org", n / 2));
            if n % 5 == 0 {
                db.run(&format!("SELECT t.archive('{key}')"));
            }
        }
        db.run("SELECT t.unsubscribe('person3@example.org'), t.enlist('person4@example.org')");
        crm::refold_all(&mut db.client);
        db.client.batch_execute("SELECT consent.refold_pending()").unwrap();
        let row = db
            .client
            .query_one(
                "SELECT t.contacts(), (SELECT count(*) FROM consent_data.crm_contact), (SELECT count(*) FROM consent_data.contact_state),
                        (SELECT count(*) FROM consent.decidable), (SELECT count(DISTINCT contact_id) FROM consent.decidable)",
                &[],
            )
            .unwrap();
        let counts: [i64; 5] = [0, 1, 2, 3, 4].map(|i| row.get(i));
        assert_eq!(counts, [counts[0]; 5], "{}", db.name);
    });
}

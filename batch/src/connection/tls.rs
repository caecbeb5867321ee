//! TLS as libpq does it, by the same library. rustls would refuse certificates that PostgreSQL's own manual makes and
//! libpq takes: of X.509's version 1, with a common name and no alternative one, or self-signed and its own root.
//! OpenSSL's headers come with libpq-dev, which the server's headers need anyway, and its library with PostgreSQL.

use super::settings::SslMode;
use crate::failure::hinted;
use anyhow::{Context, Result, bail};
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use postgres_openssl::MakeTlsConnector;
use std::path::{Path, PathBuf};

/// The files and limits; which of them count depends on the mode.
#[derive(Debug, Default)]
pub struct Tls {
    root: Option<PathBuf>,
    /// Revoked certificates.
    revoked: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: Option<String>,
    oldest: Option<String>,
    newest: Option<String>,
    name_server: bool,
}

impl Tls {
    /// Files that nobody names are libpq's in `~/.postgresql`, where they exist.
    pub fn new<'a>(get: &impl Fn(&str) -> Option<&'a str>, home: Option<&Path>) -> Tls {
        let default = |name: &str| home.map(|h| h.join(".postgresql").join(name)).filter(|f| f.exists());
        let file = |keyword: &str, name: &str| get(keyword).map(PathBuf::from).or_else(|| default(name));
        Tls {
            root: file("sslrootcert", "root.crt"),
            revoked: file("sslcrl", "root.crl"),
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
            key_password: get("sslpassword").map(str::to_owned),
            oldest: get("ssl_min_protocol_version").map(str::to_owned),
            newest: get("ssl_max_protocol_version").map(str::to_owned),
            name_server: get("sslsni") != Some("0"),
        }
    }

    pub fn connector(&self, mode: SslMode) -> Result<MakeTlsConnector> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        // The system's authorities are for web sites: any of them could speak for the database.
        builder.set_cert_store(X509StoreBuilder::new()?.build());
        let root = self.root.as_deref().filter(|f| f.exists());
        match root {
            // Whoever has a root certificate has its chain checked in every mode, as in libpq.
            Some(file) => {
                builder
                    .set_ca_file(file)
                    .with_context(|| format!("the root certificate {}", file.display()))?;
                builder.set_verify(SslVerifyMode::PEER);
                self.refuse_revoked(&mut builder)?;
            }
            None if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) => {
                let file =
                    self.root.as_ref().map_or("~/.postgresql/root.crt".into(), |f| f.display().to_string());
                return Err(hinted(
                    format!("the root certificate {file} does not exist"),
                    "Give the certificate of the authority that signed the server's as sslrootcert (PGSSLROOTCERT), \
                     or an sslmode that does not verify.",
                ));
            }
            None => builder.set_verify(SslVerifyMode::NONE),
        }
        self.identify(&mut builder)?;
        builder
            .set_min_proto_version(Some(version(self.oldest.as_deref())?.unwrap_or(SslVersion::TLS1_2)))?;
        builder.set_max_proto_version(version(self.newest.as_deref())?)?;
        let (by_name, name_server) = (mode == SslMode::VerifyFull, self.name_server);
        let mut connector = MakeTlsConnector::new(builder.build());
        connector.set_callback(move |session, _| {
            session.set_verify_hostname(by_name);
            session.set_use_server_name_indication(name_server);
            Ok(())
        });
        Ok(connector)
    }

    fn refuse_revoked(&self, builder: &mut SslConnectorBuilder) -> Result<()> {
        let Some(file) = self.revoked.as_deref().filter(|f| f.exists()) else { return Ok(()) };
        let store = builder.cert_store_mut();
        store
            .add_lookup(X509Lookup::file())?
            .load_crl_file(file, openssl::ssl::SslFiletype::PEM)
            .with_context(|| format!("the list of revoked certificates {}", file.display()))?;
        Ok(store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?)
    }

    /// The certificate that says who we are, if there is one.
    fn identify(&self, builder: &mut SslConnectorBuilder) -> Result<()> {
        let Some(file) = self.certificate.as_deref().filter(|f| f.exists()) else { return Ok(()) };
        let told = || format!("the certificate {}", file.display());
        X509::stack_from_pem(&std::fs::read(file).with_context(told)?).with_context(told)?;
        builder.set_certificate_chain_file(file).with_context(told)?;
        let Some(key) = self.key.as_deref().filter(|k| k.exists()) else {
            return Err(hinted(
                format!("there is no private key for the certificate {}", file.display()),
                "Give it as sslkey (PGSSLKEY).",
            ));
        };
        refuse_shared(key)?;
        let told = || format!("the private key {}", key.display());
        let pem = std::fs::read(key).with_context(told)?;
        let password = self.key_password.as_deref().unwrap_or_default();
        let key = PKey::private_key_from_pem_passphrase(&pem, password.as_bytes()).with_context(told)?;
        builder.set_private_key(&key).with_context(|| format!("the key does not fit {}", file.display()))
    }
}

/// As libpq: our own key only for us; root's may be read by a group.
fn refuse_shared(key: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let about = std::fs::metadata(key).with_context(|| key.display().to_string())?;
    let others = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.permissions().mode() & others != 0 {
        return Err(hinted(
            format!("others may read the private key {}", key.display()),
            format!("chmod 600 {}", key.display()),
        ));
    }
    Ok(())
}

fn version(text: Option<&str>) -> Result<Option<SslVersion>> {
    Ok(match text {
        None => None,
        Some("TLSv1") => Some(SslVersion::TLS1),
        Some("TLSv1.1") => Some(SslVersion::TLS1_1),
        Some("TLSv1.2") => Some(SslVersion::TLS1_2),
        Some("TLSv1.3") => Some(SslVersion::TLS1_3),
        Some(other) => bail!("unknown TLS version `{other}`; it is TLSv1.2 or TLSv1.3"),
    })
}

//! Which API server, and as whom: the flags that upstream shares with kubectl (CTL-001).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sluice_plugin_host::Proxies;

#[cfg(test)]
mod tests;

#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Kubeconfig to use. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Cluster of the kubeconfig, in place of the context's.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// User of the kubeconfig, in place of the context's.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Address of the API server.
    #[arg(long, short = 's', value_name = "URL")]
    server: Option<http::Uri>,
    /// Bearer token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Act as this user.
    #[arg(long = "as", value_name = "USER")]
    impersonate: Option<String>,
    /// Act as this group; may be given several times.
    #[arg(long = "as-group", value_name = "GROUP")]
    impersonate_groups: Vec<String>,
    /// Act as the user with this UID.
    #[arg(long = "as-uid", value_name = "UID")]
    impersonate_uid: Option<String>,
    /// User name for basic authentication.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Password for basic authentication.
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Certificate to log in with.
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// Certificates by which the API server is known.
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// Believe whoever answers to be the API server. Not for production.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    insecure_skip_tls_verify: bool,
    /// Name in the API server's certificate, where it is not the address's.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// A request to the API server takes at most this long: a duration, or a number of seconds. 0: 15s.
    #[arg(long, default_value = "0", value_parser = timeout, value_name = "DURATION")]
    request_timeout: Duration,
    /// Proxy to the API server (http, https or socks5). Default: the kubeconfig's, or $HTTPS_PROXY and $NO_PROXY.
    #[arg(long, value_name = "URL")]
    proxy_url: Option<String>,
    /// Accepted for compatibility: answers are never asked for in compressed form.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    disable_compression: Option<bool>,
}

/// As kubectl reads it: a number without unit is in seconds.
fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => super::duration(text),
    }
}

impl Connection {
    /// The client's configuration.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) async fn config(&self, proxies: &Proxies) -> Result<kube::Config> {
        let mut config = self.found().await?;
        let proxy_url = match is_of_a_pod(&config) {
            true => None,
            false => self.proxy_of_the_kubeconfig(),
        };
        self.name_server(&mut config)?;
        self.name_user(&mut config)?;
        self.name_proxy(&mut config, proxy_url, proxies)?;
        Ok(config)
    }

    /// How long a request may take; None where nobody said so.
    pub(super) fn request_timeout(&self) -> Option<Duration> {
        Some(self.request_timeout).filter(|limit| !limit.is_zero())
    }

    fn name_server(&self, config: &mut kube::Config) -> Result<()> {
        if let Some(server) = &self.server {
            config.cluster_url = server.clone();
            // It was the name of another server.
            config.tls_server_name = None;
        }
        if let Some(name) = given(self.tls_server_name.as_ref()) {
            config.tls_server_name = Some(name.clone());
        }
        if self.insecure_skip_tls_verify {
            if self.certificate_authority.is_some() {
                bail!(
                    "--certificate-authority and --insecure-skip-tls-verify exclude each other: \
                     a certificate is checked or it is not"
                );
            }
            config.accept_invalid_certs = true;
            // Not None: that asks for the system's certificates, which an image may not have.
            config.root_cert = Some(Vec::new());
            config.root_cert_file = None;
        }
        if let Some(file) = &self.certificate_authority {
            readable("--certificate-authority", file)?;
            config.accept_invalid_certs = false;
            config.root_cert = Some(Vec::new());
            config.root_cert_file = Some(file.clone());
        }
        Ok(())
    }

    /// The flag's proxy, the kubeconfig's or the environment's, in this order. The client's library has the last two the
    /// wrong way round: it holds `NO_PROXY` against the proxy instead of the server, and knows nothing of either in a pod.
    fn name_proxy(
        &self,
        config: &mut kube::Config,
        of_the_kubeconfig: Option<String>,
        proxies: &Proxies,
    ) -> Result<()> {
        let told = given(self.proxy_url.as_ref())
            .map(|url| ("--proxy-url", url.clone()))
            .or_else(|| of_the_kubeconfig.map(|url| ("the kubeconfig's proxy-url", url)));
        config.proxy_url = match told {
            Some((what, url)) => {
                Some(proxy(&url).with_context(|| format!("failed to use {what}"))?)
            }
            None => proxies
                .for_address(&config.cluster_url)
                .map(|url| proxy(url.as_str()))
                .transpose()
                .context("failed to use the proxy of the environment")?,
        };
        Ok(())
    }

    /// `proxy-url` of the cluster that the flags and the current context lead to.
    fn proxy_of_the_kubeconfig(&self) -> Option<String> {
        use kube::config::Kubeconfig;
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.ok()?;
        let name = match &self.cluster {
            Some(cluster) => cluster.clone(),
            None => {
                let context = self
                    .context
                    .as_ref()
                    .or(kubeconfig.current_context.as_ref())?;
                let mut contexts = kubeconfig.contexts.iter();
                let named = contexts.find(|named| named.name == *context)?;
                named.context.as_ref()?.cluster.clone()
            }
        };
        let cluster = kubeconfig
            .clusters
            .into_iter()
            .find(|named| named.name == name)?;
        cluster.cluster?.proxy_url.filter(|url| !url.is_empty())
    }

    fn name_user(&self, config: &mut kube::Config) -> Result<()> {
        let user = &mut config.auth_info;
        if let Some(token) = &self.token {
            user.token = Some(token.clone().into());
        }
        if self.username.is_some() || self.password.is_some() {
            user.username = self.username.clone().or(user.username.take());
            if let Some(password) = &self.password {
                user.password = Some(password.clone().into());
            }
            user.password.get_or_insert_with(|| String::new().into());
            if user.username.is_none() {
                bail!("--password needs --username");
            }
        }
        let told = self.token.is_some() || self.username.is_some() || self.password.is_some();
        if told && user.username.is_some() && (user.token.is_some() || user.token_file.is_some()) {
            bail!("both a user name and a token are given; only one of them can log in");
        }
        if let Some(file) = &self.client_certificate {
            user.client_certificate = Some(readable("--client-certificate", file)?);
            user.client_certificate_data = None;
        }
        if let Some(file) = &self.client_key {
            user.client_key = Some(readable("--client-key", file)?);
            user.client_key_data = None;
        }
        if let Some(name) = &self.impersonate {
            user.impersonate = Some(name.clone());
        }
        if let Some(uid) = &self.impersonate_uid {
            user.impersonate_uid = Some(uid.clone());
        }
        if !self.impersonate_groups.is_empty() {
            user.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        Ok(())
    }

    async fn found(&self) -> Result<kube::Config> {
        let options = kube::config::KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let chosen = [&self.context, &self.cluster, &self.user]
            .into_iter()
            .any(Option::is_some);
        match &self.kubeconfig {
            Some(file) => {
                let what = || format!("failed to read kubeconfig {}", file.display());
                // The system's reason once; the client would say it twice.
                std::fs::File::open(file).with_context(what)?;
                let kubeconfig =
                    kube::config::Kubeconfig::read_from(file).with_context(what)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .with_context(|| format!("failed to use kubeconfig {}", file.display()))
            }
            None if chosen => kube::Config::from_kubeconfig(&options)
                .await
                .context("failed to use the kubeconfig"),
            None => match (kube::Config::infer().await, &self.server) {
                (Ok(config), _) => Ok(of_this_pod(config)),
                (Err(_), Some(server)) => Ok(kube::Config::new(server.clone())),
                (Err(error), None) => Err(error).context(
                    "found neither a kubeconfig nor a pod's service account; name one with --kubeconfig",
                ),
            },
        }
    }
}

/// Only a pod's own configuration names a file with certificates, until the flags have their say.
fn is_of_a_pod(config: &kube::Config) -> bool {
    config.root_cert_file.is_some()
}

/// The address of a proxy.
///
/// # Errors
/// As client-go words them.
fn proxy(url: &str) -> Result<http::Uri> {
    let uri: http::Uri = url.parse().context("could not be parsed")?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") if uri.host().is_some() => Ok(uri),
        Some(scheme) => bail!("unsupported scheme {scheme:?}, must be http, https, or socks5"),
        None => bail!("unsupported scheme \"\", must be http, https, or socks5"),
    }
}

/// In a pod, $POD_NAMESPACE comes before the service account's namespace, as with upstream.
fn of_this_pod(mut config: kube::Config) -> kube::Config {
    if is_of_a_pod(&config)
        && let Some(namespace) = super::pod_namespace()
    {
        config.default_namespace = namespace;
    }
    config
}

/// An empty value is none, as with kubectl.
fn given(value: Option<&String>) -> Option<&String> {
    value.filter(|value| !value.is_empty())
}

/// The file's name as the client wants it, once it is known that the file can be read.
fn readable(flag: &str, file: &Path) -> Result<String> {
    std::fs::File::open(file)
        .with_context(|| format!("failed to read {} ({flag})", file.display()))?;
    file.to_str()
        .map(str::to_owned)
        .with_context(|| format!("the name of a file ({flag}) is not in UTF-8"))
}

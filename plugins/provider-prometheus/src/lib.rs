//! Measurements by Prometheus queries.
//!
//! This file is the plugin's face: what it is allowed, and the two steps of a measurement. What is asked is in `request`
//! (the times of a range in `time`), what is answered in `response`.

mod config;
mod request;
mod response;
mod time;

use sluice_plugin_sdk::manifest::{
    ABI, Grants, Kind, Manifest, Setting, SubjectBody, config_schema,
};
use sluice_plugin_sdk::provider::{MeasurementFacts, MetricProvider, Reply};
use sluice_plugin_sdk::{Context, HttpRequest, Needs, Pair, PluginError};

/// The signing name of Amazon Managed Prometheus.
const AWS_SERVICE: &str = "aps";

/// The setting with the address of the server for metrics that name none.
const ADDRESS_SETTING: &str = "address";

/// The metric's metadata that shows the query as it was asked.
const RESOLVED_QUERY: &str = "ResolvedPrometheusQuery";

/// The provider for `provider.prometheus`.
pub struct Prometheus;

impl MetricProvider for Prometheus {
    type Config = config::Prometheus;

    fn start(
        context: &Context,
        config: &Self::Config,
        _: &MeasurementFacts,
    ) -> Result<Reply, PluginError> {
        let server = request::Server::of(context, config)?;
        let query = config.query.as_deref().unwrap_or_default();
        // Argo Rollouts shows it whether or not the measurement succeeds. A secret argument in it is a placeholder.
        let metadata = || (!query.is_empty()).then(|| Pair::new(RESOLVED_QUERY, query));
        let failed = |error: PluginError| error.with_metadata(metadata());

        let question = request::Question::of(context, config).map_err(failed)?;
        let posted = server.post(&question);
        let Some(result) = context.response(&posted.id) else {
            return Ok(Reply::needs(Needs::http(vec![posted])));
        };
        let (asked, result) = if response::wants_get(&result.outcome) {
            let gotten = server.get(&question);
            match context.response(&gotten.id) {
                Some(result) => (gotten, result),
                None => return Ok(Reply::needs(Needs::http(vec![gotten]))),
            }
        } else {
            (posted, result)
        };
        let HttpRequest { method, url, .. } = &asked;
        let mut measurement = response::measurement(method, url, &result.outcome)
            .map_err(|why| failed(PluginError::retry("QueryFailed", why)))?;
        measurement.metric_metadata.extend(metadata());
        Ok(Reply::finished(measurement))
    }
}

/// What the plugin says about itself.
pub fn manifest() -> Manifest {
    Manifest {
        name: "prometheus".to_owned(),
        display_name: "Prometheus".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        abi: ABI.to_owned(),
        aliases: Vec::new(),
        kinds: vec![Kind::MetricProvider],
        grants: Grants {
            http: vec!["configured-address".to_owned()],
            aws_services: vec![AWS_SERVICE.to_owned()],
            ..Grants::default()
        },
        capabilities: Vec::new(),
        subject_body: SubjectBody::WithoutTemplate,
        status_keys: Vec::new(),
        settings: [(
            ADDRESS_SETTING.to_owned(),
            Setting {
                flag: None,
                environment: Some("ARGO_ROLLOUTS_PROMETHEUS_ADDRESS".to_owned()),
                default: None,
                description: "The address of the server for metrics that name none".to_owned(),
            },
        )]
        .into(),
        config_schema: config_schema::<config::Prometheus>(),
    }
}

sluice_plugin_sdk::export_provider!(Prometheus);

#[cfg(test)]
mod tests;

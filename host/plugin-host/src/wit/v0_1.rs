//! `sluice:plugin@0.1.0`: finds the exported interfaces, calls them, and converts both ways.

mod bindings;
mod lift;
mod lower;

use std::collections::BTreeSet;

use sluice_engine::plugin::{Ask, PluginKind};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Linker};

use self::bindings::exports::sluice::plugin as exports;
use self::bindings::sluice::plugin::logging;
use crate::answer::{Answer, Facts};
use crate::guest_log::Level;
use crate::sandbox::Cell;

/// The version of the package.
pub(crate) const ABI: &str = "0.1";

/// Makes the functions of the package available to guests.
pub(crate) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    logging::add_to_linker::<Cell, wasmtime::component::HasSelf<Cell>>(linker, |cell| cell)
}

impl logging::Host for Cell {
    fn log(&mut self, level: logging::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error => Level::Error,
        };
        self.guest_log().line(level, &message, &fields);
    }
}

/// Where the functions of a component are.
pub(crate) struct Exports {
    router: Option<exports::traffic_router::GuestIndices>,
    provider: Option<exports::metric_provider::GuestIndices>,
    step: Option<exports::step::GuestIndices>,
    verifier: Option<exports::endpoint_verifier::GuestIndices>,
}

/// What a call into the guest may end with, besides a trap.
pub(crate) type Lifted = Result<Answer, String>;

impl Exports {
    /// Finds the interfaces that these kinds need.
    ///
    /// # Errors
    /// Which interface or function is missing.
    pub(crate) fn find(pre: &InstancePre<Cell>, kinds: &[PluginKind]) -> Result<Self, String> {
        let wanted: BTreeSet<_> = kinds.iter().copied().collect();
        let wants = |kind| wanted.contains(&kind);
        let missing = |interface: &str, error: wasmtime::Error| {
            format!(
                "does not export `sluice:plugin/{interface}@0.1.0` as its manifest says: {error}"
            )
        };
        Ok(Self {
            router: wants(PluginKind::TrafficRouter)
                .then(|| exports::traffic_router::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| missing("traffic-router", error))?,
            provider: wants(PluginKind::MetricProvider)
                .then(|| exports::metric_provider::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| missing("metric-provider", error))?,
            step: wants(PluginKind::Step)
                .then(|| exports::step::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| missing("step", error))?,
            verifier: wants(PluginKind::EndpointVerifier)
                .then(|| exports::endpoint_verifier::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| missing("endpoint-verifier", error))?,
        })
    }

    /// Compares the shapes of all functions with those that the host expects; only an instance can tell.
    pub(crate) fn try_out(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        if let Some(indices) = &self.router {
            indices.load(&mut *store, instance)?;
        }
        if let Some(indices) = &self.provider {
            indices.load(&mut *store, instance)?;
        }
        if let Some(indices) = &self.step {
            indices.load(&mut *store, instance)?;
        }
        if let Some(indices) = &self.verifier {
            indices.load(&mut *store, instance)?;
        }
        Ok(())
    }

    /// Makes one call. The inner error says what about the answer makes no sense.
    pub(crate) async fn call(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
        facts: &Facts<'_>,
    ) -> wasmtime::Result<Lifted> {
        let context = lower::context(facts);
        let not_exported = || wasmtime::Error::msg("the plugin does not export this function");
        match facts.ask {
            Ask::Check => {
                let router = self
                    .router
                    .as_ref()
                    .ok_or_else(not_exported)?
                    .load(&mut *store, instance)?;
                let answer = router.call_check(&mut *store, &context).await?;
                Ok(lift::checked(facts, answer))
            }
            Ask::Route(desired) => {
                let desired = match desired.as_ref().map(lower::traffic).transpose() {
                    Ok(desired) => desired,
                    Err(why) => return Ok(Err(why)),
                };
                let router = self
                    .router
                    .as_ref()
                    .ok_or_else(not_exported)?
                    .load(&mut *store, instance)?;
                let answer = router
                    .call_reconcile(&mut *store, &context, desired.as_ref())
                    .await?;
                Ok(lift::routed(facts, answer))
            }
            Ask::Measure {
                lifecycle,
                facts: known,
            } => {
                let known = lower::measurement_facts(known, facts.samples);
                let provider = self
                    .provider
                    .as_ref()
                    .ok_or_else(not_exported)?
                    .load(&mut *store, instance)?;
                let answer = provider
                    .call_measure(
                        &mut *store,
                        lower::measure_lifecycle(*lifecycle),
                        &context,
                        &known,
                    )
                    .await?;
                Ok(lift::measured(facts, answer))
            }
            Ask::Step { lifecycle, .. } => {
                let step = self
                    .step
                    .as_ref()
                    .ok_or_else(not_exported)?
                    .load(&mut *store, instance)?;
                let answer = step
                    .call_execute(&mut *store, lower::step_lifecycle(*lifecycle), &context)
                    .await?;
                Ok(lift::stepped(facts, answer))
            }
            Ask::Verify { service, endpoints } => {
                let verifier = self
                    .verifier
                    .as_ref()
                    .ok_or_else(not_exported)?
                    .load(&mut *store, instance)?;
                let expected = lower::endpoints(endpoints);
                let answer = verifier
                    .call_verify(&mut *store, &context, service, &expected)
                    .await?;
                Ok(lift::verified(facts, answer))
            }
        }
    }
}

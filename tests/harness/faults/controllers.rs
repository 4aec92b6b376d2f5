//! The controllers of a history: real processes as far as the simulated API server can tell, each under a name of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluice_cluster::Clock;
use sluice_controller::process::{self, Surroundings};
use sluice_plugin_host::{AwsIdentity, Mishaps, Sandbox};
use sluice_simulation::{Fault, Match, Rule, RuleId, Simulation};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::guests::Witness;
use super::history::CrashAt;
use super::passes::Passes;
use super::scene::NAMESPACE;

/// Every client whose name begins so is a controller.
pub(super) const PREFIX: &str = "controller-";

/// What every controller is given.
pub(super) struct Given {
    pub simulation: Simulation,
    pub plugins: Arc<Path>,
    pub backend: Backend,
    pub mishaps: Mishaps,
    pub witness: Witness,
    pub passes: Passes,
    pub sandbox: Arc<Sandbox>,
    pub seed: u64,
    pub leased: bool,
}

/// One place for a controller, which is filled again when it dies.
pub(super) struct Place {
    letter: char,
    incarnation: u32,
    /// Name of the client and identity in the lease.
    pub name: String,
    life: Life,
}

enum Life {
    Running {
        stop: CancellationToken,
        task: JoinHandle<Result<(), process::Error>>,
        crash: Option<RuleId>,
    },
    Down {
        until: Instant,
    },
}

/// How a controller ended that should not have.
pub(super) enum Ended {
    /// As planned, or as a lost lease asks for.
    Well(String),
    /// A panic, or an error without a cause.
    Badly(String),
}

impl Place {
    pub fn new(letter: char) -> Self {
        Self {
            letter,
            incarnation: 0,
            name: String::new(),
            life: Life::Down {
                until: Instant::now(),
            },
        }
    }

    /// Fills the place if it is time, and looks whether its controller still lives.
    pub async fn tend(&mut self, given: &Given) -> Option<Ended> {
        match &mut self.life {
            Life::Down { until } => {
                if *until <= Instant::now() {
                    self.start(given);
                }
                None
            }
            Life::Running { task, crash, .. } => {
                let struck = crash.is_some_and(|crash| given.simulation.faults().struck(crash) > 0);
                if struck {
                    let name = self.name.clone();
                    self.kill(given).await;
                    return Some(Ended::Well(format!("{name} is dead")));
                }
                if !task.is_finished() {
                    return None;
                }
                let ended = task.await;
                let name = self.name.clone();
                self.rest(Duration::from_secs(1));
                Some(match ended {
                    Ok(Ok(())) => Ended::Well(format!("{name} has stopped")),
                    Ok(Err(process::Error::LostLease)) => {
                        Ended::Well(format!("{name} has lost the lease"))
                    }
                    Ok(Err(error)) => Ended::Badly(format!("{name} ended: {error}")),
                    Err(error) => Ended::Badly(format!("{name} ended: {error}")),
                })
            }
        }
    }

    /// Whether a controller is at work here.
    pub fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }

    /// Dies as a process does: nothing of it is heard any more.
    pub async fn kill(&mut self, given: &Given) {
        if let Life::Running { task, .. } = &mut self.life {
            given.simulation.cut(&self.name);
            task.abort();
            // It was told to end; what it says about that is no news.
            let _ = task.await;
        }
        self.rest(Duration::from_secs(2));
    }

    /// Dies before or after one of its next writes. It does so once: a death that is still to come stays as it is.
    pub async fn kill_at(&mut self, given: &Given, when: CrashAt) {
        let (fault, skip) = match when {
            CrashAt::Now => return self.kill(given).await,
            CrashAt::BeforeWrite(count) => (Fault::CutBefore, count),
            CrashAt::AfterWrite(count) => (Fault::CutAfter, count),
        };
        if let Life::Running {
            crash: crash @ None,
            ..
        } = &mut self.life
        {
            let which = Match::any().client(self.name.as_str()).writes();
            let rule = Rule::new(which, fault).skip(skip).once();
            *crash = Some(given.simulation.faults().add(rule));
        }
    }

    /// Ends in order; whoever comes next starts at once.
    pub async fn stop(&mut self) -> Option<Ended> {
        let Life::Running { stop, task, .. } = &mut self.life else {
            return None;
        };
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(120), task).await;
        self.rest(Duration::from_millis(100));
        match ended {
            Ok(Ok(Ok(()) | Err(process::Error::LostLease))) => None,
            Ok(Ok(Err(error))) => Some(Ended::Badly(error.to_string())),
            Ok(Err(error)) => Some(Ended::Badly(error.to_string())),
            Err(_) => Some(Ended::Badly(format!("{} does not stop", self.name))),
        }
    }

    fn rest(&mut self, time: Duration) {
        self.life = Life::Down {
            until: Instant::now() + time,
        };
    }

    fn start(&mut self, given: &Given) {
        self.incarnation += 1;
        self.name = format!("{PREFIX}{}{}", self.letter, self.incarnation);
        let clock = {
            let simulation = given.simulation.clone();
            Clock::new(move || simulation.now())
        };
        let client: Arc<str> = Arc::from(self.name.as_str());
        let surroundings = Surroundings {
            client: given
                .passes
                .client(&client, given.simulation.service(&self.name)),
            clock,
            http: given.witness.port(&client, given.backend.clone()),
            aws: AwsIdentity::default(),
            compiler: Arc::new(crate::CompileOnce),
            interrupt_guests: false,
            sandbox: Some(Arc::clone(&given.sandbox)),
            mishaps: Some(given.witness.mishaps(&client, given.mishaps.clone())),
            listener: Some(given.passes.listener(&client)),
            seed: given.seed.wrapping_add(u64::from(self.incarnation)),
        };
        let settings = sluice_controller::Settings {
            plugin_dir: Some(given.plugins.to_path_buf()),
            leader_elect: given.leased,
            ..sluice_controller::Settings::embedded(NAMESPACE, &self.name)
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(process::run(settings, surroundings, stop.clone()));
        self.life = Life::Running {
            stop,
            task,
            crash: None,
        };
    }
}

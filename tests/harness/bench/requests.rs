//! What a controller asked of the API server, by what it was for, from the audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sluice_tests::control_plane::{ControlPlane, User};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The status of a Rollout.
    Status,
    /// Anything else of a Rollout.
    Rollout,
    ReplicaSet,
    Service,
    /// What a router writes.
    Router,
    OtherWrite,
    Event,
    /// A write that is only tried.
    DryRun,
    /// `get`, `list`, `watch`.
    Read,
}

impl Kind {
    /// Whether something is changed that is no event.
    pub fn is_write(self) -> bool {
        match self {
            Self::Status
            | Self::Rollout
            | Self::ReplicaSet
            | Self::Service
            | Self::Router
            | Self::OtherWrite => true,
            Self::Event | Self::DryRun | Self::Read => false,
        }
    }
}

/// How many requests there were of each kind. The lease is not counted: it is renewed by time, not by work.
pub type Counts = BTreeMap<Kind, u64>;

/// Reads the requests of one user, from where it stopped the time before.
pub struct Requests {
    log: PathBuf,
    user: &'static str,
    read: u64,
}

impl Requests {
    pub fn new(plane: &ControlPlane, user: User) -> Result<Self> {
        let logs = plane
            .logs()
            .context("requests are counted only by a control plane of our own")?;
        Ok(Self {
            log: logs.join("audit.jsonl"),
            user: user.name(),
            read: 0,
        })
    }

    /// Those since the last call. The API server writes each before it answers.
    pub fn next(&mut self) -> Result<Counts> {
        let mut file = File::open(&self.log)
            .with_context(|| format!("failed to read {}", self.log.display()))?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut lines = BufReader::new(file);
        let mut counts = Counts::new();
        let mut line = String::new();
        loop {
            line.clear();
            let length = lines.read_line(&mut line)?;
            if length == 0 || !line.ends_with('\n') {
                return Ok(counts);
            }
            self.read = self.read.saturating_add(u64::try_from(length)?);
            let Ok(event) = serde_json::from_str::<Event<'_>>(&line) else {
                continue;
            };
            if event.user.username == self.user
                && let Some(kind) = event.kind()
            {
                *counts.entry(kind).or_default() += 1;
            }
        }
    }
}

/// The fields of an audit event that matter here; source: `audit.k8s.io/v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    verb: &'a str,
    #[serde(rename = "requestURI")]
    uri: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    user: Name<'a>,
    #[serde(borrow)]
    object_ref: Option<Object<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    username: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    #[serde(default)]
    resource: &'a str,
    #[serde(default)]
    subresource: &'a str,
    #[serde(default)]
    api_group: &'a str,
}

impl Event<'_> {
    /// None for what is no work on objects: discovery, and the lease.
    fn kind(&self) -> Option<Kind> {
        let object = self.object_ref.as_ref()?;
        if object.resource == "leases" {
            return None;
        }
        Some(match (self.verb, object.resource, object.subresource) {
            ("get" | "list" | "watch", _, _) => Kind::Read,
            _ if self.uri.contains("dryRun=All") => Kind::DryRun,
            (_, "events", _) => Kind::Event,
            (_, "rollouts", "status") => Kind::Status,
            (_, "rollouts", _) => Kind::Rollout,
            (_, "replicasets", _) => Kind::ReplicaSet,
            (_, "services", _) => Kind::Service,
            _ if object.api_group == "networking.istio.io" => Kind::Router,
            _ => Kind::OtherWrite,
        })
    }
}

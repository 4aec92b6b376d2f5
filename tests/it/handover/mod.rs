//! There and back: Argo Rollouts' controller is stopped in the middle of an update and Sluice carries on, and the other
//! way round. Both are started with leader election on the same Lease, so that the one stands by until the other is gone.
//!
//! All points are reached under one controller, which then is stopped once. `points` says where, `player` leads there
//! and on, `proof` reads the history and says what was seen.

mod player;
mod points;
mod proof;
mod sight;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use kube::api::Api;
use sluice_tests::control_plane::{ControlPlane, User, apply_files, in_namespace};
use sluice_tests::{ArgoClient, Backend, History, RunningController, istio_definitions, peers};
use tokio::time::Instant;

use player::Player;
use points::POINTS;
use proof::{Moments, Verdict};

const _: () = assert!(POINTS.len() >= 12);

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks at the history.
const GLANCE: Duration = Duration::from_millis(50);
/// What the second controller gets for a first look at everything, after it has done something for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LEASE: &str = "argo-rollouts-controller-lock";
/// Upstream does not give its lease back, so the times are short; on a busy machine, shorter ones are lost. Ours has the
/// same.
const ELECTION: &[&str] = &[
    "--leader-election-lease-duration=10s",
    "--leader-election-renew-deadline=8s",
    "--leader-election-retry-period=1s",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Sluice,
    Upstream,
}

impl Controller {
    fn user(self) -> User {
        match self {
            Self::Sluice => User::Controller,
            Self::Upstream => User::Peer,
        }
    }

    async fn start(self, plane: &ControlPlane, namespace: &str) -> Result<RunningController> {
        match self {
            Self::Sluice => {
                let arguments = [ELECTION, &["--allow-loopback"]].concat();
                RunningController::start(plane, namespace, &arguments).await
            }
            Self::Upstream => {
                RunningController::start_upstream(plane, namespace, &peers().await?, ELECTION).await
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_leaves_is_carried_on() -> Result<()> {
    hand_over(Controller::Upstream, Controller::Sluice).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sluice_leaves_is_carried_on_by_upstream() -> Result<()> {
    hand_over(Controller::Sluice, Controller::Upstream).await
}

async fn hand_over(first: Controller, second: Controller) -> Result<()> {
    in_namespace("handover", async |plane, namespace| {
        let began = Instant::now();
        plane.apply_shipped().await?;
        let client = plane.client(User::Admin).await?;
        let kinds = istio_definitions();
        apply_files(&client, "default", &[kinds]).await?;
        let history = History::of(plane, namespace).await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let backend = Backend::start().await?;
        backend.set_thousandths(0);
        player::create_templates(&client, namespace, backend.address()).await?;
        let players: Vec<Player<'_>> = POINTS
            .iter()
            .enumerate()
            .map(|(index, point)| {
                Player::new(point, index, &client, namespace, &history, &argo, &backend)
            })
            .collect();

        let leaving = first.start(plane, namespace).await?;
        holder_number(&history, 1).await?;
        let _standing_by = second.start(plane, namespace).await?;
        let (timed, untimed): (Vec<_>, Vec<_>) =
            players.iter().partition(|player| player.point.is_timed());
        try_join_all(untimed.iter().map(|player| player.reach())).await?;
        try_join_all(timed.iter().map(|player| player.reach())).await?;
        ensure!(
            history.holders(LEASE).len() == 1,
            "{first:?} lost its lease before it was stopped"
        );
        ensure!(leaving.stop().await?, "{first:?} did not end well");
        let stopped = history.now().await?;
        for player in &players {
            player.must_stand(stopped)?;
        }

        let (_, led) = holder_number(&history, 2).await?;
        player::create_sentinel(&client, namespace).await?;
        player::wait_for(&history, "sentinel", points::Sign::Phase("Healthy")).await?;
        tokio::time::sleep(FIRST_LOOK).await;
        let looked = history.now().await?;
        let first_writes = plane.writes_in(namespace).await?;
        // One that is stuck keeps nobody from seeing the others.
        let stuck = join_all(players.iter().map(Player::go_on)).await;
        // What comes after the end would be seen, too.
        tokio::time::sleep(FIRST_LOOK).await;
        let moments = Moments {
            stopped,
            looked,
            end: history.now().await?,
        };

        let writes = plane.writes_in(namespace).await?;
        let mut problems = proof::one_at_a_time(&writes, first.user().name(), second.user().name());
        let stuck = stuck.into_iter().filter_map(Result::err);
        problems.extend(stuck.map(|error| format!("{error:#}")));
        if history.holders(LEASE).len() != 2 {
            problems.push(format!("the lease: {:?}", history.holders(LEASE)));
        }
        let events = events(&client, namespace).await?;
        let verdicts: Vec<Verdict> = players
            .iter()
            .map(|player| {
                Verdict::of(
                    player.point,
                    &player.name,
                    &history,
                    moments,
                    &events,
                    &first_writes,
                    second.user().name(),
                )
            })
            .collect();
        println!(
            "\n{first:?} left, {second:?} carried on ({} points, {} s, lease at version {led}):\n{}",
            verdicts.len(),
            began.elapsed().as_secs(),
            proof::table(&verdicts)
        );
        problems.extend(verdicts.iter().flat_map(Verdict::complaints));
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(())
    })
    .await
}

/// Waits until so many have held the lease, and says who was last and from which version on.
async fn holder_number(history: &History, number: usize) -> Result<(String, u64)> {
    let began = Instant::now();
    loop {
        if let Some((version, holder)) = history.holders(LEASE).get(number - 1) {
            return Ok((holder.clone(), *version));
        }
        if began.elapsed() > PATIENCE {
            bail!("holder {number} of the lease never came");
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// The events of Rollouts: name, reason, message, count.
async fn events(
    client: &kube::Client,
    namespace: &str,
) -> Result<Vec<(String, String, String, i32)>> {
    let api = Api::<k8s_openapi::api::core::v1::Event>::namespaced(client.clone(), namespace);
    let list = api
        .list(&Default::default())
        .await
        .context("failed to list events")?;
    Ok(list
        .items
        .into_iter()
        .map(|event| {
            (
                event.involved_object.name.unwrap_or_default(),
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default(),
                event.count.unwrap_or(1),
            )
        })
        .collect())
}

//! Metrics and health over HTTP, while another process holds the lease, too.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A port that nobody listens on now.
async fn free_port() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port().to_string())
}

/// Status line and body of a page, once somebody listens.
async fn get(port: &str, path: &str) -> Result<(String, String)> {
    let end = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect(format!("127.0.0.1:{port}")).await {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > end => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.lines().next().unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}

// CTL-008, CTL-009, MET-003, MET-012, MET-013, MET-014
#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_answer_before_leadership_and_until_the_end() -> Result<()> {
    in_namespace("serving", async |plane, namespace| {
        plane.apply_shipped().await?;
        let client = plane.client(User::Admin).await?;
        let leader = RunningController::start(plane, namespace, &[]).await?;
        let manifest = workspace().join("tests/scenarios/manifests/basic.yaml");
        apply_files(&client, namespace, &[manifest]).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;

        let (metrics, health) = (free_port().await?, free_port().await?);
        let ports = ["--metricsPort", &metrics, "--healthzPort", &health];
        let waiting = RunningController::start(plane, namespace, &ports).await?;
        assert_eq!(
            get(&health, "/healthz").await?,
            ("HTTP/1.1 200 OK".to_owned(), "ok".to_owned())
        );
        let (status, text) = get(&metrics, "/metrics").await?;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(text.contains("argo_rollouts_controller_info"), "{text}");
        // It looks at nothing before it leads.
        assert!(!text.contains("rollout_info{"), "{text}");

        assert!(leader.stop().await?, "the leader ends well");
        let end = Instant::now() + PATIENCE;
        // MET-003, MET-012, MET-013; the figures of a pass come when it has ended.
        let wanted = [
            "rollout_info{",
            "rollout_phase{",
            "rollout_reconcile_bucket{",
            "controller_clientset_k8s_request_total{kind=\"leases\"",
            "workqueue_depth{name=\"Rollouts\"}",
            "workqueue_work_duration_seconds_count{name=\"Rollouts\"}",
            "process_resident_memory_bytes ",
            "process_start_time_seconds ",
            "build_info{",
        ];
        let completed = r#",name="shop",strategy="canary",traffic_router="",phase="Completed"} 1"#;
        loop {
            let (_, text) = get(&metrics, "/metrics").await?;
            let missing = wanted
                .into_iter()
                .find(|begin| !text.lines().any(|line| line.starts_with(begin)));
            if missing.is_none() && text.contains(completed) {
                break;
            }
            if Instant::now() > end {
                let missing = missing.unwrap_or(completed);
                bail!("the next leader never shows {missing}:\n{text}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(waiting.stop().await?, "the next leader ends well");
        Ok(())
    })
    .await
}

use super::*;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_pod_template_is_filled_in_as_the_api_server_does() {
    let simulation = Simulation::new(1);
    let mut set = replica_set("shop", 3);
    set["spec"]["template"]["spec"] = json!({
        "serviceAccountName": "shop",
        "containers": [{
            "name": "main",
            "image": "example.com:5000/shop",
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": 8080}},
            "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": "0.5"}},
        }],
        "volumes": [{"name": "scratch"}, {"name": "settings", "configMap": {"name": "settings"}}],
    });
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let created = sets
        .create(&PostParams::default(), &typed(set))
        .await
        .unwrap();
    let created = serde_json::to_value(created).unwrap();
    assert_eq!(
        created["spec"]["template"]["spec"],
        json!({
            "containers": [{
                "name": "main",
                "image": "example.com:5000/shop",
                "imagePullPolicy": "Always",
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "readinessProbe": {
                    "httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "shop",
            "serviceAccountName": "shop",
            "terminationGracePeriodSeconds": 30,
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "settings", "configMap": {"name": "settings", "defaultMode": 420}},
            ],
        })
    );
}

#[test]
fn image_pull_policy_follows_the_tag() {
    let simulation_needs_a_runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    simulation_needs_a_runtime.block_on(async {
        for (image, expected) in [
            ("shop", "Always"),
            ("shop:latest", "Always"),
            ("shop:7", "IfNotPresent"),
            ("example.com:5000/shop", "Always"),
            ("example.com:5000/shop:7", "IfNotPresent"),
            ("shop@sha256:0123", "IfNotPresent"),
        ] {
            let simulation = Simulation::new(1);
            let mut set = replica_set("shop", 1);
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
            let created = simulation.create(set).unwrap();
            assert_eq!(
                created["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], expected,
                "{image}"
            );
        }
    });
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_service_gets_addresses_and_policies_and_keeps_them() {
    let simulation = Simulation::new(1);
    let services: Api<Service> = Api::default_namespaced(simulation.client());
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]},
    });
    let created = services
        .create(&PostParams::default(), &typed(wanted))
        .await
        .unwrap();
    let spec = serde_json::to_value(created.spec.clone()).unwrap();
    let address = spec["clusterIP"].as_str().unwrap();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(
        spec,
        json!({
            "clusterIP": address,
            "clusterIPs": [address],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"app": "shop"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        })
    );
    // Replacing it without an address, as `kubectl replace` of a manifest does, keeps the address.
    let mut again = created.clone();
    let spec = again.spec.as_mut().unwrap();
    (spec.cluster_ip, spec.cluster_ips) = (None, None);
    let replaced = services
        .replace("shop", &PostParams::default(), &again)
        .await
        .unwrap();
    assert_eq!(replaced.spec, created.spec);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_job_selects_its_pods_by_its_uid_and_must_not_always_restart() {
    let simulation = Simulation::new(1);
    let jobs: Api<Job> = Api::default_namespaced(simulation.client());
    let job = |policy: &str| {
        typed(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "check"},
            "spec": {"template": {"spec": {
                "restartPolicy": policy,
                "containers": [{"name": "main", "image": "example.com/check:1"}],
            }}},
        }))
    };
    let created = jobs
        .create(&PostParams::default(), &job("Never"))
        .await
        .unwrap();
    let uid = created.metadata.uid.clone().unwrap();
    let spec = created.spec.unwrap();
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    assert_eq!(labels["batch.kubernetes.io/controller-uid"], uid);
    assert_eq!(labels["job-name"], "check");
    assert_eq!(
        (spec.completions, spec.parallelism, spec.backoff_limit),
        (Some(1), Some(1), Some(6))
    );
    let status = refused(jobs.create(&PostParams::default(), &job("Always")).await);
    assert!(
        status.message.contains("spec.template.spec.restartPolicy"),
        "{}",
        status.message
    );
}

#[test]
fn quantities_are_written_in_one_form() {
    use crate::defaults::canonical;
    for (given, expected) in [
        ("1000m", Some("1")),
        ("0.5", Some("500m")),
        ("1.5", Some("1500m")),
        ("100m", Some("100m")),
        ("2000", Some("2k")),
        ("1e3", Some("1e3")),
        ("1024Mi", Some("1Gi")),
        ("1.5Gi", Some("1536Mi")),
        ("1000Ki", Some("1000Ki")),
        ("0", Some("0")),
        ("-0.1", Some("-100m")),
        ("0.0001", Some("100u")),
        ("12E", Some("12E")),
        ("many", None),
        ("", None),
        ("1.2.3", None),
    ] {
        assert_eq!(canonical(given).as_deref(), expected, "{given}");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_go_omits_is_no_difference_between_two_templates() {
    let simulation = Simulation::new(1);
    let plain = replica_set("plain", 1);
    let mut wordy = replica_set("wordy", 1);
    wordy["spec"]["minReadySeconds"] = json!(0);
    wordy["spec"]["template"]["metadata"] =
        json!({"labels": {"app": "wordy"}, "annotations": {}, "creationTimestamp": null});
    let spec = &mut wordy["spec"]["template"]["spec"];
    spec["hostNetwork"] = json!(false);
    spec["nodeSelector"] = json!({});
    spec["tolerations"] = json!([]);
    spec["priorityClassName"] = json!("");
    spec["containers"][0]["args"] = json!([]);
    spec["containers"][0]["tty"] = json!(false);
    spec["containers"][0]["imagePullPolicy"] = json!("");
    let spec_of = |object: Value| -> Value {
        serde_json::from_str(&object["spec"].to_string().replace("wordy", "plain")).unwrap()
    };
    assert_eq!(
        spec_of(simulation.create(wordy).unwrap()),
        spec_of(simulation.create(plain).unwrap())
    );

    // A pointer's zero value is a value.
    let mut pointed = replica_set("pointed", 1);
    let spec = &mut pointed["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = json!(0);
    spec["automountServiceAccountToken"] = json!(false);
    spec["volumes"] =
        json!([{"name": "a", "hostPath": {"path": "/a"}}, {"name": "b", "emptyDir": {}}]);
    let spec = simulation.create(pointed).unwrap()["spec"]["template"]["spec"].clone();
    assert_eq!(spec["terminationGracePeriodSeconds"], 0);
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["volumes"][0]["hostPath"]["type"], "");
    assert_eq!(spec["volumes"][1]["emptyDir"], json!({}));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn items_of_a_built_in_list_do_not_say_their_kind_and_those_of_a_custom_list_do() {
    let simulation = Simulation::new(1);
    simulation.register(custom::definition()).unwrap();
    simulation.create(config_map("a", json!({}))).unwrap();
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"colour": "teal"}});
    simulation.create(widget).unwrap();
    for (path, kind) in [
        ("/api/v1/configmaps", Value::Null),
        ("/apis/example.com/v1/widgets", json!("Widget")),
    ] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let list: Value = simulation.client().request(request).await.unwrap();
        assert_eq!(list["items"][0]["kind"], kind, "{path}");
    }
}

//! The address policy, by table.

use crate::AddressPolicy;

fn check(policy: &AddressPolicy, address: &str, expected: Result<(), &str>) {
    let outcome = policy.check(address.parse().unwrap());
    let matches = match (&outcome, expected) {
        (Ok(()), Ok(())) => true,
        (Err(why), Err(expected)) => why.contains(expected),
        _ => false,
    };
    assert!(matches, "{address}: {outcome:?} instead of {expected:?}");
}

#[test]
fn addresses_that_are_never_a_monitoring_system_are_refused() {
    let policy = AddressPolicy::default();
    for address in [
        "10.1.2.3",
        "192.168.0.9",
        "172.20.0.1",
        "8.8.8.8",
        "fd12::9",
        "2001:db8::1",
        "64:ff9b::808:808",
    ] {
        check(&policy, address, Ok(()));
    }
    for (address, why) in [
        ("127.0.0.1", "own machine"),
        ("127.9.9.9", "own machine"),
        ("::1", "own machine"),
        ("::ffff:127.0.0.1", "own machine"),
        ("0.0.0.0", "no address"),
        ("::", "no address"),
        ("0.1.2.3", "link-local"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("64:ff9b::7f00:1", "metadata"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "link-local"),
    ] {
        check(&policy, address, Err(why));
    }
}

#[test]
fn loopback_can_be_allowed_and_others_refused() {
    let policy = AddressPolicy {
        loopback: true,
        refused: ["10.96.0.1".parse().unwrap()].into(),
    };
    check(&policy, "127.0.0.1", Ok(()));
    check(&policy, "::1", Ok(()));
    check(&policy, "10.96.0.1", Err("by the administrator"));
    check(&policy, "::ffff:10.96.0.1", Err("by the administrator"));
    check(&policy, "169.254.169.254", Err("metadata"));
}
